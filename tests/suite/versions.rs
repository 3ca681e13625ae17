//! Buckets that keep versions, over the storage that has them.

use anyhow::Result;
use tests::ceph::{Ceph, User};
use tests::{Dev, Launch};

#[test]
fn versions_and_delete_markers_are_as_ceph_has_them_encrypted_and_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(&folder.path().join("ceph"), vec![User::new("gateways")])?;
    let upstream = ceph.upstream()?;
    let launch = Launch { upstream: Some(&upstream), args: &["--gateways", "2"], ..Launch::default() };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    dev.story("versions", &[])?;
    dev.story("uploads_at_ceph", &[])?;
    dev.stop()
}
