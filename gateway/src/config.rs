//! What an operator sets before the gateway starts: listeners, backends with their credentials, the sealing key,
//! Central's address. All else lies in the group document.
//!
//! ```text
//!  defaults < file (TOML) < environment (SEALGATE_GATEWAY_A__B) < flags (--set a.b=VALUE)
//!        └────────────┬──────────────────────────────┘
//!               one TOML table ──▶ Reader: every key once, every mistake collected ──▶ Config
//! ```
//!
//! [`Config::load`] tells all mistakes at once, each with the path of its key, and refuses keys that it does not know.

mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::s3::address::Domains;

use reader::Reader;
pub use reader::{Mistake, Mistakes};

/// Prefix of the environment variables; the rest is the key's path in upper case, with `__` between its parts.
pub const ENV_PREFIX: &str = "SEALGATE_GATEWAY_";

/// Variables with the prefix that are not settings: they belong to the command lines.
const ENV_FOREIGN: [&str; 3] = ["URL", "TOKEN", "CONFIG"];

/// A secret text. Cannot be printed, cloned or serialised; wiped when dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The whole configuration, valid.
pub struct Config {
    /// The region that clients sign for, and that is told to them. Default `us-east-1`.
    pub region: String,
    /// Folder of the local store and of the identity at Central; made if missing. Required.
    pub state_dir: PathBuf,
    /// Where the key is that everything secret at rest is sealed under. Required.
    pub sealing_key: SealingKey,
    /// Whether encryption is due for every object, whatever bucket and policies say.
    pub floor: Floor,
    /// How events are written: `text` or `json`. Default `text`.
    pub log: telemetry::log::Format,
    /// Addresses to listen on.
    pub listen: Listen,
    /// The storage behind the gateway.
    pub storage: Storage,
    /// Central, where the gateway has one.
    pub central: Option<Central>,
    /// The administrator of a group that is made at this start.
    pub first_admin: FirstAdmin,
    /// Bounds and deadlines.
    pub limits: Limits,
    /// How long what is kept of multipart uploads.
    pub uploads: Uploads,
    effective: toml::Table,
}

/// Where the 32 random bytes of the sealing key are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealingKey {
    /// `credential:NAME`: a systemd credential, a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `file:PATH`: a file with the bytes raw, in hex or in base64.
    File(PathBuf),
    /// `env:NAME`: an environment variable with the bytes in hex or base64.
    Env(String),
}

/// The group's least protection; Central cannot lower it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// Toggles, policies and clients decide.
    None,
    /// Every object is encrypted.
    Encrypt,
}

/// Section `listen`.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The S3 listener. Port 0: any free port. Default `127.0.0.1:9000`.
    pub s3: SocketAddr,
    /// Domains below which a bucket may stand in the host of a request. Default none: it is in the path.
    pub s3_domains: Domains,
    /// REST and console. Default `127.0.0.1:9001`.
    pub admin: SocketAddr,
    /// `/metrics`, `/healthz`, `/readyz`. Default `127.0.0.1:9002`.
    pub metrics: SocketAddr,
    /// A file that is written atomically once all listeners are bound and the gateway answers:
    /// `{"pid": N, "s3": "ADDR", "admin": "ADDR", "metrics": "ADDR"}`.
    pub addresses_file: Option<PathBuf>,
}

/// Section `storage` and the tables `backends.NAME`.
pub struct Storage {
    /// The bucket of the home backend that holds the group's own state. Default `sealgate-system`.
    pub system_bucket: String,
    /// Name of the backend that holds the system bucket and every bucket that is mapped to no other.
    pub home: String,
    /// Only this gateway will ever run over the storage, which then need not enforce conditional writes. Default false.
    pub single_gateway: bool,
    /// By name; at least `home`.
    pub backends: BTreeMap<String, Backend>,
}

/// One table `backends.NAME`.
pub enum Backend {
    /// `kind = "directory"`: files below `path`, in process.
    Directory {
        /// The storage directory; made if missing.
        path: PathBuf,
    },
    /// `kind = "s3"`: an S3 service.
    S3(Box<S3Backend>),
}

/// An S3 service as storage.
pub struct S3Backend {
    /// Scheme, host and port; no path.
    pub endpoint: Url,
    /// The region that requests are signed for. Default `us-east-1`.
    pub region: String,
    /// Access key ID.
    pub access_key: String,
    /// Secret access key (`secret_key`, or `secret_key_file`).
    pub secret_key: Secret,
    /// `host/bucket/key` rather than `bucket.host/key`. Default true.
    pub path_style: bool,
    /// PEM file of the CAs that sign the service's certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What becomes of requests without a signature. Default `refuse`.
    pub unsigned: Unsigned,
    /// Who encrypts where a client asks the service to. Default `gateway`.
    pub sse: Sse,
    /// How bodies that are too long to be kept go to the service without TLS. Default `signed`.
    pub long_bodies: LongBodies,
}

/// How bodies that are too long to be kept go to a service without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongBodies {
    /// In chunks, each of them signed.
    Signed,
    /// As they are: nobody notices what is changed on the way.
    Unchecked,
}

/// Who encrypts where a client asks for SSE-S3 or SSE-KMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sse {
    /// The gateway, and the storage is not asked.
    Gateway,
    /// The storage, as it would without a gateway; what else is to be encrypted is sealed all the same.
    Storage,
}

/// What becomes of a request without a signature, where no bucket setting allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// It is refused.
    Refuse,
    /// It goes to the storage without a signature, and the storage's ACLs and policies decide.
    Pass,
}

/// Section `central`. Present when any of its keys is set.
pub struct Central {
    /// Address that overrides the one in the enrolment token, for example behind a load balancer.
    pub address: Option<Url>,
    /// The enrolment token (`token`, or `token_file`, which may appear later). Not needed once enrolled.
    pub token: Option<Secret>,
    /// Where the token is read from at enrolment.
    pub token_file: Option<PathBuf>,
    /// The name that is proposed to Central.
    pub name: Option<String>,
    /// How often reports are sent until Central says otherwise. Default 10 s, at least 100 ms.
    pub report_interval: Duration,
}

/// Section `first_admin`: used once, when the group document is made; ignored afterwards.
pub struct FirstAdmin {
    /// Access key ID; made at random where missing.
    pub access_key: Option<String>,
    /// Secret access key; made at random where missing.
    pub secret_key: Option<Secret>,
    /// Token of the admin API; made at random where missing.
    pub token: Option<Secret>,
    /// Where the credential is written (JSON, mode 0600) when it was made here, instead of to standard output.
    pub file: Option<PathBuf>,
}

/// Section `limits`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// S3 connections served at once; further ones wait in the listen queue. Default 1024.
    pub connections: usize,
    /// How long a client may take to send the header of a request. Default 30 s.
    pub header_timeout: Duration,
    /// How long a client, or the storage within its answer, may pause within a body. Default 60 s.
    pub body_timeout: Duration,
    /// How long requests in flight may take to end after SIGTERM. Default 30 s.
    pub drain: Duration,
}

/// Section `uploads`.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// Between two sweeps of the group for uploads that are over. Default 10 min.
    pub sweep: Duration,
    /// How long Complete may be repeated. Default 24 h.
    pub repeatable: Duration,
    /// How long the state of an upload is kept that the storage does not know. Default 24 h.
    pub unknown: Duration,
    /// Uploads that were begun longer ago are aborted; none: never, as in S3.
    pub abort_after: Option<Duration>,
}

impl Config {
    /// Reads the file (a missing one is a mistake), then `env` (pairs as of [`std::env::vars`]), then `flags`
    /// (`key.path=VALUE`), and validates the whole. All mistakes are told at once.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        if let Some(file) = file {
            match std::fs::read_to_string(file) {
                Ok(text) => reader.file(file, &text),
                Err(error) => reader.mistake("", format!("{} cannot be read: {error}", file.display())),
            }
        }
        reader.environment(env);
        reader.flags(flags);
        let config = Self::read(&mut reader);
        let effective = reader.finish()?;
        Ok(Self { effective, ..config.expect("a section is missing only when a mistake was recorded") })
    }

    /// What is in force, as TOML, with secrets masked.
    pub fn effective(&self) -> String {
        toml::to_string_pretty(&self.effective).expect("a TOML table of scalars prints")
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let region = reader.text("region", Some("us-east-1"));
        let state_dir = reader.text("state_dir", None);
        let sealing_key = reader.text("sealing_key", None).and_then(|text| SealingKey::read(&text, reader));
        let floor = reader.word("floor", "none", &[("none", Floor::None), ("encrypt", Floor::Encrypt)]);
        let formats = [("text", telemetry::log::Format::Text), ("json", telemetry::log::Format::Json)];
        let log = reader.word("log", "text", &formats);
        let listen = Listen::read(reader);
        let storage = Storage::read(reader);
        let central = Central::read(reader);
        let first_admin = FirstAdmin::read(reader);
        let limits = Limits::read(reader);
        let uploads = Uploads::read(reader);
        Some(Self {
            region: region?,
            state_dir: state_dir?.into(),
            sealing_key: sealing_key?,
            floor: floor?,
            log: log?,
            listen: listen?,
            storage: storage?,
            central,
            first_admin,
            limits: limits?,
            uploads: uploads?,
            effective: toml::Table::new(),
        })
    }
}

impl SealingKey {
    fn read(text: &str, reader: &mut Reader) -> Option<Self> {
        match text.split_once(':') {
            Some(("credential", name)) if !name.is_empty() => Some(Self::Credential(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Some(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Some(Self::Env(name.to_owned())),
            _ => {
                reader.mistake("sealing_key", "it must be credential:NAME, file:PATH or env:NAME".to_owned());
                None
            }
        }
    }
}

impl Listen {
    fn read(reader: &mut Reader) -> Option<Self> {
        let s3 = reader.parsed("listen.s3", Some("127.0.0.1:9000"), "an address such as 127.0.0.1:9000");
        let admin = reader.parsed("listen.admin", Some("127.0.0.1:9001"), "an address such as 127.0.0.1:9001");
        let metrics = reader.parsed("listen.metrics", Some("127.0.0.1:9002"), "an address such as 127.0.0.1:9002");
        let addresses_file = reader.optional("listen.addresses_file").map(PathBuf::from);
        let s3_domains =
            Domains::parse(&reader.optional("listen.s3_domains").unwrap_or_default()).unwrap_or_else(|wrong| {
                reader.mistake("listen.s3_domains", format!("{wrong:?} is not a domain such as s3.example"));
                Domains::default()
            });
        let (s3, admin, metrics): (SocketAddr, SocketAddr, SocketAddr) = (s3?, admin?, metrics?);
        for (path, one, other) in
            [("listen.admin", admin, s3), ("listen.metrics", metrics, s3), ("listen.metrics", metrics, admin)]
        {
            if one == other && one.port() != 0 {
                reader.mistake(path, format!("{one} is used by another listener"));
            }
        }
        Some(Self { s3, s3_domains, admin, metrics, addresses_file })
    }
}

impl Storage {
    fn read(reader: &mut Reader) -> Option<Self> {
        let system_bucket = reader.text("storage.system_bucket", Some("sealgate-system"))?;
        if !is_bucket_name(&system_bucket) {
            reader.mistake("storage.system_bucket", "it must be 3 to 63 of a-z 0-9 . -".to_owned());
        }
        let names = reader.tables("backends");
        if names.is_empty() {
            reader.mistake("backends", "at least one backend is needed, for example [backends.disk]".to_owned());
        }
        let only = (names.len() == 1).then(|| names[0].clone());
        let home = reader.text("storage.home", only.as_deref());
        let mut backends = BTreeMap::new();
        for name in names {
            if let Some(backend) = Backend::read(&format!("backends.{name}"), reader) {
                backends.insert(name.clone(), backend);
            } else if home.as_ref() == Some(&name) {
                return None;
            }
        }
        let single_gateway = reader.parsed("storage.single_gateway", Some("false"), "true or false");
        let home = home?;
        if !backends.contains_key(&home) && !backends.is_empty() {
            reader.mistake("storage.home", format!("there is no [backends.{home}]"));
        }
        Some(Self { system_bucket, home, single_gateway: single_gateway?, backends })
    }
}

impl Backend {
    fn read(path: &str, reader: &mut Reader) -> Option<Self> {
        let key = |name: &str| format!("{path}.{name}");
        match reader.text(&key("kind"), None)?.as_str() {
            "directory" => Some(Self::Directory { path: reader.text(&key("path"), None)?.into() }),
            "s3" => {
                let endpoint = reader.text(&key("endpoint"), None).and_then(|text| {
                    let url = Url::parse(&text).ok().filter(|url| {
                        matches!(url.scheme(), "http" | "https")
                            && url.has_host()
                            && url.path() == "/"
                            && url.query().is_none()
                            && url.username().is_empty()
                    });
                    if url.is_none() {
                        reader.mistake(&key("endpoint"), "it must be http(s)://HOST[:PORT]".to_owned());
                    }
                    url
                });
                let region = reader.text(&key("region"), Some("us-east-1"));
                let access_key = reader.text(&key("access_key"), None);
                let secret_key = reader.secret_or_file(&key("secret_key"));
                if secret_key.is_none() {
                    reader.mistake(&key("secret_key"), "it or secret_key_file is required".to_owned());
                }
                let path_style = reader.parsed(&key("path_style"), Some("true"), "true or false");
                let ca_file = reader.optional(&key("ca_file")).map(PathBuf::from);
                let words = [("refuse", Unsigned::Refuse), ("pass", Unsigned::Pass)];
                let unsigned = reader.word(&key("unsigned"), "refuse", &words);
                let sse = reader.word(&key("sse"), "gateway", &[("gateway", Sse::Gateway), ("storage", Sse::Storage)]);
                let words = [("signed", LongBodies::Signed), ("unchecked", LongBodies::Unchecked)];
                let long_bodies = reader.word(&key("long_bodies"), "signed", &words);
                Some(Self::S3(Box::new(S3Backend {
                    endpoint: endpoint?,
                    region: region?,
                    access_key: access_key?,
                    secret_key: secret_key?,
                    path_style: path_style?,
                    ca_file,
                    unsigned: unsigned?,
                    sse: sse?,
                    long_bodies: long_bodies?,
                })))
            }
            other => {
                reader.mistake(&key("kind"), format!("{other:?} is not directory or s3"));
                reader.ignore(path);
                None
            }
        }
    }
}

impl Central {
    fn read(reader: &mut Reader) -> Option<Self> {
        let present = reader.has("central");
        let address = reader.optional("central.address").and_then(|text| {
            let url = Url::parse(&text).ok().filter(|url| url.scheme() == "https" && url.has_host());
            if url.is_none() {
                reader.mistake("central.address", "it must be https://HOST[:PORT]".to_owned());
            }
            url
        });
        let token = reader.secret("central.token");
        let token_file = reader.optional("central.token_file").map(PathBuf::from);
        if token.is_some() && token_file.is_some() {
            reader.mistake("central.token_file", "give central.token or this, not both".to_owned());
        }
        let name = reader.optional("central.name");
        let report_interval = reader.duration("central.report_interval", "10s", Duration::from_millis(100));
        present.then_some(Self { address, token, token_file, name, report_interval: report_interval? })
    }
}

impl FirstAdmin {
    fn read(reader: &mut Reader) -> Self {
        let access_key = reader.optional("first_admin.access_key");
        let secret_key = reader.secret("first_admin.secret_key");
        if access_key.is_some() != secret_key.is_some() {
            reader.mistake("first_admin", "access_key and secret_key go together".to_owned());
        }
        let token = reader.secret("first_admin.token");
        if token.as_ref().is_some_and(|token| token.expose().len() < 32) {
            reader.mistake("first_admin.token", "it must have at least 32 characters".to_owned());
        }
        Self { access_key, secret_key, token, file: reader.optional("first_admin.file").map(PathBuf::from) }
    }
}

impl Limits {
    fn read(reader: &mut Reader) -> Option<Self> {
        let connections = reader.parsed("limits.connections", Some("1024"), "a number of connections");
        if connections == Some(0) {
            reader.mistake("limits.connections", "it must be at least 1".to_owned());
        }
        let second = Duration::from_secs(1);
        let header_timeout = reader.duration("limits.header_timeout", "30s", second);
        let body_timeout = reader.duration("limits.body_timeout", "60s", second);
        let drain = reader.duration("limits.drain", "30s", Duration::ZERO);
        Some(Self {
            connections: connections?,
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            drain: drain?,
        })
    }
}

impl Uploads {
    fn read(reader: &mut Reader) -> Option<Self> {
        let second = Duration::from_secs(1);
        let sweep = reader.duration("uploads.sweep", "10m", second);
        let repeatable = reader.duration("uploads.repeatable", "24h", second);
        let unknown = reader.duration("uploads.unknown", "24h", second);
        let abort_after = reader.optional_duration("uploads.abort_after", second);
        Some(Self { sweep: sweep?, repeatable: repeatable?, unknown: unknown?, abort_after })
    }
}

/// The bucket names of S3 as of today, without the rules about reserved prefixes.
fn is_bucket_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        && !name.starts_with(['.', '-'])
        && !name.ends_with(['.', '-'])
        && !name.contains("..")
}
