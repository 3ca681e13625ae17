//! A real Ceph RADOS Gateway: one monitor, one OSD, one radosgw in a private directory on 127.0.0.1.
//!
//! ```text
//! Ceph::start(folder, users) ──▶ Ports (nobody else's) ──▶ a thread that owns the processes
//!    │                             ceph-mon ─▶ ceph-osd ─▶ radosgw answers ─▶ radosgw-admin: the users
//!    │ .endpoint  .users           each process dies with the thread that started it, also by SIGKILL of the test
//!    └ drop                        SIGKILL to all three: what they hold is thrown away
//! ```
//!
//! Any number may run at once. Nothing of a machine's own Ceph is read or touched: every program is given the
//! configuration in the folder.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::{Process, Upstream, rest, wait_for};

/// A user of the RADOS Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its ID, within the tenant.
    pub uid: String,
    /// What owners are called in answers.
    pub display_name: String,
    /// Unique among users.
    pub email: String,
    /// A name space of buckets beside the one that has no name.
    pub tenant: Option<String>,
    /// What it may administer, as `radosgw-admin --caps` has it: `user-policy=*;roles=*`.
    pub caps: Option<String>,
    /// Unique among users.
    pub access_key: String,
    /// For signatures.
    pub secret_key: String,
}

impl User {
    /// An ordinary user with fresh keys.
    pub fn new(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            display_name: uid.to_owned(),
            email: format!("{uid}@example.com"),
            tenant: None,
            caps: None,
            access_key: Uuid::new_v4().simple().to_string(),
            secret_key: Uuid::new_v4().simple().to_string(),
        }
    }
}

/// A running RADOS Gateway. Ends with the value, and at the latest with the process that holds it.
pub struct Ceph {
    /// `http://127.0.0.1:PORT`: path style, any region.
    pub endpoint: String,
    /// As they were given.
    pub users: Vec<User>,
    /// Monitor, OSD, radosgw.
    pub processes: Vec<Process>,
    /// Dropped to tell the keeper that it is over.
    over: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Ceph {
    /// Starts over `folder`, which is made and must not exist. Objects are kept in memory, at most 8 GiB.
    pub fn start(folder: &Path, users: Vec<User>) -> Result<Self> {
        let (over, wait) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let (folder, mine) = (folder.to_owned(), users.clone());
        // The kernel ends the processes with the thread that started them, so that is none that may end before.
        let keeper = std::thread::spawn(move || {
            let up = Cluster::start(&folder, &mine);
            let (cluster, said) = match up {
                Ok(cluster) => {
                    let said = (cluster.ports.endpoint(), cluster.processes());
                    (Some(cluster), Ok(said))
                }
                Err(error) => (None, Err(error)),
            };
            if tell.send(said).is_ok() {
                // Ends by an error when the sender is dropped.
                let _ = wait.recv();
            }
            drop(cluster);
        });
        let (endpoint, processes) = told.recv().context("the thread that starts Ceph ended")??;
        Ok(Self { endpoint, users, processes, over: Some(over), keeper: Some(keeper) })
    }

    /// As the storage of gateways, which act as the first user.
    pub fn upstream(&self) -> Result<Upstream> {
        let user = self.users.first().context("gateways need a user")?;
        Ok(Upstream {
            endpoint: self.endpoint.clone(),
            access_key: user.access_key.clone(),
            secret_key: user.secret_key.clone(),
        })
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        self.over = None;
        if let Some(keeper) = self.keeper.take() {
            // It would have panicked on its own thread, which was printed.
            let _ = keeper.join();
        }
    }
}

/// A block of ports that no other test takes while this value lives: a second monitor on a used port would make its
/// OSD known to the first one, and harm it.
struct Ports {
    first: u16,
    /// A name that the kernel gives to one process at a time, and takes back when that ends.
    _claim: UnixListener,
}

impl Ports {
    /// radosgw, the monitor, and four for the OSD, which looks for others where it must bind again.
    const BLOCK: u16 = 16;
    /// Below those that the kernel gives to whoever asks for any port.
    const RANGE: std::ops::Range<u16> = 20_000..32_000;

    fn claim() -> Result<Self> {
        let blocks = Self::RANGE.len() / usize::from(Self::BLOCK);
        let begin = usize::try_from(std::process::id())? % blocks;
        for step in 0..blocks {
            let offset = u16::try_from((begin + step) % blocks)? * Self::BLOCK;
            if let Some(ports) = Self::claim_block(Self::RANGE.start + offset)? {
                return Ok(ports);
            }
        }
        anyhow::bail!("no {} ports in a row of {:?} are free on 127.0.0.1", Self::BLOCK, Self::RANGE)
    }

    fn claim_block(first: u16) -> Result<Option<Self>> {
        let name = SocketAddr::from_abstract_name(format!("sealgate-test-ceph-{first}"))?;
        let Ok(claim) = UnixListener::bind_addr(&name) else { return Ok(None) };
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        Ok((first..first + Self::BLOCK).all(free).then_some(Self { first, _claim: claim }))
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.first)
    }
}

/// The processes. Ends them when it is dropped, also where the start was broken off.
struct Cluster {
    folder: PathBuf,
    ports: Ports,
    children: Vec<(&'static str, Child)>,
}

impl Cluster {
    fn start(folder: &Path, users: &[User]) -> Result<Self> {
        fs::create_dir(folder).with_context(|| folder.display().to_string())?;
        let folder = folder.canonicalize()?;
        let mut cluster = Self { ports: Ports::claim()?, folder, children: Vec::new() };
        let fsid = Uuid::new_v4().to_string();
        cluster.configure(&fsid)?;
        cluster.start_monitor(&fsid)?;
        cluster.start_osd()?;
        cluster.start_gateway()?;
        for user in users {
            cluster.create(user)?;
        }
        Ok(cluster)
    }

    fn configure(&self, fsid: &str) -> Result<()> {
        for name in ["mon", "osd", "rgw"] {
            fs::create_dir(self.folder.join(name))?;
        }
        fs::write(self.folder.join("keyring"), "")?;
        fs::write(self.folder.join("ceph.conf"), configuration(&self.folder, fsid, self.ports.first))?;
        Ok(())
    }

    fn start_monitor(&mut self, fsid: &str) -> Result<()> {
        let monmap = self.folder.join("monmap");
        let monmap = monmap.to_str().context("a path of UTF-8")?;
        let address = format!("[v2:127.0.0.1:{}/0]", self.ports.first + 1);
        self.run("monmaptool", &["--create", "--fsid", fsid, "--addv", "a", &address, monmap])?;
        self.run("ceph-mon", &["-i", "a", "--mkfs", "--monmap", monmap])?;
        self.spawn("ceph-mon", &["-i", "a", "-f"])
    }

    fn start_osd(&mut self) -> Result<()> {
        let uuid = Uuid::new_v4().to_string();
        self.run("ceph", &["--connect-timeout", "60", "osd", "new", &uuid])?;
        self.run("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", &uuid])?;
        self.spawn("ceph-osd", &["-i", "0", "-f"])
    }

    fn start_gateway(&mut self) -> Result<()> {
        self.spawn("radosgw", &["-n", "client.rgw", "-f"])?;
        let url = self.ports.endpoint();
        let mut ended = None;
        wait_for("radosgw answers", || {
            ended = self.children.iter_mut().find_map(|(name, child)| {
                let status = child.try_wait().ok().flatten()?;
                Some(format!("{name} ended ({status}); see {}", self.folder.display()))
            });
            let up = || rest::request("GET", &url, &[], "").is_ok_and(|reply| reply.status == 200);
            (ended.is_some() || up()).then_some(())
        })?;
        match ended {
            None => Ok(()),
            Some(why) => anyhow::bail!("{why}: {}", self.last_words()),
        }
    }

    fn create(&self, user: &User) -> Result<()> {
        let mut args = vec!["user", "create", "--uid", &user.uid, "--display-name", &user.display_name];
        args.extend(["--email", &user.email, "--access-key", &user.access_key, "--secret-key", &user.secret_key]);
        for (flag, value) in [("--tenant", &user.tenant), ("--caps", &user.caps)] {
            args.extend(value.iter().flat_map(|value| [flag, value.as_str()]));
        }
        self.run("radosgw-admin", &args)
    }

    /// Runs a program to its end, which must be a good one.
    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let output = Command::new(program)
            .arg("--conf")
            .arg(self.folder.join("ceph.conf"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{program} cannot be run: scripts/setup.sh test installs it"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {} failed ({}): {said}", args.join(" "), output.status);
        Ok(())
    }

    fn spawn(&mut self, program: &'static str, args: &[&str]) -> Result<()> {
        let out = File::options().create(true).append(true).open(self.folder.join(program).with_extension("out"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", program, "--conf"])
            .arg(self.folder.join("ceph.conf"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        self.children.push((program, child));
        Ok(())
    }

    fn processes(&self) -> Vec<Process> {
        self.children.iter().filter_map(|(_, child)| Process::of(child.id())).collect()
    }

    /// The end of what each process printed.
    fn last_words(&self) -> String {
        self.children.iter().fold(String::new(), |mut words, (name, _)| {
            let text = fs::read_to_string(self.folder.join(name).with_extension("out")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(5)..].join("\n");
            let _ = write!(words, "\n{name}: {end}");
            words
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // An orderly stop takes 6 s and more, and there is nothing to keep.
        for (_, child) in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A cluster of one without authentication. Why, where it is not plain:
/// `ms mon client mode`: radosgw hangs without. `cluster addr`: the OSD would listen on every address without.
/// `tcp_nodelay`: each GET would wait 43 ms. `rgw gc …`: what is deleted would stay in memory for two hours.
/// `rgw crypt …`: SSE-KMS by a key in the configuration, and SSE-C without TLS.
fn configuration(folder: &Path, fsid: &str, first: u16) -> String {
    let (folder, monitor, from, to) = (folder.display(), first + 1, first + 2, first + Ports::BLOCK - 1);
    format!(
        "[global]
fsid = {fsid}
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
keyring = {folder}/keyring
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind msgr1 = false
mon host = v2:127.0.0.1:{monitor}/0
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {from}
ms bind port max = {to}
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log
mon allow pool size one = true
mon data avail crit = 1
paxos propose interval = 0.05
osd pool default size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{first} tcp_nodelay=1
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey-1=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
"
    )
}
