//! The bucket's toggle, and two gateways that are one.

use anyhow::Result;
use tests::Dev;

#[test]
fn a_toggle_by_each_of_three_ways_decides_about_what_begins_after_it_and_old_objects_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.story("toggle", &[])?;
    dev.stop()
}

#[test]
fn toggles_and_uploads_are_the_same_through_both_gateways_and_changed_state_is_found_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    dev.story("two_gateways", &[])?;
    dev.stop()
}
