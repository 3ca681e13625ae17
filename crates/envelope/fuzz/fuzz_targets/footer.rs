//! Footers from a storage that lies: lengths and counts are bounded before they are used, and nothing panics.
#![no_main]

use envelope::{Expected, Footer, FooterRead, Kek, MAX_FOOTER};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&[u8], u64, bool)| {
    let (suffix, stored_len, whole) = data;
    let mut suffix = suffix.to_vec();
    if whole {
        // An end that fits, so that the fields are reached.
        let len = u32::try_from(suffix.len() + 12).unwrap_or(u32::MAX);
        suffix.extend_from_slice(&len.to_be_bytes());
        suffix.extend_from_slice(b"\x89SEALFT\n");
    }
    match Footer::parse(&suffix, stored_len) {
        Ok(FooterRead::NeedSuffix(len)) => assert!(len > suffix.len() as u64 && len <= MAX_FOOTER),
        Ok(FooterRead::Footer(footer)) => {
            assert_eq!(footer.stored_len(), stored_len);
            assert!(footer.plaintext_len() < stored_len);
            assert!(footer.open(&Kek::new(&[1; 32]), &Expected::Anywhere).is_err(), "nobody made this footer");
        }
        Err(_) => {}
    }
});
