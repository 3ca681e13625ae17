//! The configuration: one struct per section. Defaults < file < environment < flags; validated whole, all mistakes at
//! once with their path.
//!
//! `SECTION.KEY` of the TOML file is `SEALGATE_CENTRAL_SECTION_KEY` in the environment and `--set section.key=value` as
//! a flag.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

mod reader;
pub mod rest;
pub use reader::{Mistake, Mistakes};
use reader::{Reader, address, duration, list, number, path, text};

const SECTIONS: &[&str] =
    &["database", "listen", "public", "sealing", "admin", "gateways", "sessions", "retention", "limits", "log"];

/// Everything that can be configured.
pub struct Config {
    /// Where everything durable is.
    pub database: Database,
    /// Addresses that are listened on.
    pub listen: Listen,
    /// How others reach this Central.
    pub public: Public,
    /// The key over Central's own secrets.
    pub sealing: Sealing,
    /// The first account.
    pub admin: Admin,
    /// What gateways are told.
    pub gateways: Gateways,
    /// Log-ins.
    pub sessions: Sessions,
    /// How long what grows is kept.
    pub retention: Retention,
    /// Bounds on what strangers may take.
    pub limits: Limits,
    /// Events.
    pub log: Log,
    /// Where each setting comes from that is not the default: file, environment or flag.
    origins: BTreeMap<String, &'static str>,
}

/// `[database]`
pub struct Database {
    /// `url`: `postgres://user:password@host:port/name`. Must be set.
    pub url: Zeroizing<String>,
    /// `connections`: for requests of people and gateways' streams. Default 20.
    pub connections: u32,
    /// `ingest_connections`: of their own, for reports. Default 8.
    pub ingest_connections: u32,
    /// `notify`: use LISTEN/NOTIFY as a wake-up. Default true; false for services that do not have it.
    pub notify: bool,
}

/// `[listen]`; port 0 takes any free one.
pub struct Listen {
    /// `console`: REST and console, HTTP. Default 127.0.0.1:9100.
    pub console: SocketAddr,
    /// `grpc`: gateways, mutual TLS. Default 127.0.0.1:9101.
    pub grpc: SocketAddr,
    /// `metrics`: Prometheus and health. Default 127.0.0.1:9102.
    pub metrics: SocketAddr,
    /// `addresses_file`: where the bound addresses are written, as `{"console","grpc","metrics"}`.
    pub addresses_file: Option<PathBuf>,
}

/// `[public]`
pub struct Public {
    /// `grpc`: address that enrolment tokens carry, `https://host:port`. Default: the bound address.
    pub grpc: Option<String>,
    /// `names`: further DNS names and IP addresses of Central's certificate. `localhost` and loopback are always in.
    pub names: Vec<String>,
    /// `origins`: further origins that the console is served from, such as `https://central.example`.
    pub origins: Vec<String>,
    /// `secure_cookies`: cookies only over HTTPS. Default false while `listen.console` is on loopback, true otherwise.
    pub secure_cookies: bool,
}

/// `[sealing]`
pub struct Sealing {
    /// `key`: where the sealing key is. Must be set; shared by all replicas.
    pub key: KeySource,
}

/// Where a key is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// `credential:NAME`: a file of that name in `$CREDENTIALS_DIRECTORY` (systemd).
    Credential(String),
    /// `file:PATH`: made at the first start where it does not exist.
    File(PathBuf),
    /// `env:NAME`: base64 or hex of 32 bytes.
    Env(String),
}

/// `[admin]`: used at the first start only, except that the token is made to hold at every start.
pub struct Admin {
    /// `password`: of the account `admin`. Default: a random one, printed once.
    pub password: Option<Zeroizing<String>>,
    /// `token_file`: a file with an API token of role admin: `sgc_` and 43 characters of base64url.
    pub token_file: Option<PathBuf>,
}

/// `[gateways]`
pub struct Gateways {
    /// `report_interval`: between two reports of one gateway. Default 10s.
    pub report_interval: Duration,
    /// `heartbeat_interval`: between two heartbeats of one stream. Default 5s.
    pub heartbeat_interval: Duration,
    /// `certificate_lifetime`: of a gateway's certificate. Default 7d.
    pub certificate_lifetime: Duration,
    /// `renewal_window`: how long after its expiry a certificate may still renew. Default 30d.
    pub renewal_window: Duration,
}

/// `[sessions]`
pub struct Sessions {
    /// `lifetime`: from log-in to expiry. Default 12h.
    pub lifetime: Duration,
    /// `idle`: without a request. Default 1h.
    pub idle: Duration,
    /// `lockout_after`: failed log-ins in a row until an account is locked. Default 10.
    pub lockout_after: u32,
    /// `lockout`: how long it is locked. Default 5m.
    pub lockout: Duration,
}

/// `[retention]`
pub struct Retention {
    /// `statistics`: figures by the day; totals are kept for ever. Default 1096d, at least 100d.
    pub statistics: Duration,
}

/// `[limits]`
pub struct Limits {
    /// `grpc_connections`: open connections of gateways. Default 20,000.
    pub grpc_connections: u32,
    /// `grpc_handshakes`: TLS handshakes at one time. Default 256.
    pub grpc_handshakes: u32,
    /// `console_connections`: open connections of consoles and of the REST interface. Default 1,024.
    pub console_connections: u32,
}

/// `[log]`
pub struct Log {
    /// `format`: text or json. Default text.
    pub format: telemetry::log::Format,
}

impl Config {
    /// Reads all layers.
    ///
    /// `vars` are environment variables (others than ours are passed over), `flags` texts `section.key=value`.
    pub fn load<'a>(
        file: Option<&Path>,
        vars: impl Iterator<Item = (String, String)>,
        flags: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Mistakes> {
        let mut reader = Reader::new();
        if let Some(file) = file {
            reader.file(file);
        }
        reader.environment(SECTIONS, vars);
        reader.flags(flags);
        let mut config = Self::read(&mut reader);
        config.origins = reader.origins();
        reader.finish()?;
        Ok(config)
    }

    fn read(r: &mut Reader) -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (second, day) = (Duration::from_secs(1), Duration::from_hours(24));
        let console = r.value("listen.console", loopback(9100), address);
        let sessions = Sessions {
            lifetime: r.value("sessions.lifetime", day / 2, duration(60 * second, 30 * day)),
            idle: r.value("sessions.idle", 3_600 * second, duration(60 * second, 30 * day)),
            lockout_after: r.value("sessions.lockout_after", 10, number(3..=100)),
            lockout: r.value("sessions.lockout", 300 * second, duration(second, day)),
        };
        if sessions.idle > sessions.lifetime {
            r.mistake("sessions.idle", "it must not be longer than sessions.lifetime");
        }
        Self {
            database: Database {
                url: r.required("database.url", Zeroizing::new(String::new()), database_url),
                connections: r.value("database.connections", 20, number(2..=1_000)),
                ingest_connections: r.value("database.ingest_connections", 8, number(1..=1_000)),
                notify: r.value("database.notify", true, boolean),
            },
            listen: Listen {
                console,
                grpc: r.value("listen.grpc", loopback(9101), address),
                metrics: r.value("listen.metrics", loopback(9102), address),
                addresses_file: r.optional("listen.addresses_file", path),
            },
            public: Public {
                grpc: r.optional("public.grpc", https),
                names: r.value("public.names", Vec::new(), |text| Ok(list(text))),
                origins: r.value("public.origins", Vec::new(), origins),
                secure_cookies: r.value("public.secure_cookies", !console.ip().is_loopback(), boolean),
            },
            sealing: Sealing { key: r.required("sealing.key", KeySource::Env(String::new()), key_source) },
            admin: Admin {
                password: r.optional("admin.password", password),
                token_file: r.optional("admin.token_file", path),
            },
            gateways: Gateways {
                report_interval: r.value("gateways.report_interval", 10 * second, duration(second / 10, day / 24)),
                heartbeat_interval: r.value("gateways.heartbeat_interval", 5 * second, duration(second / 10, day / 24)),
                certificate_lifetime: r.value(
                    "gateways.certificate_lifetime",
                    7 * day,
                    duration(10 * second, 365 * day),
                ),
                renewal_window: r.value("gateways.renewal_window", 30 * day, duration(second, 365 * day)),
            },
            sessions,
            retention: Retention {
                statistics: r.value("retention.statistics", 1_096 * day, duration(100 * day, 36_600 * day)),
            },
            limits: Limits {
                grpc_connections: r.value("limits.grpc_connections", 20_000, number(1..=1_000_000)),
                grpc_handshakes: r.value("limits.grpc_handshakes", 256, number(1..=65_536)),
                console_connections: r.value("limits.console_connections", 1_024, number(4..=65_536)),
            },
            log: Log { format: r.value("log.format", telemetry::log::Format::Text, format) },
            origins: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Config {
    /// The effective configuration as TOML, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for (path, value) in self.effective() {
            let Some(value) = value else { continue };
            let (of, key) = path.split_once('.').unwrap_or(("", path));
            if of != section {
                writeln!(f, "{}[{of}]", if section.is_empty() { "" } else { "\n" })?;
                section = of;
            }
            writeln!(f, "{key} = {value}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Every setting with its value, in the order of the sections; `None` where it has none.
    fn effective(&self) -> Vec<(&'static str, Option<toml::Value>)> {
        use toml::Value;
        let text = |text: &dyn fmt::Display| Some(Value::String(text.to_string()));
        let ms = |duration: &Duration| Some(Value::String(in_words(*duration)));
        let number = |number: u32| Some(Value::Integer(number.into()));
        let file = |path: &Option<PathBuf>| path.as_ref().and_then(|path| text(&path.display()));
        let texts = |list: &[String]| Some(Value::Array(list.iter().cloned().map(Value::String).collect()));
        let format = match self.log.format {
            telemetry::log::Format::Text => "text",
            telemetry::log::Format::Json => "json",
        };
        vec![
            ("database.url", text(&redacted(&self.database.url))),
            ("database.connections", number(self.database.connections)),
            ("database.ingest_connections", number(self.database.ingest_connections)),
            ("database.notify", Some(Value::Boolean(self.database.notify))),
            ("listen.console", text(&self.listen.console)),
            ("listen.grpc", text(&self.listen.grpc)),
            ("listen.metrics", text(&self.listen.metrics)),
            ("listen.addresses_file", file(&self.listen.addresses_file)),
            ("public.grpc", self.public.grpc.as_ref().and_then(|grpc| text(grpc))),
            ("public.names", texts(&self.public.names)),
            ("public.origins", texts(&self.public.origins)),
            ("public.secure_cookies", Some(Value::Boolean(self.public.secure_cookies))),
            ("sealing.key", text(&self.sealing.key)),
            ("admin.password", self.admin.password.as_ref().and_then(|_| text(&"(redacted)"))),
            ("admin.token_file", file(&self.admin.token_file)),
            ("gateways.report_interval", ms(&self.gateways.report_interval)),
            ("gateways.heartbeat_interval", ms(&self.gateways.heartbeat_interval)),
            ("gateways.certificate_lifetime", ms(&self.gateways.certificate_lifetime)),
            ("gateways.renewal_window", ms(&self.gateways.renewal_window)),
            ("sessions.lifetime", ms(&self.sessions.lifetime)),
            ("sessions.idle", ms(&self.sessions.idle)),
            ("sessions.lockout_after", number(self.sessions.lockout_after)),
            ("sessions.lockout", ms(&self.sessions.lockout)),
            ("retention.statistics", ms(&self.retention.statistics)),
            ("limits.grpc_connections", number(self.limits.grpc_connections)),
            ("limits.grpc_handshakes", number(self.limits.grpc_handshakes)),
            ("limits.console_connections", number(self.limits.console_connections)),
            ("log.format", text(&format)),
        ]
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

/// The URL with what stands between the user's colon and the `@` taken out.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "(not a URL)".to_owned() };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{scheme}://{user}:(redacted)@{host}")
        }
        None => format!("{scheme}://{rest}"),
    }
}

/// In the largest unit of which it is a multiple, as it is read.
fn in_words(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let (unit, word) = units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)).unwrap_or((1, "ms"));
    format!("{}{word}", ms / unit)
}

fn database_url(text: &str) -> Result<Zeroizing<String>, String> {
    match text.parse::<sqlx::postgres::PgConnectOptions>() {
        Ok(_) if text.starts_with("postgres://") || text.starts_with("postgresql://") => {
            Ok(Zeroizing::new(text.to_owned()))
        }
        _ => Err("it must be postgres://user:password@host:port/name".to_owned()),
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "it must be true or false".to_owned())
}

fn https(text: &str) -> Result<String, String> {
    match text.parse::<http::Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.host().is_some() && uri.path() == "/" => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("it must be https://host:port".to_owned()),
    }
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    let origins = list(text);
    let legal = |origin: &String| {
        origin.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && !origin.ends_with('/')
        })
    };
    if origins.iter().all(legal) {
        Ok(origins)
    } else {
        Err("each must be scheme://host or scheme://host:port, without a slash at the end".to_owned())
    }
}

fn key_source(text: &str) -> Result<KeySource, String> {
    match text.split_once(':') {
        Some(("credential", name)) if !name.is_empty() && !name.contains('/') => {
            Ok(KeySource::Credential(name.to_owned()))
        }
        Some(("file", path)) if !path.is_empty() => Ok(KeySource::File(PathBuf::from(path))),
        Some(("env", name)) if !name.is_empty() => Ok(KeySource::Env(name.to_owned())),
        _ => Err("it must be credential:NAME, file:PATH or env:NAME".to_owned()),
    }
}

fn password(value: &str) -> Result<Zeroizing<String>, String> {
    crate::operators::password::acceptable(value).map_err(ToOwned::to_owned)?;
    text(value).map(Zeroizing::new)
}

fn format(text: &str) -> Result<telemetry::log::Format, String> {
    match text {
        "text" => Ok(telemetry::log::Format::Text),
        "json" => Ok(telemetry::log::Format::Json),
        _ => Err("it must be text or json".to_owned()),
    }
}

#[cfg(test)]
mod tests;
