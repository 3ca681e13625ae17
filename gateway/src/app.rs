//! Wires the parts together, and owns every task until it has ended.
//!
//! ```text
//! state, sealing key ─▶ upstreams ─▶ system bucket ─▶ group document ─▶ keys ─┐
//! policies, stats, ledger ────────────────────────────────────────────────────┼─▶ Front ─▶ S3 listener
//!                                                                             ├─▶ admin and metrics listeners
//!                                                                             └─▶ uplink
//! ```
//! A part that ends before it is told to takes the whole with it: a gateway without its journal, or without news of its
//! group, must not go on as if nothing had happened.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use telemetry::http::Bounds;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, FailedStart};
use crate::config::{self, Config};
use crate::group::{self, FirstStart, Group};
use crate::keys::{self, Keys};
use crate::s3::{self, Front, Settings};
use crate::scan::Scan;
use crate::sealing::SealingKey;
use crate::snapshot::Policies;
use crate::state::{State, StateError, now_ms};
use crate::stats::{Look, Recent, Seen, Stats};
use crate::system::{self, System};
use crate::uplink::{self, Uplink, UplinkOptions};
use crate::upstream::{self, Upstreams};

/// Note of a start that came to nothing, in the state directory.
const FAILED_START: &str = "failed-start.json";
/// How long what the last life left open is looked up before clients are let in.
const SETTLE: Duration = Duration::from_secs(5);
/// How long connections of the admin listener have to end once their transfers were cut off.
const LAST: Duration = Duration::from_secs(2);

/// Runs the gateway until `stop`, then until its requests have ended. Fails where it cannot start, or a part of it ends:
/// why, is told by the admin API after the next start. `log` is what it shows there.
pub async fn run(config: Config, log: telemetry::recent::Recent, stop: CancellationToken) -> anyhow::Result<()> {
    let state_dir = config.state_dir.clone();
    let result = serve(config, log, stop).await;
    if let Err(error) = &result
        // Another process that has the folder is well.
        && !matches!(error.downcast_ref(), Some(StateError::InUse(_)))
    {
        let failed = FailedStart { at_ms: now_ms(), message: format!("{error:#}") };
        let text = serde_json::to_string(&failed).context("a failed start")?;
        if let Err(error) = write_whole(&state_dir.join(FAILED_START), &text) {
            tracing::warn!(%error, "a failed start cannot be noted");
        }
    }
    result
}

/// What the last start noted, where it came to nothing; the note is removed.
fn failed_start(state_dir: &Path) -> Option<FailedStart> {
    let path = state_dir.join(FAILED_START);
    let text = std::fs::read(&path).ok()?;
    if let Err(error) = remove(&path) {
        tracing::warn!(%error, "the note of a failed start is left over");
    }
    serde_json::from_slice(&text).ok()
}

#[expect(clippy::too_many_lines, reason = "the list of all parts, read once from top to bottom")]
async fn serve(config: Config, log: telemetry::recent::Recent, stop: CancellationToken) -> anyhow::Result<()> {
    let Config {
        region, state_dir, sealing_key, floor, listen, storage, central, first_admin, limits, uploads, ..
    } = config;
    if let Some(file) = &listen.addresses_file {
        remove(file)?;
    }
    let sealing = Arc::new(SealingKey::load(&sealing_key)?);
    let state = Arc::new(State::open(&state_dir)?);
    let policies = Policies::open(&state_dir).context("the policies held on disk")?;
    let stats = Stats::open(&state)?;
    let ledger = state.ledger();
    let upstreams = Arc::new(Upstreams::open(&storage, &limits)?);

    let mut options = system::Options::new(&storage.system_bucket, &region);
    options.allow_unconditional = storage.single_gateway;
    let system = Arc::new(System::open(upstreams.home().clone(), &options).await?);
    let storage_id = system.storage_id();
    let (group, first) = Group::open(system, Arc::clone(&sealing), group::Options::default(), &first_admin).await?;
    if let Some(first) = first {
        tell_first_start(&first, first_admin.file.as_deref())?;
    }

    let keys = Keys::new(keys::Options::default(), key_hooks(&stats));
    keys.configure(&group.document()).await;

    let front = Arc::new(Front {
        upstreams: Arc::clone(&upstreams),
        group: Arc::clone(&group),
        keys: keys.clone(),
        policies: policies.clone(),
        stats: stats.clone(),
        ledger: ledger.clone(),
        uploads: s3::Uploads::default(),
        footers: s3::Footers::default(),
        work: s3::Work::default(),
        settings: Settings {
            region,
            domains: listen.s3_domains.clone(),
            system_bucket: storage.system_bucket,
            floor: floor == config::Floor::Encrypt,
            limits: limits.clone(),
        },
    });
    let look = look(&front);
    stats.settle(&look, SETTLE).await;
    let scan = Scan::new(Arc::clone(&front), &uploads);
    scan.start().await;

    let uplink = Uplink::new(
        central.map(uplink_options),
        &state,
        policies.clone(),
        stats.clone(),
        Arc::clone(&sealing),
        uplink_hooks(&keys, &scan, storage_id),
    );

    let recent = Arc::new(Recent::new(&stats));
    let listeners = Listeners::bind(&listen).await?;
    let addresses = listeners.addresses()?;

    let mut registry = telemetry::registry();
    stats.register(&mut registry);
    let ready: telemetry::Health = {
        let group = Arc::clone(&group);
        Arc::new(move || group.writable().map_err(|stale| stale.to_string()))
    };
    let metrics = telemetry::router(Arc::new(registry), ready);
    // What serves clients stops first; what writes down what they did stops when they are gone.
    let (serving, keeping) = (CancellationToken::new(), CancellationToken::new());
    let admin = Arc::new(Admin {
        group: Arc::clone(&group),
        keys: keys.clone(),
        upstreams,
        ledger: ledger.clone(),
        policies,
        floor,
        uplink: uplink.clone(),
        scan: Arc::clone(&scan),
        failed_start: failed_start(&state_dir),
        sessions: admin::Sessions::default(),
        front: Arc::clone(&front),
        transfers: admin::Transfers::new(limits.body_timeout, serving.clone()),
        recent: Arc::clone(&recent),
        log,
    });

    let mut servers = JoinSet::new();
    let mut keepers = JoinSet::new();
    servers.spawn(s3::serve(listeners.s3, front, serving.clone()).map(|()| "the S3 listener"));
    servers.spawn(administer(listeners.admin, admin, limits.drain, serving.clone()));
    keepers.spawn(web(listeners.metrics, metrics, keeping.clone(), "the metrics listener"));
    keepers.spawn(Arc::clone(&group).run(keeping.clone()).map(|()| "the look at the group document"));
    keepers.spawn(keys.follow(group, keeping.clone()).map(|()| "the look at the KMS"));
    keepers.spawn({
        let (ledger, stop) = (ledger, keeping.clone());
        async move {
            ledger.run(stop).await;
            "the ledger"
        }
    });
    keepers.spawn({
        let (stats, stop) = (stats.clone(), keeping.clone());
        async move {
            recent.run(&stats, stop).await;
            "the figures of the last hour"
        }
    });
    keepers.spawn({
        let (stats, stop) = (stats, keeping.clone());
        async move {
            stats.run(look, stop).await;
            "the statistics"
        }
    });
    keepers.spawn(scan.run(keeping.clone()).map(|()| "the jobs"));
    keepers.spawn({
        let stop = keeping.clone();
        async move {
            uplink.run(stop).await;
            "the uplink"
        }
    });
    if let Some(file) = &listen.addresses_file {
        addresses.write(file)?;
    }
    tracing::info!(s3 = %addresses.s3, admin = %addresses.admin, metrics = %addresses.metrics, "gateway is ready");

    let early = tokio::select! {
        () = stop.cancelled() => None,
        ended = servers.join_next() => ended,
        ended = keepers.join_next() => ended,
    };
    tracing::info!("gateway is stopping");
    serving.cancel();
    while servers.join_next().await.is_some() {}
    keeping.cancel();
    while keepers.join_next().await.is_some() {}
    if let Some(file) = &listen.addresses_file {
        remove(file)?;
    }
    drop(state);
    match early {
        None => Ok(()),
        Some(Ok(part)) => anyhow::bail!("{part} ended by itself"),
        Some(Err(error)) => Err(error).context("a part of the gateway failed"),
    }
}

/// Tells the statistics of every call of a KMS.
fn key_hooks(stats: &Stats) -> keys::Hooks {
    let (calls, wraps) = (stats.clone(), stats.clone());
    keys::Hooks {
        kms_call: Box::new(move |kms, operation, ok| calls.kms_call(kms.as_str(), operation, ok)),
        kek_wraps: Box::new(move |count| wraps.kek_wraps(count)),
    }
}

/// What Central may ask for.
fn uplink_hooks(keys: &Keys, scan: &Arc<Scan>, storage_id: ids::StorageId) -> uplink::Hooks {
    let (keys, scan) = (keys.clone(), Arc::clone(scan));
    uplink::Hooks {
        flush_keys: Arc::new(move || keys.flush()),
        inventory: Arc::new(move || {
            let scan = Arc::clone(&scan);
            async move { scan.inventory().await }.boxed()
        }),
        storage_id: Arc::new(move || Some(storage_id)),
    }
}

fn uplink_options(central: config::Central) -> UplinkOptions {
    UplinkOptions {
        address: central.address,
        token: central.token,
        token_file: central.token_file,
        name: central.name,
        report_interval: central.report_interval,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Enrols at Central by the command line.
pub async fn enrol(config: Config, token: &str) -> anyhow::Result<()> {
    let sealing = SealingKey::load(&config.sealing_key)?;
    let _state = State::open(&config.state_dir).context("the gateway must not run meanwhile")?;
    let report_interval = Duration::from_secs(10);
    let central = config.central.unwrap_or(config::Central {
        address: None,
        token: None,
        token_file: None,
        name: None,
        report_interval,
    });
    let enrolled = uplink::enrol_now(&uplink_options(central), &config.state_dir, token, &sealing).await?;
    tracing::info!(gateway_id = %enrolled.gateway_id, name = enrolled.name, "gateway is enrolled");
    Ok(())
}

async fn web(listener: TcpListener, router: axum::Router, stop: CancellationToken, name: &'static str) -> &'static str {
    telemetry::http::serve(listener, router, Bounds::default(), stop).await;
    name
}

/// Serves the admin listener until `stop`; gives what is under way the configured time, then cuts it off.
async fn administer(
    listener: TcpListener,
    admin: Arc<Admin>,
    drain: Duration,
    stop: CancellationToken,
) -> &'static str {
    let (router, _) = admin::router(Arc::clone(&admin));
    let serving = web(listener, router, stop.clone(), "the admin listener");
    tokio::pin!(serving);
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    let name = tokio::select! {
        name = &mut serving => name,
        () = drained => {
            admin.transfers.end().await;
            // A client that takes nothing keeps its connection; nothing is lost with it.
            tokio::time::timeout(LAST, serving).await.unwrap_or("the admin listener")
        }
    };
    admin.transfers.end().await;
    name
}

/// A look at an object for the statistics.
pub(crate) fn look(front: &Arc<Front>) -> Look {
    let front = Arc::clone(front);
    Arc::new(move |bucket, key| {
        let front = Arc::clone(&front);
        async move { seen(&front, &bucket, &key).await }.boxed()
    })
}

async fn seen(front: &Front, bucket: &str, key: &str) -> Result<Option<Seen>, String> {
    let place = front.place(&front.group.document(), bucket).map_err(|error| error.message)?;
    let head = upstream::request(Method::HEAD, upstream::uri(&place.bucket, Some(key), &[]));
    let response = place.upstream.call(head).await.map_err(|error| error.to_string())?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        status => return Err(format!("HEAD answers {status}")),
    }
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let modified = time::OffsetDateTime::parse(text("last-modified"), &time::format_description::well_known::Rfc2822)
        .map_err(|error| format!("HEAD: Last-Modified: {error}"))?;
    Ok(Some(Seen {
        etag: text("etag").trim_matches('"').to_owned(),
        size: text("content-length").parse().map_err(|error| format!("HEAD: Content-Length: {error}"))?,
        modified_ms: modified.unix_timestamp() * 1000,
        mark: s3::mark_of_headers(response.headers()),
    }))
}

/// The bound sockets.
struct Listeners {
    s3: TcpListener,
    admin: TcpListener,
    metrics: TcpListener,
}

impl Listeners {
    async fn bind(listen: &config::Listen) -> anyhow::Result<Self> {
        let bind = async |what: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("listen.{what}: {address} cannot be listened on"))
        };
        Ok(Self {
            s3: bind("s3", listen.s3).await?,
            admin: bind("admin", listen.admin).await?,
            metrics: bind("metrics", listen.metrics).await?,
        })
    }

    fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            pid: std::process::id(),
            s3: self.s3.local_addr()?,
            admin: self.admin.local_addr()?,
            metrics: self.metrics.local_addr()?,
        })
    }
}

/// Where the gateway listens, for whoever started it.
struct Addresses {
    pid: u32,
    s3: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
}

impl Addresses {
    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::json!({
            "pid": self.pid,
            "s3": self.s3.to_string(),
            "admin": self.admin.to_string(),
            "metrics": self.metrics.to_string(),
        });
        write_whole(file, &text.to_string())
    }
}

/// Puts a file there in one step, for its owner only.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let mut aside = file.as_os_str().to_owned();
    aside.push(".new");
    let aside = std::path::PathBuf::from(aside);
    let write = || {
        let mut new = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        std::fs::rename(&aside, file)
    };
    write().with_context(|| format!("{} cannot be written", file.display()))
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}

/// Tells whoever starts the first gateway of a group its administrator's credential: this is the only time.
fn tell_first_start(first: &FirstStart, file: Option<&Path>) -> anyhow::Result<()> {
    if let Some(file) = file {
        let text = serde_json::json!({
            "access_key": first.access_key,
            "secret_key": first.secret_key.expose(),
            "token": first.token.expose(),
        });
        write_whole(file, &text.to_string())?;
        tracing::info!(file = %file.display(), "administrator's credential is written");
    } else if first.drawn {
        // To the terminal and not to the log, which is kept and collected.
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "The administrator of this gateway group, told this once:\n  access key  {}\n  secret key  {}\n  API token   {}",
            first.access_key,
            first.secret_key.expose(),
            first.token.expose()
        )
        .context("the administrator's credential cannot be told")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_of_a_failed_start_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(failed_start(folder.path()), None);
        let note = FailedStart { at_ms: 5, message: "listen.s3: the port is taken".to_owned() };
        write_whole(&folder.path().join(FAILED_START), &serde_json::to_string(&note).unwrap()).unwrap();
        assert_eq!(failed_start(folder.path()), Some(note));
        assert_eq!(failed_start(folder.path()), None);
    }

    #[tokio::test]
    async fn a_start_that_comes_to_nothing_is_noted_but_not_in_the_folder_of_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let (state, key) = (folder.path().join("state"), folder.path().join("key"));
        let start = async || {
            let flags = [
                format!("state_dir={}", state.display()),
                format!("sealing_key=file:{}", key.display()),
                "backends.disk.kind=directory".to_owned(),
                format!("backends.disk.path={}", folder.path().join("data").display()),
            ];
            let config = Config::load(None, [], &flags).unwrap_or_else(|mistakes| panic!("{mistakes}"));
            run(config, telemetry::recent::Recent::default(), CancellationToken::new()).await.expect_err("no start")
        };
        let living = State::open(&state).unwrap();
        let error = start().await;
        let note = failed_start(&state).expect("a note");
        assert!(note.message.contains("sealing key") && note.message == format!("{error:#}"), "{note:?}");
        std::fs::write(&key, (0..32).collect::<Vec<u8>>()).unwrap();
        let error = start().await;
        assert!(matches!(error.downcast_ref(), Some(StateError::InUse(_))), "{error:#}");
        assert_eq!(failed_start(&state), None);
        drop(living);
    }
}
