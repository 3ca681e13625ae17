//! For tests: a fresh database for each, cloned from a migrated template.
//!
//! `SEALGATE_TEST_DATABASE_URL` names a server (a superuser, the database `postgres`). Where it is absent, each test
//! process starts a private `PostgreSQL` and stops it at its end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

/// The database of one test; dropped with it.
pub(crate) struct Database {
    /// Connected.
    pub(crate) pool: PgPool,
    name: String,
    server: Server,
}

/// A fresh database with every migration.
pub(crate) async fn database() -> Database {
    let server = tokio::task::spawn_blocking(Server::find).await.expect("a server");
    let admin = server.url("postgres");
    let mut connection = PgConnection::connect(&admin).await.expect("the server answers");
    let template = template(&mut connection, &server).await;
    let name = format!("sealgate_test_{}", Uuid::new_v4().simple());
    // Names are ours: nothing of them comes from outside.
    run(&mut connection, format!("create database {name} template {template}")).await;
    let url = server.url(&name);
    let pool = PgPoolOptions::new().max_connections(12).connect(&url).await.expect("the clone answers");
    Database { pool, name, server }
}

async fn run(connection: &mut PgConnection, statement: String) {
    connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("the statement is legal");
}

/// The migrated template, made by the first test that needs it.
async fn template(connection: &mut PgConnection, server: &Server) -> String {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for byte in super::MIGRATIONS.iter().flat_map(|migration| migration.checksum.iter()) {
        digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let name = format!("sealgate_template_{digest:016x}");
    run(connection, "select pg_advisory_lock(7325)".to_owned()).await;
    let ready: bool =
        sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1 and datistemplate)")
            .bind(&name)
            .fetch_one(&mut *connection)
            .await
            .expect("the catalogue answers");
    if !ready {
        run(connection, format!("drop database if exists {name}")).await;
        run(connection, format!("create database {name}")).await;
        let pool = PgPoolOptions::new().max_connections(1).connect(&server.url(&name)).await.expect("connected");
        super::migrate(&pool).await.expect("migrated");
        pool.close().await;
        run(connection, format!("alter database {name} is_template true")).await;
    }
    run(connection, "select pg_advisory_unlock(7325)".to_owned()).await;
    name
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, name) = (self.server.url("postgres"), std::mem::take(&mut self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&admin).await.expect("the server answers");
                run(&mut connection, format!("drop database if exists {name} with (force)")).await;
            });
        });
        let _ = dropped.join();
    }
}

/// A server to make databases on.
#[derive(Clone)]
enum Server {
    Given(String),
    Private(u16),
}

impl Server {
    fn find() -> Self {
        static PRIVATE: OnceLock<Private> = OnceLock::new();
        if let Ok(url) = std::env::var("SEALGATE_TEST_DATABASE_URL") {
            return Self::Given(url);
        }
        Self::Private(PRIVATE.get_or_init(Private::start).port)
    }

    fn url(&self, database: &str) -> String {
        match self {
            Self::Given(url) => {
                let (server, _) = url.rsplit_once('/').expect("a URL with a database");
                format!("{server}/{database}")
            }
            Self::Private(port) => format!("postgres://sealgate@127.0.0.1:{port}/{database}"),
        }
    }
}

/// A `PostgreSQL` of this process alone. Its parent shell stops it when the process is gone.
struct Private {
    port: u16,
}

impl Private {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("sealgate-pg-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("a folder");
        let bin = binaries();
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        // `$$` of the test process is watched: a killed test leaves no server behind.
        let script = r#"
set -eu
D=$1 BIN=$2 PORT=$3 PARENT=$4
if [ "$(id -u)" = 0 ]; then chown postgres "$D"; as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }; else as() { "$@"; }; fi
cd "$D"
as "$BIN/initdb" -D "$D/data" -U sealgate -A trust -E UTF8 --no-sync >"$D/../$(basename "$D").log" 2>&1
as "$BIN/postgres" -D "$D/data" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$D" -c fsync=off -c max_connections=200 >>"$D/../$(basename "$D").log" 2>&1 &
PG=$!
until "$BIN/pg_isready" -q -h 127.0.0.1 -p "$PORT"; do kill -0 $PG; sleep 0.05; done
echo ready
while kill -0 "$PARENT" 2>/dev/null; do sleep 0.2; done
kill -INT $PG; wait $PG || true
rm -rf "$D" "$D/../$(basename "$D").log"
"#;
        #[expect(clippy::zombie_processes, reason = "the shell waits for the end of this process, not the reverse")]
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&folder)
            .arg(&bin)
            .arg(port.to_string())
            .arg(std::process::id().to_string())
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("the shell speaks");
        assert_eq!(line, "ready\n", "PostgreSQL does not start; see {}.log", folder.display());
        Self { port }
    }
}

/// The newest `PostgreSQL` of this machine.
fn binaries() -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folder| folder.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.retain(|bin: &PathBuf| bin.join("initdb").exists());
    versions.sort();
    versions.pop().unwrap_or_else(|| Path::new("/usr/bin").to_owned())
}
