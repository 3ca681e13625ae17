//! Multipart uploads as clients really do them.

use anyhow::Result;
use tests::Dev;

#[test]
fn parts_come_in_any_order_are_sent_again_and_completed_twice_at_once_or_from_lists_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    dev.story("multipart", &[])?;
    dev.stop()
}
