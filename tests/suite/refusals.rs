//! What must be refused leaves nothing behind.

use anyhow::Result;
use tests::Dev;

#[test]
fn what_is_wrong_is_refused_with_its_error_and_leaves_nothing_in_the_storage_or_the_journal() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.story("refusals", &[])?;
    dev.stop()
}

#[test]
fn where_encryption_is_due_and_no_kms_is_active_nothing_is_stored() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    dev.story("refusals", &["without-kms"])?;
    dev.stop()
}
