//! What the tests of the format share: sealing with fixed randomness, and reading as a gateway and as a tool do.

use std::ops::Range;

use bytes::Bytes;

use crate::entropy::Entropy;
use crate::layout::{Part, SegmentSize};
use crate::part::PartSealer;
use crate::{
    Cause, ChecksumAlgorithm, Checksums, Expected, FOOTER_GUESS, Footer, FooterRead, Kek, Metadata, Object, OpenError,
    Place, PolicyRef, Recorded, SingleSealer, Upload, UserMetadata,
};

pub(crate) const KEK: [u8; 32] = [0x4b; 32];

/// A sealed object as it lies at the storage.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) place: Place,
    pub(crate) metadata: UserMetadata,
    pub(crate) bytes: Vec<u8>,
    pub(crate) plaintext: Vec<u8>,
    /// Where each part ends.
    pub(crate) part_ends: Vec<usize>,
}

/// Byte `i` is the low byte of `i` xor `i >> 8` xor `i >> 16`: no two segments are alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i ^ (i >> 8) ^ (i >> 16)) & 0xff).expect("masked")).collect()
}

pub(crate) fn place(bucket: &str, key: &str) -> Place {
    Place::new(bucket, key).expect("within bounds")
}

/// What a gateway records, with a KEK record as long as one of RSA-4096.
pub(crate) fn recorded(place: Place) -> Recorded {
    Recorded {
        place,
        kms_id: "prod-rsa-2026".to_owned(),
        kek_record: pattern(640),
        cause: Cause::Policy,
        policy: Some(PolicyRef { uid: [7; 16], name: "payroll".to_owned(), lineage: [9; 16], revision: 41 }),
        sealed_at_ms: 1_795_500_000_000,
        writer: "sealgate/0.1.0".to_owned(),
    }
}

pub(crate) fn kek() -> Kek {
    Kek::new(&KEK)
}

/// How to seal a single object in a test.
pub(crate) struct Single<'a> {
    pub(crate) name: &'a str,
    pub(crate) recorded: Recorded,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) segment: u32,
    pub(crate) client: UserMetadata,
    pub(crate) checksums: Checksums,
}

impl<'a> Single<'a> {
    pub(crate) fn new(name: &'a str, plaintext: Vec<u8>) -> Self {
        Self {
            name,
            recorded: recorded(place("records", "payroll/2026/november.csv")),
            plaintext,
            segment: 4096,
            client: vec![("x-amz-meta-owner".to_owned(), b"anna".to_vec())],
            checksums: Checksums::full_object([(ChecksumAlgorithm::Crc32, vec![1, 2, 3, 4])]),
        }
    }

    pub(crate) fn seal(self) -> Stored {
        let algorithms: Vec<_> = self.checksums.object.iter().map(|checksum| checksum.algorithm).collect();
        let size = SegmentSize::new(self.segment).expect("a legal segment size");
        let entropy = Entropy::fixed(self.name);
        let len = self.plaintext.len() as u64;
        let mut sealer = SingleSealer::drawing(&self.recorded, &kek(), len, &self.client, &algorithms, size, entropy)
            .expect("seals");
        let (metadata, stored_len) = (sealer.metadata().clone(), sealer.stored_len());
        let mut out = Vec::new();
        sealer.push(Bytes::copy_from_slice(&self.plaintext), &mut out).expect("pushes");
        sealer.finish(&self.checksums, &mut out).expect("finishes");
        let bytes = out.concat();
        assert_eq!(bytes.len() as u64, stored_len, "the announced stored length");
        let end = usize::try_from(size.part_stored_len(len)).expect("small");
        Stored { place: self.recorded.place, metadata, bytes, plaintext: self.plaintext, part_ends: vec![end] }
    }
}

/// Seals one part.
pub(crate) fn seal_part(
    data_key: &crate::DataKey,
    number: u16,
    plaintext: &[u8],
    entropy: &mut Entropy,
) -> (Part, Vec<u8>) {
    let len = plaintext.len() as u64;
    let mut sealer = PartSealer::drawing(data_key, number, len, SegmentSize::WRITTEN, entropy).expect("seals");
    let (part, stored_len) = (sealer.part(), sealer.stored_len());
    let mut out = Vec::new();
    sealer.push(Bytes::copy_from_slice(plaintext), &mut out).expect("pushes");
    sealer.finish(&mut out).expect("finishes");
    let bytes = out.concat();
    assert_eq!(bytes.len() as u64, stored_len, "the announced stored length of a part");
    (part, bytes)
}

/// Seals a multipart upload of parts with these numbers and lengths; its plaintext is the pattern.
pub(crate) fn seal_upload(name: &str, parts: &[(u16, usize)]) -> Stored {
    let plaintext = pattern(parts.iter().map(|(_, len)| len).sum());
    let recorded = recorded(place("records", "archive/backup.tar"));
    let mut entropy = Entropy::fixed(name);
    let (upload, data_key) = Upload::drawing(&recorded, &kek(), &Vec::new(), &mut entropy).expect("creates");
    let (mut bytes, mut table, mut part_ends, mut at) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (number, len) in parts {
        let (part, sealed) = seal_part(&data_key, *number, &plaintext[at..at + len], &mut entropy);
        at += len;
        table.push(part);
        bytes.extend(sealed);
        part_ends.push(bytes.len());
    }
    let kept = Upload::from_bytes(&upload.to_bytes()).expect("reads what it wrote");
    let footer = crate::footer::seal(
        kept.header(),
        &data_key,
        &recorded.place,
        &table,
        &Checksums::default(),
        None,
        &mut entropy,
    )
    .expect("seals the footer");
    bytes.extend_from_slice(&footer.bytes);
    assert_eq!(bytes.len() as u64, footer.stored_len);
    Stored { place: recorded.place, metadata: upload.metadata().clone(), bytes, plaintext, part_ends }
}

/// Reads the footer as a gateway does: a suffix first, then what it asks for.
pub(crate) fn footer(bytes: &[u8]) -> Result<Footer, OpenError> {
    let mut suffix = bytes.len().min(usize::try_from(FOOTER_GUESS).expect("small"));
    loop {
        match Footer::parse(&bytes[bytes.len() - suffix..], bytes.len() as u64)? {
            FooterRead::Footer(footer) => return Ok(footer),
            FooterRead::NeedSuffix(len) => {
                let len = usize::try_from(len).expect("bounded");
                assert!(len > suffix, "it asks for more than it was given");
                suffix = len;
            }
        }
    }
}

/// Opens an object as a gateway does: from the metadata where they suffice, else from the footer.
pub(crate) fn object(bytes: &[u8], metadata: &UserMetadata, kek: &Kek, at: &Place) -> Result<Object, OpenError> {
    let expected = Expected::At(at);
    if let Some(metadata) = Metadata::parse(metadata.iter().map(|(name, value)| (name, value)))? {
        let shown = metadata.plaintext_len(bytes.len() as u64)?;
        if let Some(header) = metadata.header()
            && let Some(object) = header.open_object(kek, &expected)?
        {
            assert_eq!(object.plaintext_len(), shown, "the size that HEAD shows");
            return Ok(object);
        }
    }
    footer(bytes)?.open(kek, &expected)
}

/// Feeds the stored bytes of a read in pieces of `piece` bytes. The second value is what came out in any case.
pub(crate) fn feed(read: crate::Read, bytes: &[u8], piece: usize) -> (Result<(), OpenError>, Vec<u8>) {
    let at = |offset: u64| usize::try_from(offset).expect("small").min(bytes.len());
    let Range { start, end } = read.stored;
    let mut opener = read.opener;
    let mut out = Vec::new();
    for piece in bytes[at(start)..at(end)].chunks(piece.max(1)) {
        if let Err(error) = opener.push(Bytes::copy_from_slice(piece), &mut out) {
            assert_eq!(opener.push(Bytes::from_static(b"more"), &mut out), Err(error.clone()), "an error stays");
            let mut rest = Vec::new();
            assert!(opener.finish(&mut rest).is_err() && rest.is_empty(), "nothing comes after an error");
            return (Err(error), out.concat());
        }
    }
    let result = opener.finish(&mut out);
    (result, out.concat())
}

/// A whole GET.
pub(crate) fn get(bytes: &[u8], metadata: &UserMetadata, kek: &Kek, at: &Place) -> (Result<(), OpenError>, Vec<u8>) {
    match object(bytes, metadata, kek, at).and_then(|object| object.read_whole(bytes.len() as u64)) {
        Ok(read) => feed(read, bytes, 1 << 20),
        Err(error) => (Err(error), Vec::new()),
    }
}

/// A GET of a range.
pub(crate) fn get_range(
    bytes: &[u8],
    metadata: &UserMetadata,
    kek: &Kek,
    at: &Place,
    range: Range<u64>,
) -> (Result<(), OpenError>, Vec<u8>) {
    match object(bytes, metadata, kek, at).and_then(|object| object.read_range(range)) {
        Ok(read) => feed(read, bytes, 1 << 20),
        Err(error) => (Err(error), Vec::new()),
    }
}

/// Decryption of a bare file.
pub(crate) fn decrypt(bytes: &[u8], kek: &Kek) -> (Result<(), OpenError>, Vec<u8>) {
    let read = footer(bytes)
        .and_then(|footer| footer.open(kek, &Expected::Anywhere))
        .and_then(|object| object.read_whole(bytes.len() as u64));
    match read {
        Ok(read) => feed(read, bytes, 1 << 20),
        Err(error) => (Err(error), Vec::new()),
    }
}
