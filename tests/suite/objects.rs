//! What is stored is what is read: every size, every range, every part, encrypted and not.

use anyhow::Result;
use tests::Dev;

#[test]
fn every_size_range_and_part_reads_back_with_the_size_of_the_plaintext_encrypted_and_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.story("objects", &[])?;
    dev.stop()
}
