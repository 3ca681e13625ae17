//! A private PostgreSQL in the data directory.
//!
//! PostgreSQL refuses to run as root: under root it runs as the user `postgres` of Debian's package, with the one
//! capability that lets it pass folders it may not search (a data directory below `/root`, for example).

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

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

/// The server of one data directory.
pub(super) struct Server {
    programs: PathBuf,
    cluster: PathBuf,
    /// setpriv's arguments.
    privileges: Vec<OsString>,
    log: PathBuf,
}

impl Server {
    pub(super) fn find(data: &Path, logs: &Path) -> Result<Self, Failure> {
        Ok(Self {
            programs: programs()?,
            cluster: data.join("postgres"),
            privileges: privileges()?,
            log: logs.join("postgres.log"),
        })
    }

    /// At the first start, what makes the cluster. It lies beside its place until [`Server::made`]: one that is half
    /// made, since `dev` was stopped or killed meanwhile, would be taken for a whole one at the next start.
    pub(super) fn making(&self) -> Result<Option<Spec>, Failure> {
        if self.cluster.join("PG_VERSION").exists() {
            return Ok(None);
        }
        let unfinished = self.unfinished();
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).or_refuse(|| format!("{} cannot be removed", unfinished.display()))?;
        }
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .or_refuse(|| format!("{} cannot be made", unfinished.display()))?;
        if let Some((uid, gid)) = server_user()? {
            chown(&unfinished, Some(uid), Some(gid))
                .or_refuse(|| format!("{} cannot be given away", unfinished.display()))?;
        }
        let options = ["-U", "sealgate", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"];
        let args = options.iter().map(OsString::from).chain([unfinished.into_os_string()]).collect();
        Ok(Some(self.spec("initdb", args)))
    }

    /// The cluster is whole.
    pub(super) fn made(&self) -> Result<(), Failure> {
        std::fs::rename(self.unfinished(), &self.cluster)
            .or_refuse(|| format!("{} cannot be made", self.cluster.display()))
    }

    fn unfinished(&self) -> PathBuf {
        self.cluster.with_extension("unfinished")
    }

    /// The server itself.
    pub(super) fn serving(&self, address: std::net::IpAddr, port: u16) -> Spec {
        let mut args: Vec<OsString> = vec!["-D".into(), self.cluster.clone().into_os_string()];
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
        self.spec("postgres", args)
    }

    fn spec(&self, program: &str, args: Vec<OsString>) -> Spec {
        Spec {
            name: program.to_owned(),
            program: self.programs.join(program),
            args,
            env: vec![("LC_ALL".to_owned(), "C.UTF-8".into())],
            privileges: self.privileges.clone(),
            stop_signal: Signal::INT,
            stop_within: Duration::from_secs(30),
            log: self.log.clone(),
        }
    }
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
