//! Puts the parts together, serves until told to stop, and stops in order.
//!
//! ```text
//! database, migrations ─▶ sealing key ─▶ first lineage, first account ─▶ certificates, feed, fleet ─▶ listeners
//! stop: REST and gRPC drain ─▶ jobs ─▶ last checkpoint of denials ─▶ metrics
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;
use telemetry::http::Bounds;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::audit::Denials;
use crate::config::Config;
use crate::error::Error;
use crate::feed::Feed;
use crate::gateways::Fleet;
use crate::live::Live;
use crate::pki::Pki;
use crate::policies::{self, Policies};
use crate::rpc::{self, Services};
use crate::sealing::SealingKey;
use crate::stats::Stats;
use crate::{db, jobs, operators, routes};

/// Longest wait for open requests at the end.
const DRAIN: Duration = Duration::from_secs(10);

/// Longest wait for the database at the start: a machine that boots starts it beside us.
const DATABASE: Duration = Duration::from_mins(1);

/// What REST handlers get. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// For everything but reports.
    pub db: PgPool,
    /// As it is in effect.
    pub config: Arc<Config>,
    /// Refused attempts.
    pub denials: Arc<Denials>,
    /// The policy set.
    pub policies: Policies,
    /// What REST shares with gRPC.
    pub services: Services,
    /// Hints to consoles.
    pub live: Arc<Live>,
    /// Secrets at rest.
    pub sealing: Arc<SealingKey>,
    database_answers: Arc<AtomicBool>,
}

impl App {
    /// Whether requests can be served.
    pub fn ready(&self) -> Result<(), String> {
        if self.database_answers.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err("the database does not answer".to_owned())
        }
    }

    /// Opens everything that needs no listener. `address` is what enrolment tokens carry.
    pub async fn open(config: Arc<Config>, address: String) -> Result<Self, Error> {
        let db = db::pool(&config.database.url, config.database.connections)?;
        let ingest = db::pool(&config.database.url, config.database.ingest_connections)?;
        wait_for_database(&db).await?;
        db::migrate(&db).await?;
        Self::over(config, db, ingest, address).await
    }

    /// The same over pools of a database that is up to date.
    pub(crate) async fn over(config: Arc<Config>, db: PgPool, ingest: PgPool, address: String) -> Result<Self, Error> {
        policies::begin(&db).await?;
        let key = || {
            SealingKey::load(&config.sealing.key)
                .map_err(|error| Error::internal("the sealing key cannot be read", error))
        };
        let pki = Pki::open(&db, key()?, &config.gateways, names(&config, &address)).await?;
        let feed = Feed::open(db.clone()).await?;
        let fleet = Fleet::open(db.clone(), &config.gateways).await?;
        let services = Services {
            db: db.clone(),
            pki,
            feed: feed.clone(),
            fleet,
            stats: Stats::new(ingest),
            address: address.into(),
        };
        Ok(Self {
            policies: Policies::new(db.clone(), feed, config.database.notify),
            db,
            denials: Arc::default(),
            live: Arc::default(),
            services,
            sealing: Arc::new(key()?),
            config,
            database_answers: Arc::new(AtomicBool::new(true)),
        })
    }
}

/// Runs Central until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let signal = signalled()?;
    let token = stop.clone();
    let waiter = tokio::spawn(async move {
        signal.await;
        token.cancel();
    });
    let served = serve(config, stop).await;
    waiter.abort();
    served
}

/// Runs Central until `stop`.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let config = Arc::new(config);
    let console = bind(config.listen.console).await?;
    let grpc = bind(config.listen.grpc).await?;
    let metrics = bind(config.listen.metrics).await?;
    let addresses = Addresses { console: local(&console)?, grpc: local(&grpc)?, metrics: local(&metrics)? };
    let address = config.public.grpc.clone().unwrap_or_else(|| format!("https://{}", addresses.grpc));

    let opening = async {
        let app = App::open(config.clone(), address).await?;
        first_start(&app).await.map(|()| app)
    };
    let app = tokio::select! {
        app = opening => app?,
        () = stop.cancelled() => return Ok(()),
    };

    let mut registry = telemetry::registry();
    jobs::register(&app.services, &mut registry);
    let health = app.clone();
    let health: telemetry::Health = Arc::new(move || health.ready());

    // Ends with the listeners; what outlives them has a token of its own.
    let after = CancellationToken::new();
    let mut listeners: JoinSet<Result<(), Error>> = JoinSet::new();
    let mut background: JoinSet<Result<(), Error>> = JoinSet::new();

    let router = telemetry::router(Arc::new(registry), health);
    let token = after.clone();
    background.spawn(async move {
        telemetry::http::serve(metrics, router, Bounds::default(), token).await;
        Ok(())
    });
    let settings = jobs::Settings {
        notify: config.database.notify,
        heartbeat: config.gateways.heartbeat_interval,
        statistics_kept: config.retention.statistics,
    };
    background.spawn(jobs::run(app.services.clone(), settings, after.clone()));
    background.spawn(housekeeping(app.clone(), after.clone()));
    let (live, services, token) = (app.live.clone(), app.services.clone(), after.clone());
    background.spawn(async move {
        live.run(&services, token).await;
        Ok(())
    });

    let admission = rpc::Admission {
        connections: usize::try_from(config.limits.grpc_connections).unwrap_or(usize::MAX),
        handshakes: usize::try_from(config.limits.grpc_handshakes).unwrap_or(usize::MAX),
    };
    listeners.spawn(rpc::serve(grpc, app.services.clone(), admission, stop.clone()));
    let (router, token) = (routes::router(app.clone()), stop.clone());
    let connections = usize::try_from(config.limits.console_connections).unwrap_or(usize::MAX);
    listeners.spawn(async move {
        telemetry::http::serve(console, router, Bounds { connections, ..Bounds::default() }, token).await;
        Ok(())
    });

    if let Some(path) = &config.listen.addresses_file {
        addresses.write(path)?;
    }
    tracing::info!(console = %addresses.console, grpc = %addresses.grpc, metrics = %addresses.metrics, "central serves");
    // A part that ends before it is told to takes the rest with it: half a Central would look alive.
    let mut outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = listeners.join_next() => part_ended(ended),
        ended = background.join_next() => part_ended(ended),
    };
    stop.cancel();
    // They would hold up the drain.
    app.live.end();
    tracing::info!("central stops");
    drain(&mut listeners, &mut outcome).await;
    after.cancel();
    drain(&mut background, &mut outcome).await;
    app.db.close().await;
    outcome
}

type Ended = Option<Result<Result<(), Error>, tokio::task::JoinError>>;

fn part_ended(ended: Ended) -> Result<(), Error> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(Error::internal("a part of Central broke", error)),
        Some(Ok(Ok(()))) | None => {
            Err(Error::internal("a part of Central", anyhow::anyhow!("it ended before it was told to")))
        }
    }
}

/// Waits for the tasks, at most [`DRAIN`]; what is left is aborted. The first failure is kept.
async fn drain(tasks: &mut JoinSet<Result<(), Error>>, outcome: &mut Result<(), Error>) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            let failed = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(error) => Error::internal("a part of Central broke", error),
            };
            tracing::warn!(error = %failed, "part fails while stopping");
            if outcome.is_ok() {
                *outcome = Err(failed);
            }
        }
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!(left = tasks.len(), "requests are cut off at the end");
    }
    tasks.shutdown().await;
}

/// Checkpoints of denials, readiness, removal of what is over.
async fn housekeeping(app: App, stop: CancellationToken) -> Result<(), Error> {
    let tick = async {
        let mut round = 0_u32;
        loop {
            let answers = tokio::time::timeout(Duration::from_secs(5), db::ping(&app.db)).await;
            let answers = answers.is_ok_and(|answer| answer.is_ok());
            if app.database_answers.swap(answers, Ordering::Relaxed) != answers {
                tracing::warn!(answers, "database changes its state");
            }
            if round.is_multiple_of(900)
                && answers
                && let Err(error) = operators::sweep(&app.db).await
            {
                tracing::warn!(%error, "what is over cannot be removed yet");
            }
            round = round.wrapping_add(1);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    tokio::join!(app.denials.run(&app.db, stop.clone()), async {
        tokio::select! { () = stop.cancelled() => {}, () = tick => {} }
    });
    Ok(())
}

/// The first account and the configured token.
async fn first_start(app: &App) -> Result<(), Error> {
    if let Some(password) = operators::begin(&app.db, &app.config.admin).await? {
        show_once(&password);
    }
    if let Some(path) = &app.config.admin.token_file {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|error| Error::internal("admin.token_file cannot be read", error))?;
        operators::hold_configured_token(&app.db, text.trim()).await?;
    }
    Ok(())
}

/// To the terminal of whoever started Central, not to the log.
fn show_once(password: &str) {
    use std::io::Write as _;
    let text = format!("The account {:?} was made. Its password, shown this once: {password}\n", operators::FIRST);
    // Nobody reads standard error: then an administrator sets a password in the configuration and starts anew.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Where Central listens, for whoever started it.
#[derive(Debug, Serialize)]
struct Addresses {
    console: String,
    grpc: String,
    metrics: String,
}

impl Addresses {
    /// Written beside and renamed: a reader sees the whole file or none.
    fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::internal("listen.addresses_file cannot be written", error);
        let text = serde_json::to_vec(self).map_err(|error| Error::internal("the addresses", error))?;
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::internal("a listener cannot be bound", anyhow::Error::new(error).context(address.to_string()))
    })
}

fn local(listener: &TcpListener) -> Result<String, Error> {
    listener.local_addr().map(|address| address.to_string()).map_err(|error| Error::internal("a bound address", error))
}

/// Names of Central's certificate: those that are configured, the host of the address, loopback.
fn names(config: &Config, address: &str) -> Vec<String> {
    let mut names = config.public.names.clone();
    let host = address.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(ToOwned::to_owned));
    let host = host.map(|host| host.trim_matches(['[', ']']).to_owned());
    names.extend(host);
    names.extend(["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned));
    names.sort();
    names.dedup();
    names
}

async fn wait_for_database(db: &PgPool) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + DATABASE;
    loop {
        match db::reach(db).await {
            Ok(()) => return Ok(()),
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "database does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// A future that ends with the first SIGTERM or SIGINT after this call.
fn signalled() -> Result<impl Future<Output = ()> + Send, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::internal("signals cannot be received", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_for_the_database_says_why_and_ends_when_it_is_told_to() {
        // Bound and not listening: whoever connects is refused.
        let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
        nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let port = nobody.local_addr().expect("bound").port();
        let settings = [
            format!("database.url=postgres://nobody@127.0.0.1:{port}/none"),
            "listen.console=127.0.0.1:0".to_owned(),
            "listen.grpc=127.0.0.1:0".to_owned(),
            "listen.metrics=127.0.0.1:0".to_owned(),
            "sealing.key=file:/nowhere".to_owned(),
        ];
        let config =
            Config::load(None, std::iter::empty(), settings.iter().map(String::as_str)).expect("legal settings");
        let pool = db::pool(&config.database.url, 1).expect("a legal URL");
        let why = format!("{:#}", anyhow::Error::from(db::reach(&pool).await.expect_err("nobody listens")));
        assert!(why.contains(&format!("127.0.0.1:{port}")) && why.contains("refused"), "{why}");

        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(config, stop.clone()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!serving.is_finished(), "it waits");
        stop.cancel();
        let ended = tokio::time::timeout(DATABASE / 4, serving).await.expect("long before it would give up");
        ended.expect("no panic").expect("it was told to");
    }
}
