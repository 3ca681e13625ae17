//! A private PostgreSQL in the data directory.
//!
//! PostgreSQL refuses to run as root: under root it runs as the user `postgres` of Debian's package, with the one
//! capability that lets it pass folders it may not search (a data directory below `/root`, for example).

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;

use super::process::Spec;
use crate::failure::{Context, Failure};

/// Where Debian's packages put the servers, one folder a version.
const INSTALLED: &str = "/usr/lib/postgresql";

/// The newest installed server's folder of programs.
fn programs() -> Result<PathBuf, Failure> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(INSTALLED)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, folder)| folder).ok_or_else(|| {
        Failure::refused("PostgreSQL is missing: apt-get install postgresql, or give --database-url".to_owned())
    })
}

/// Makes the cluster at the first start. The server and the port that it will have.
pub(super) async fn prepare(data: &Path, logs: &Path, address: std::net::IpAddr, port: u16) -> Result<Spec, Failure> {
    let programs = programs()?;
    let cluster = data.join("postgres");
    let privileges = privileges()?;
    if !cluster.exists() {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&cluster)
            .or_refuse(|| format!("{} cannot be made", cluster.display()))?;
    }
    if let Some((uid, gid)) = server_user()? {
        chown(&cluster, Some(uid), Some(gid)).or_refuse(|| format!("{} cannot be given away", cluster.display()))?;
    }
    if !cluster.join("PG_VERSION").exists() {
        initialise(&programs, &cluster, &privileges).await?;
    }
    let mut args: Vec<OsString> = vec!["-D".into(), cluster.into_os_string()];
    for setting in [
        format!("listen_addresses={address}"),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        "max_connections=100".to_owned(),
        "shared_buffers=32MB".to_owned(),
        "log_timezone=UTC".to_owned(),
        "timezone=UTC".to_owned(),
    ] {
        args.extend(["-c".into(), setting.into()]);
    }
    Ok(Spec {
        name: "postgres".to_owned(),
        program: programs.join("postgres"),
        args,
        env: vec![("LC_ALL".to_owned(), "C.UTF-8".into())],
        privileges,
        stop_signal: Signal::INT,
        stop_within: Duration::from_secs(30),
        log: logs.join("postgres.log"),
    })
}

async fn initialise(programs: &Path, cluster: &Path, privileges: &[OsString]) -> Result<(), Failure> {
    let output = Command::new("setpriv")
        .args(privileges)
        .arg("--")
        .arg(programs.join("initdb"))
        .args(["-U", "sealgate", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
        .arg(cluster)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .or_refuse(|| "initdb cannot be started".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    // A half-made cluster would be taken for a whole one at the next start.
    for entry in std::fs::read_dir(cluster).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::refused(format!("PostgreSQL could not make its cluster in {}: {said}", cluster.display())))
}

/// The user and group that the server runs as, where it is not the one that started `dev`.
fn server_user() -> Result<Option<(u32, u32)>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").or_refuse(|| "/etc/passwd cannot be read".to_owned())?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some("postgres")).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    found.map(Some).ok_or_else(|| {
        Failure::refused("PostgreSQL refuses to run as root, and there is no user postgres to run it as".to_owned())
    })
}

/// setpriv's arguments for the server.
fn privileges() -> Result<Vec<OsString>, Failure> {
    let Some((uid, gid)) = server_user()? else { return Ok(Vec::new()) };
    let mut args = vec![format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
    if let Some(capability) = search_capability() {
        args.extend([format!("--inh-caps=+{capability}"), format!("--ambient-caps=+{capability}")]);
    }
    Ok(args.into_iter().map(OsString::from).collect())
}

/// The least capability at hand that lets a process search any folder (capabilities(7)).
fn search_capability() -> Option<&'static str> {
    const DAC_OVERRIDE: u64 = 1 << 1;
    const DAC_READ_SEARCH: u64 = 1 << 2;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    let permitted = u64::from_str_radix(permitted.trim(), 16).ok()?;
    match permitted {
        p if p & DAC_READ_SEARCH != 0 => Some("dac_read_search"),
        p if p & DAC_OVERRIDE != 0 => Some("dac_override"),
        _ => None,
    }
}
