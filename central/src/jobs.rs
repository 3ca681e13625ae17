//! What a replica does without being asked. Every job reads the state and brings it to what it should be; none acts on
//! what a notification says. A job that fails is tried again at its next turn.
//!
//! | job | when | does |
//! |---|---|---|
//! | feed | woken, every second | reads the head of the policies |
//! | flush | acks at once (gathered for 100 ms), else every second | news of gateways to the database |
//! | states | woken, every 1.5 s | ends streams of gateways that may no longer call |
//! | listen | while the database notifies | wakes feed and states |
//! | metrics | every second, less often where it takes long | reads what `/metrics` shows |
//! | certificates | every minute | new authorities, new certificate of the listener |
//! | upkeep | every ten minutes | rolls up statistics, removes the old ones, forgets what expired |

use std::time::Duration;

use prometheus_client::registry::Registry;
use sqlx::postgres::PgListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::rpc::Services;
use crate::{enrolment, gateways, stats};

/// Channel on which edits of policies wake.
pub const POLICIES_CHANNEL: &str = "sealgate_policies";

/// Acks are gathered so long before they are written.
const GATHER: Duration = Duration::from_millis(100);
const FLUSH: Duration = Duration::from_secs(1);
const STATES: Duration = Duration::from_millis(1_500);
const METRICS: Duration = Duration::from_secs(1);
const CERTIFICATES: Duration = Duration::from_mins(1);
const UPKEEP: Duration = Duration::from_mins(10);

/// What the jobs are told.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Listen for notifications of the database.
    pub notify: bool,
    /// Between two heartbeats of a gateway, as gateways are told.
    pub heartbeat: Duration,
    /// How long figures by the day are kept.
    pub statistics_kept: Duration,
}

/// Enters the metrics of gateways, policies and reports.
pub fn register(services: &Services, registry: &mut Registry) {
    stats::metrics::register(registry, &services.stats, &services.fleet, &services.feed, &services.pki);
}

/// Runs every job until `stop`; writes the last news of gateways before it returns.
pub async fn run(services: Services, settings: Settings, stop: CancellationToken) -> Result<(), Error> {
    let jobs = TaskTracker::new();
    let spawn = |job: fn(Services, Settings) -> futures_util::future::BoxFuture<'static, ()>| {
        let (services, stop) = (services.clone(), stop.clone());
        jobs.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = job(services, settings) => {} }
        });
    };
    spawn(|services, _| Box::pin(flush(services)));
    spawn(|services, _| Box::pin(states(services)));
    spawn(|services, settings| Box::pin(metrics(services, settings)));
    spawn(|services, _| Box::pin(certificates(services)));
    spawn(|services, settings| Box::pin(upkeep(services, settings)));
    if settings.notify {
        spawn(|services, _| Box::pin(listen(services)));
    }
    let feed = services.feed.clone();
    let ends = stop.clone();
    jobs.spawn(async move { feed.run(ends).await });
    stop.cancelled().await;
    jobs.close();
    jobs.wait().await;
    services.fleet.flush(&services.db).await
}

/// Logs a failure once, until the job works again.
struct Health {
    job: &'static str,
    failing: bool,
}

impl Health {
    fn of(job: &'static str) -> Self {
        Self { job, failing: false }
    }

    fn note(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(job = self.job, "a job works again");
                }
            }
            Err(error) if self.failing => tracing::debug!(job = self.job, %error, "a job fails"),
            Err(error) => {
                self.failing = true;
                tracing::warn!(job = self.job, %error, "a job fails and is tried again");
            }
        }
    }
}

async fn flush(services: Services) {
    let mut health = Health::of("flush");
    loop {
        if timeout(FLUSH, services.fleet.urgent.notified()).await.is_ok() {
            sleep(GATHER).await;
        }
        health.note(services.fleet.flush(&services.db).await);
    }
}

async fn states(services: Services) {
    let mut health = Health::of("states");
    loop {
        // Woken or not, the database says.
        let _ = timeout(STATES, services.fleet.changed.notified()).await;
        health.note(services.fleet.reread(&services.db).await);
    }
}

async fn metrics(services: Services, settings: Settings) {
    let mut health = Health::of("metrics");
    loop {
        let begun = Instant::now();
        health.note(services.stats.refresh(&services.db, settings.heartbeat).await);
        // At most a twentieth of the time is spent on it.
        sleep(METRICS.max(begun.elapsed() * 20)).await;
    }
}

async fn certificates(services: Services) {
    let mut health = Health::of("certificates");
    loop {
        sleep(CERTIFICATES).await;
        health.note(services.pki.refresh(&services.db).await);
    }
}

async fn upkeep(services: Services, settings: Settings) {
    let mut health = Health::of("upkeep");
    loop {
        sleep(UPKEEP).await;
        health.note(
            async {
                stats::store::roll_up(&services.db).await?;
                stats::traffic::prune(&services.db, settings.statistics_kept).await?;
                gateways::events::prune(&services.db).await?;
                enrolment::prune(&services.db, services.pki.window).await
            }
            .await,
        );
    }
}

/// A listener that breaks costs the wake-up, nothing else: the ticks read on.
async fn listen(services: Services) {
    let mut health = Health::of("listen");
    loop {
        let result = listening(&services).await;
        health.note(result);
        sleep(Duration::from_secs(1) + Duration::from_millis(gateways::below(1_000))).await;
    }
}

async fn listening(services: &Services) -> Result<(), Error> {
    let broken = |error| Error::database("listen for notifications", error);
    let mut listener = PgListener::connect_with(&services.db).await.map_err(broken)?;
    listener.listen_all([POLICIES_CHANNEL, gateways::store::CHANNEL]).await.map_err(broken)?;
    // What was notified before is read now.
    services.feed.wake();
    services.fleet.changed.notify_one();
    loop {
        let notification = listener.recv().await.map_err(broken)?;
        if notification.channel() == POLICIES_CHANNEL {
            services.feed.wake();
        } else {
            services.fleet.changed.notify_one();
        }
    }
}
