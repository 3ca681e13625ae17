//! Buckets that keep versions, and what may be set for buckets and objects, over the storage that has it.

use anyhow::Result;
use tests::ceph::{Ceph, User};
use tests::{Dev, Launch};

#[test]
fn versions_and_settings_are_as_ceph_has_them_encrypted_and_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(&folder.path().join("ceph"), vec![User::new("gateways")])?;
    let upstream = ceph.upstream()?;
    // The storage decides about requests that nobody signed, as it does where it is asked directly.
    let env = [("SEALGATE_GATEWAY_BACKENDS__UPSTREAM__UNSIGNED", "pass")];
    let launch = Launch { upstream: Some(&upstream), args: &["--gateways", "2"], env: &env, ..Launch::default() };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    dev.story("versions", &[])?;
    dev.story("uploads_at_ceph", &[])?;
    dev.story("settings", &[])?;
    dev.stop()
}
