//! The database: the pool, the embedded migrations, transactions with a name and a bounded retry.
//!
//! What is durable: everything in the tables. What is not: liveness of gateways, counts of denied attempts that are not
//! yet in a checkpoint. The one clock for expiry, lock-outs and the audit is the database's, so that replicas agree.
//!
//! Constraints have names ([`constraint`]); a slice maps them to its own errors. Every write says how many rows it must
//! touch ([`exactly_one`]).

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};

use crate::error::Error;

/// A transaction of `transaction!`; `&mut **tx` is the executor.
pub type Tx = sqlx::Transaction<'static, Postgres>;

/// Every file of `migrations/`, in the binary.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Times that a transaction is tried before its conflict is reported as [`Kind::Unavailable`](crate::error::Kind).
pub const ATTEMPTS: u32 = 5;

/// Longest wait for a free connection.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Opens a pool. Nothing is checked yet; see [`migrate`].
///
/// Each connection gives up on a statement after 30 s, on a lock after 10 s, and on an idle transaction after 60 s, so
/// that a stuck peer cannot hold the head of the policies or of the audit for ever.
pub fn pool(url: &str, connections: u32) -> Result<PgPool, Error> {
    let options: PgConnectOptions =
        url.parse().map_err(|error| Error::internal("the database URL is not understood", error))?;
    let options = options.application_name("sealgate-central").options([
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ]);
    Ok(PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE).connect_lazy_with(options))
}

/// Applies the migrations that the database does not have. Replicas that start together wait for one another.
///
/// A database that is newer than this binary is refused, not downgraded.
pub async fn migrate(db: &PgPool) -> Result<(), Error> {
    MIGRATIONS.run(db).await.map_err(|error| Error::internal("the database cannot be migrated", error))
}

/// Runs a block in one transaction with a name and commits it; a future of `Result<T, Error>`.
///
/// A conflict that the database resolved by refusing one side (serialization failure, deadlock) is tried again, at most
/// [`ATTEMPTS`] times with growing, random pauses: the block must have no effect outside the transaction. Any error
/// rolls back. Dropping the future rolls back as well.
///
/// ```ignore
/// let id = db::transaction!(&app.db, "create-token", async |tx| {
///     sqlx::query!("…").execute(&mut **tx).await.map_err(|e| Error::database("create a token", e))?;
///     audit::record(tx, &actor, "token.created", &name, &detail).await?;
///     Ok(id)
/// }).await?;
/// ```
/// A macro, because the compiler cannot prove that an async closure over a borrowed transaction may move between
/// threads.
macro_rules! transaction {
    ($db:expr, $name:literal, async |$tx:ident| $work:block) => {
        async {
            let mut attempt = 1;
            loop {
                let done: Result<_, $crate::error::Error> = async {
                    let mut open = $crate::db::begin($db, $name).await?;
                    let worked: Result<_, $crate::error::Error> = {
                        let $tx = &mut open;
                        async { $work }.await
                    };
                    let value = worked?;
                    $crate::db::commit(open, $name).await?;
                    Ok(value)
                }
                .await;
                match done {
                    Err(error) if $crate::db::try_again(&error, $name, attempt).await => attempt += 1,
                    done => break done,
                }
            }
        }
    };
}
pub(crate) use transaction;

/// Begins the transaction of that name.
pub(crate) async fn begin(db: &PgPool, name: &'static str) -> Result<Tx, Error> {
    db.begin().await.map_err(|error| Error::database(name, error))
}

/// Commits it.
pub(crate) async fn commit(tx: Tx, name: &'static str) -> Result<(), Error> {
    tx.commit().await.map_err(|error| Error::database(name, error))
}

/// Waits and says yes where the transaction lost against another and has attempts left.
pub(crate) async fn try_again(error: &Error, name: &'static str, attempt: u32) -> bool {
    if !error.is_conflict() {
        return false;
    }
    if attempt >= ATTEMPTS {
        tracing::warn!(transaction = name, attempt, "transaction gives up after repeated conflicts");
        return false;
    }
    tracing::debug!(transaction = name, attempt, "transaction conflicts and is tried again");
    tokio::time::sleep(pause(attempt)).await;
    true
}

/// Between half and the whole of 10 ms × 2^attempt.
fn pause(attempt: u32) -> Duration {
    let full = 10_000_u64 << attempt.min(8);
    let mut random = [0; 8];
    // A failed draw costs jitter, nothing else.
    let _ = aws_lc_rs::rand::fill(&mut random);
    Duration::from_micros(full / 2 + u64::from_le_bytes(random) % (full / 2))
}

/// The name of the constraint that a statement broke, where that is why it failed.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint)
}

/// Checks that a write touched one row, no fewer and no more.
pub fn exactly_one(what: &'static str, result: &PgQueryResult) -> Result<(), Error> {
    match result.rows_affected() {
        1 => Ok(()),
        rows => Err(Error::internal(what, anyhow::anyhow!("{rows} rows were touched where one was due"))),
    }
}

/// The first `most`, and whether there were more: a question whose answer may be cut off asks for one row more.
pub fn at_most<T>(mut rows: Vec<T>, most: i64) -> (Vec<T>, bool) {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    (rows, more)
}

/// A number of the database that cannot be negative.
pub fn unsigned(table: &'static str, column: &'static str, value: i64) -> Result<u64, Error> {
    value.try_into().map_err(|error| Error::corrupt(table, column, error))
}

/// A number as the database stores it.
pub fn signed(what: &'static str, value: u64) -> Result<i64, Error> {
    value.try_into().map_err(|error| Error::internal(what, error))
}

/// Answers once the database does; for `/readyz`.
pub async fn ping(db: &PgPool) -> Result<(), Error> {
    sqlx::query_scalar!("select 1").fetch_one(db).await.map(drop).map_err(|error| Error::database("ping", error))
}

/// Connects once, apart from the pool, which tells of a failure only that it took too long. The error says where to and
/// why.
pub async fn reach(db: &PgPool) -> Result<(), Error> {
    let options = db.connect_options();
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let why = match tokio::time::timeout(ACQUIRE, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => return connection.close().await.map_err(|error| Error::database("ping", error)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", ACQUIRE.as_secs()),
    };
    Err(Error::internal("the database", anyhow::anyhow!("{place}: {why}")))
}

#[cfg(test)]
pub(crate) mod testing;
