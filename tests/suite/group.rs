//! Two gateways over one storage are one.

use anyhow::{Context, Result, ensure};
use tests::{Dev, wait_for};

#[test]
fn a_toggle_set_at_one_gateway_holds_at_the_other_and_a_killed_gateway_comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    dev.python(0, "s3.create_bucket(Bucket='ledger')\ns3.put_object(Bucket='ledger', Key='old', Body=b'old')")?;
    dev.sealgate_json(&["--gateway", "gateway-1", "bucket", "encrypt", "ledger", "on"])?;
    wait_for("the other gateway encrypts", || {
        let status = dev.sealgate_json(&["--gateway", "gateway-2", "bucket", "status", "ledger"]).ok()?;
        (status["encrypt"] == true).then_some(())
    })?;
    dev.python(1, "s3.put_object(Bucket='ledger', Key='new', Body=b'new')")?;
    let kinds = dev.python(
        0,
        "for k in ('old', 'new'):\n    r = s3.get_object(Bucket='ledger', Key=k)\n    \
         print(k, r['Body'].read().decode(), r.get('ServerSideEncryption'))",
    )?;
    ensure!(kinds == "old old None\nnew new aws:kms\n", "{kinds}");

    // -9: it is started again on the same port, with the same toggle.
    let pid = dev.ready["gateways"][0]["pid"].as_u64().context("the pid of a gateway")?;
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    wait_for("the killed gateway serves again", || {
        dev.python(0, "s3.put_object(Bucket='ledger', Key='after', Body=b'after')").ok()
    })?;
    let kind = dev.python(1, "print(s3.head_object(Bucket='ledger', Key='after').get('ServerSideEncryption'))")?;
    ensure!(kind.trim() == "aws:kms", "{kind}");
    dev.stop()
}

#[test]
fn of_64_uploads_while_a_gateway_is_killed_those_acknowledged_are_whole_and_nothing_is_left_of_the_others() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let dev = Dev::start(&data, &["--gateways", "2"])?;
    dev.story("many_uploads", &[data.to_str().context("a path of UTF-8")?])?;
    dev.stop()
}
