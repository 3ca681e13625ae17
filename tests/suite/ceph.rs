//! The Ceph RADOS Gateway that other tests run against.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests::ceph::{Ceph, User};
use tests::{Process, process, python, wait_for};

/// Where the process that is killed says that it is up, and which processes it has.
const VICTIM: &str = "SEALGATE_TEST_CEPH_VICTIM";

/// The buckets of a user, after it has made `bucket`.
fn buckets(ceph: &Ceph, user: &User, bucket: &str) -> Result<String> {
    let script = format!(
        "import boto3\ns3 = boto3.client('s3', endpoint_url='{}', region_name='us-east-1', aws_access_key_id='{}', \
         aws_secret_access_key='{}')\ns3.create_bucket(Bucket='{bucket}')\n\
         s3.put_object(Bucket='{bucket}', Key='k', Body=b'x')\n\
         print(','.join(b['Name'] for b in s3.list_buckets()['Buckets']), end='')",
        ceph.endpoint, user.access_key, user.secret_key
    );
    let output = Command::new(python()?).args(["-c", &script]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn two_of_them_know_nothing_of_each_other_and_leave_no_process() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tenant = User { tenant: Some("elsewhere".to_owned()), caps: Some("roles=*".to_owned()), ..User::new("two") };
    // At once, as the tests of a run may.
    let start = |name: &str, users| Ceph::start(&folder.path().join(name), users);
    let (left, right) = std::thread::scope(|scope| {
        let left = scope.spawn(|| start("left", vec![User::new("one"), tenant]));
        let right = start("right", vec![User::new("one")]);
        (left.join(), right)
    });
    let (left, right) = (left.ok().context("it panicked")??, right?);
    assert_eq!(buckets(&left, &left.users[0], "left")?, "left");
    assert_eq!(buckets(&left, &left.users[1], "left")?, "left", "a tenant has buckets of its own");
    assert_eq!(buckets(&right, &right.users[0], "right")?, "right");
    let names: Vec<_> = left.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["ceph-mon", "ceph-osd", "radosgw"]);
    let mut all = left.processes.clone();
    drop(left);
    assert_eq!(buckets(&right, &right.users[0], "more")?, "more,right", "the end of one is nothing to the other");
    all.extend(right.processes.clone());
    drop(right);
    let stay: Vec<_> = all.iter().filter(|process| process.lives()).collect();
    ensure!(stay.is_empty(), "they are still there: {stay:?}");
    Ok(())
}

#[test]
fn none_of_its_processes_outlives_a_test_that_is_killed() -> Result<()> {
    if let Some(file) = std::env::var_os(VICTIM) {
        return wait_to_be_killed(Path::new(&file));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("victim");
    // This test once more, in a process of its own.
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "ceph::none_of_its_processes_outlives_a_test_that_is_killed"])
        .env(VICTIM, &file)
        .stdout(Stdio::null())
        .spawn()?;
    let up = wait_for("the victim has started Ceph", || {
        if let Ok(Some(status)) = victim.try_wait() {
            return Some(Err(anyhow::anyhow!("the victim ended: {status}")));
        }
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n')).map(Ok)
    });
    let pids: Vec<u32> = up.and_then(|up| up)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let processes: Vec<_> = pids.into_iter().filter_map(Process::of).collect();
    assert_eq!(processes.len(), 3, "{processes:?}");
    process::signal(victim.id(), "KILL")?;
    victim.wait()?;
    wait_for("its processes are gone", || processes.iter().all(|process| !process.lives()).then_some(()))
}

fn wait_to_be_killed(file: &Path) -> Result<()> {
    let ceph = Ceph::start(&file.with_extension("ceph"), Vec::new())?;
    let pids: Vec<_> = ceph.processes.iter().map(|process| process.pid.to_string()).collect();
    std::fs::write(file, pids.join(" ") + "\n")?;
    wait_for("it is killed", || None)
}
