//! Multipart uploads as clients really do them.

use anyhow::Result;
use tests::ceph::{Ceph, User};
use tests::{Dev, Launch};

#[test]
fn parts_come_in_any_order_are_sent_again_and_completed_twice_at_once_or_from_lists_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    dev.story("multipart", &[])?;
    dev.stop()
}

#[test]
fn parts_come_in_any_order_and_are_sent_again_where_ceph_joins_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(&folder.path().join("ceph"), vec![User::new("gateways")])?;
    let upstream = ceph.upstream()?;
    let launch = Launch { upstream: Some(&upstream), args: &["--gateways", "2"], ..Launch::default() };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    dev.story("multipart", &["", "rgw"])?;
    dev.stop()
}
