//! A changed object, fed in any pieces: what comes out is a prefix of the plaintext, and all of it comes only from the
//! unchanged object.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use envelope::{
    Cause, Checksums, Expected, FOOTER_GUESS, Footer, FooterRead, Kek, Object, Place, Recorded, SingleSealer,
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    plaintext_len: u32,
    client_metadata: u16,
    changes: Vec<Change>,
    pieces: Vec<u16>,
    by_footer: bool,
    range: Option<(u32, u32)>,
}

#[derive(Debug, Arbitrary)]
enum Change {
    Flip { at: u32, bits: u8 },
    Cut { from: u32, len: u16 },
    Insert { at: u32, byte: u8, len: u8 },
    Swap { a: u32, b: u32, len: u16 },
}

fn change(bytes: &mut Vec<u8>, change: &Change) {
    let len = bytes.len().max(1);
    match *change {
        Change::Flip { at, bits } => {
            if let Some(byte) = bytes.get_mut(at as usize % len) {
                *byte ^= bits;
            }
        }
        Change::Cut { from, len: cut } => {
            let from = (from as usize % len).min(bytes.len());
            let to = (from + cut as usize).min(bytes.len());
            bytes.drain(from..to);
        }
        Change::Insert { at, byte, len: count } => {
            let at = (at as usize % len).min(bytes.len());
            bytes.splice(at..at, std::iter::repeat_n(byte, count as usize));
        }
        Change::Swap { a, b, len: count } => {
            for i in 0..count as usize {
                let (a, b) = ((a as usize + i) % len, (b as usize + i) % len);
                if a < bytes.len() && b < bytes.len() {
                    bytes.swap(a, b);
                }
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let len = input.plaintext_len as usize % 200_000;
    let plaintext: Vec<u8> = (0..len).map(|i| (i ^ (i >> 8)) as u8).collect();
    let kek = Kek::new(&[3; 32]);
    let place = Place::new("bucket", "key").expect("within bounds");
    let recorded = Recorded {
        place: place.clone(),
        kms_id: "fuzz".to_owned(),
        kek_record: vec![1; 64],
        cause: Cause::Client,
        policy: None,
        sealed_at_ms: 0,
        writer: String::new(),
    };
    let client = vec![("x-amz-meta-n".to_owned(), vec![b'v'; input.client_metadata as usize % 2037])];
    let mut sealer = SingleSealer::new(&recorded, &kek, len as u64, &client, &[]).expect("seals");
    let mut out = Vec::new();
    sealer.push(Bytes::from(plaintext.clone()), &mut out).expect("takes it");
    let header = sealer.header().clone();
    sealer.finish(&Checksums::default(), &mut out).expect("finishes");
    let sealed = out.concat();
    let mut bytes = sealed.clone();
    for one in &input.changes {
        change(&mut bytes, one);
    }
    let expected = Expected::At(&place);
    let by_footer = || -> Option<Object> {
        let suffix = bytes.len().saturating_sub(FOOTER_GUESS as usize);
        match Footer::parse(&bytes[suffix..], bytes.len() as u64).ok()? {
            FooterRead::Footer(footer) => footer.open(&kek, &expected).ok(),
            FooterRead::NeedSuffix(_) => None,
        }
    };
    let object = if input.by_footer { None } else { header.open_object(&kek, &expected).expect("our own header") };
    let Some(object) = object.or_else(by_footer) else { return };
    assert_eq!(object.plaintext_len(), len as u64);
    let range = input.range.filter(|_| len > 0).map(|(a, b)| {
        let (a, b) = (a as usize % len, b as usize % len);
        a.min(b)..a.max(b) + 1
    });
    let whole = range.is_none();
    let read = match &range {
        Some(range) => object.read_range(range.start as u64..range.end as u64).ok(),
        None => object.read_whole(bytes.len() as u64).ok(),
    };
    let Some(read) = read else { return };
    let asked = &plaintext[range.unwrap_or(0..len)];
    let clamp = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let mut stored = Bytes::copy_from_slice(&bytes[clamp(read.stored.start)..clamp(read.stored.end)]);
    let mut opener = read.opener;
    let mut out = Vec::new();
    let mut pieces = input.pieces.iter().cycle();
    let mut failed = false;
    while !stored.is_empty() && !failed {
        let piece = pieces.next().map_or(stored.len(), |piece| (*piece as usize).max(1)).min(stored.len());
        failed = opener.push(stored.split_to(piece), &mut out).is_err();
    }
    failed |= opener.finish(&mut out).is_err();
    let out = out.concat();
    assert!(asked.starts_with(&out), "something else than the plaintext came out");
    assert_eq!(failed, out.len() < asked.len() || (failed && asked.is_empty()), "short data as success, or the reverse");
    if whole {
        assert_eq!(!failed, bytes == sealed, "a changed object was read to its end");
    }
});
