//! Headers and metadata from a storage that lies: what parses is in its one canonical coding, and nothing panics.
#![no_main]

use envelope::{Header, Metadata, Upload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(header) = Header::from_bytes(data) {
        assert_eq!(header.to_bytes(), data);
    }
    if let Ok(upload) = Upload::from_bytes(data) {
        assert_eq!(upload.to_bytes(), data);
    }
    // Entries as lines of name and value; the names need not be ours.
    let entries = data.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((format!("x-amz-meta-gse-{}", std::str::from_utf8(&line[..at]).ok()?), &line[at + 1..]))
    });
    if let Ok(Some(metadata)) = Metadata::parse(entries) {
        let _ = metadata.plaintext_len(u64::MAX);
        let _ = metadata.plaintext_len(data.len() as u64);
    }
});
