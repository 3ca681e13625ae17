//! For tests: a fresh database for each, cloned from a migrated template.
//!
//! `SEALGATE_TEST_DATABASE_URL` names a server (a superuser, the database `postgres`). Where it is absent, the first test
//! of a run starts a private `PostgreSQL`, which ends with the run.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::{TcpListener, TcpStream};
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
        static PRIVATE: OnceLock<u16> = OnceLock::new();
        if let Ok(url) = std::env::var("SEALGATE_TEST_DATABASE_URL") {
            return Self::Given(url);
        }
        Self::Private(*PRIVATE.get_or_init(private))
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

/// Starts and stops the server; `$4` is the test run, watched so that a killed run leaves no server behind.
const SCRIPT: &str = r#"
set -eu
trap '' INT
D=$1 BIN=$2 PORT=$3 RUN=$4
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
  chown postgres "$D"
  as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
fi
cd "$D"
as "$BIN/initdb" -D "$D/data" -U sealgate -A trust -E UTF8 --no-sync >/dev/null
as "$BIN/pg_ctl" -D "$D/data" -w -l "$D/data/log" -o "-p $PORT -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories=$D -c fsync=off -c max_connections=400" start >/dev/null
echo ready
exec >/dev/null
while kill -0 "$RUN" 2>/dev/null; do sleep 0.2; done
as "$BIN/pg_ctl" -D "$D/data" -m immediate -w stop
rm -rf "$D" "$D.port"
"#;

/// The port of a `PostgreSQL` for this test run: the processes with one parent share it, the first one starts it.
fn private() -> u16 {
    let run = std::os::unix::process::parent_id();
    let folder = std::env::temp_dir().join(format!("sealgate-central-pg-{run}"));
    let mut lock = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.with_extension("port"))
        .expect("the folder for temporary files is writable");
    lock.lock().expect("the other processes of the run let go");
    let mut known = String::new();
    lock.read_to_string(&mut known).expect("text");
    if let Ok(port) = known.trim().parse()
        && TcpStream::connect(("127.0.0.1", port)).is_ok()
    {
        return port;
    }
    // Left by a run with the same number that did not end well.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("a folder");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let port = free.port();
    #[expect(clippy::zombie_processes, reason = "the shell waits for the end of the run, not the reverse")]
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(&folder)
        .arg(binaries())
        .args([port.to_string(), run.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let stdout = shell.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("the shell speaks");
    assert_eq!(line, "ready\n", "PostgreSQL does not start; see {}/data/log", folder.display());
    lock.set_len(0).and_then(|()| lock.rewind()).expect("the file is writable");
    write!(lock, "{port}").expect("the file is writable");
    port
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
