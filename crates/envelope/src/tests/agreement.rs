//! A second, independent implementation of AES-256-GCM (`aes-gcm`) makes and opens the same segments.

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;

use super::fixtures::{Single, footer, kek, pattern};
use crate::keys::derive;
use crate::layout::{PART_HEADER_LEN, SegmentSize};
use crate::segments::Segments;
use crate::{DataKey, Expected, Salt};

fn nonce(index: u64, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..11].copy_from_slice(&u128::from(index).to_be_bytes()[5..]);
    nonce[11] = last.into();
    nonce
}

fn second(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
}

#[test]
fn the_second_implementation_seals_the_same_segments() {
    for len in [0, 1, 4095, 4096, 4097, 3 * 4096] {
        let plaintext = pattern(len);
        let stored = Single::new("agreement", plaintext.clone()).seal();
        let object = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
        let part = object.parts()[0];
        let header = &stored.bytes[..PART_HEADER_LEN];
        let key = derive::<32>(
            &data_key_bytes(&object.opened.data_key)[..],
            part.salt.as_bytes(),
            &[b"sealgate part v1", header],
        );
        let cipher = second(&key);
        let mut expected = Vec::new();
        let chunks: Vec<&[u8]> = if len == 0 { vec![&[]] } else { plaintext.chunks(4096).collect() };
        for (index, chunk) in chunks.iter().enumerate() {
            let nonce = nonce(index as u64, index + 1 == chunks.len());
            expected.extend(cipher.encrypt(&Nonce::from(nonce), *chunk).unwrap());
        }
        assert_eq!(stored.bytes[PART_HEADER_LEN..stored.part_ends[0]], expected[..], "{len} bytes");
    }
}

#[test]
fn segments_of_the_second_implementation_open() {
    let size = SegmentSize::new(4096).unwrap();
    let plaintext = pattern(10_000);
    let key = [3; 32];
    let data_key = {
        let mut entropy = crate::entropy::Entropy::fixed("agreement");
        DataKey::draw(&mut entropy).unwrap()
    };
    let salt = Salt::from_bytes(key);
    let part_key = derive::<32>(&data_key_bytes(&data_key)[..], &key, &[b"sealgate part v1", b"header"]);
    let cipher = second(&part_key);
    let mut segments = Segments::new(data_key.part_key(&salt, b"header"), size, 10_000);
    let mut opened = Vec::new();
    for (index, chunk) in plaintext.chunks(4096).enumerate() {
        let sealed = cipher.encrypt(&Nonce::from(nonce(index as u64, index == 2)), chunk).unwrap();
        opened.extend_from_slice(&segments.open(&Bytes::from(sealed)).expect("authentic"));
    }
    assert_eq!(opened, plaintext);
}

/// The data key's bytes, which nothing but this test looks at.
fn data_key_bytes(data_key: &DataKey) -> [u8; 32] {
    *data_key.expose_for_test()
}
