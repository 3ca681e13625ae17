//! What is not sent as an SDK sends its calls: form uploads, presigned URLs, buckets in the host.

use anyhow::Result;
use tests::{Dev, Launch};

#[test]
fn forms_and_presigned_urls_and_buckets_in_the_host_do_what_they_were_made_for_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let env = [("SEALGATE_GATEWAY_LISTEN__S3_DOMAINS", "s3.test, storage.test")];
    let dev = Dev::launch(&folder.path().join("data"), &Launch { env: &env, ..Launch::default() })?;
    dev.story("forms", &[])?;
    dev.stop()
}
