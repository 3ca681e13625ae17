//! What `dev` decides for the services: secrets, ports and their configuration files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Home;
use super::process::write_private;
use crate::args::{DEMO_GATEWAYS, DevArgs, DevKms};
use crate::failure::{Context, Failure};

/// The region that clients sign for.
pub(super) const REGION: &str = "us-east-1";

/// Passwords and tokens of the evaluation, made at the first start and kept in the data directory, mode 0600.
#[derive(Serialize, Deserialize)]
pub(super) struct Secrets {
    /// Password of Central's account `admin`.
    pub(super) password: String,
    /// API token of Central.
    pub(super) central_token: String,
    /// S3 credential of the gateway group.
    pub(super) access_key: String,
    pub(super) secret_key: String,
    /// API token of the gateways.
    pub(super) gateway_token: String,
}

impl Secrets {
    pub(super) fn load_or_make(home: &Home) -> Result<Self, Failure> {
        let path = home.data.join("secrets.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).or_refuse(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secrets = Self {
                    password: random(18)?,
                    central_token: format!("sgc_{}", random(32)?),
                    access_key: format!("SG{}", hex::encode_upper(random_bytes(9)?)),
                    secret_key: random(30)?,
                    gateway_token: format!("sgg_{}", random(32)?),
                };
                let text = serde_json::to_vec_pretty(&secrets).or_refuse(|| "secrets cannot be coded".to_owned())?;
                write_private(&path, &text)?;
                Ok(secrets)
            }
            Err(error) => Err(Failure::refused(format!("{} cannot be read: {error}", path.display()))),
        }
    }
}

fn random_bytes(count: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; count];
    aws_lc_rs::rand::fill(&mut bytes).or_refuse(|| "the system gives no random numbers".to_owned())?;
    Ok(bytes)
}

fn random(count: usize) -> Result<String, Failure> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes(count)?))
}

/// A sealing key of 32 random bytes at `path`, made where it is absent. `dev` keeps it beside the data, so it protects
/// nothing against who has the whole directory; the services are told the truth about that by the README.
pub(super) fn sealing_key(path: &Path) -> Result<(), Failure> {
    if path.exists() { Ok(()) } else { write_private(path, &random_bytes(32)?) }
}

/// How many gateways the data directory has, by the highest number: each keeps its state in a folder of its name.
pub(super) fn known_gateways(data: &Path) -> u16 {
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
    let number = |name: String| name.strip_prefix("gateway-")?.parse().ok().filter(|at| gateway_name(*at) == name);
    names.filter_map(number).max().unwrap_or(0)
}

/// Refuses what cannot work before anything is made.
pub(super) fn check(args: &DevArgs) -> Result<(), Failure> {
    let usage = |text: String| Err(Failure::Usage(text));
    if args.gateways() == 0 {
        return usage("--gateways: at least one".to_owned());
    }
    if args.demo && args.gateways() < DEMO_GATEWAYS {
        return usage(format!("--gateways: at least {DEMO_GATEWAYS} with --demo"));
    }
    if args.demo && args.kms == DevKms::None {
        return usage("--demo needs a KMS: leave --kms out".to_owned());
    }
    if args.port_base != 0 && args.gateways() > 9 {
        return usage("--gateways: at most nine, or any number with --port-base 0".to_owned());
    }
    if args.port_base > 65_535 - 102 {
        return usage("--port-base: at most 65433, since Central takes 100 to 102 above it".to_owned());
    }
    if let Some(endpoint) = &args.upstream {
        let url = url::Url::parse(endpoint).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        if url.is_none_or(|url| !url.has_host()) {
            return usage(format!("--upstream {endpoint:?}: write http(s)://HOST[:PORT]"));
        }
        upstream_credential()?;
    }
    labels(args).map(|_| ())
}

/// Refuses the ports of `--port-base` of which another program has one, before anything is started.
pub(super) fn check_ports(args: &DevArgs) -> Result<(), Failure> {
    if args.port_base == 0 {
        return Ok(());
    }
    let gateways = (1..=args.gateways()).map(|number| (gateway_name(number), gateway_addresses(args, number)));
    for (name, addresses) in gateways.chain([("Central".to_owned(), central_addresses(args))]) {
        for address in addresses {
            std::net::TcpListener::bind(address).or_refuse(|| {
                format!(
                    "{name} cannot listen on {address}; nothing was started. Stop what has the port, or choose others by \
                     --port-base N (0: any free ports)"
                )
            })?;
        }
    }
    Ok(())
}

/// Access key and secret key of `--upstream`.
fn upstream_credential() -> Result<[String; 2], Failure> {
    let given = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| Failure::Usage(format!("--upstream needs the environment variable {name}")))
    };
    Ok([given("SEALGATE_UPSTREAM_ACCESS_KEY")?, given("SEALGATE_UPSTREAM_SECRET_KEY")?])
}

/// `--gateway-label` by gateway.
pub(super) fn labels(args: &DevArgs) -> Result<BTreeMap<String, BTreeMap<String, String>>, Failure> {
    let mut labels: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for text in &args.gateway_label {
        let parts = text.split_once(':').and_then(|(name, pair)| Some((name, pair.split_once('=')?)));
        let Some((name, (key, value))) = parts else {
            return Err(Failure::Usage(format!("--gateway-label {text:?}: write NAME:key=value")));
        };
        if !(1..=args.gateways()).any(|number| gateway_name(number) == name) {
            return Err(Failure::Usage(format!("--gateway-label {text:?}: there is no gateway {name:?}")));
        }
        if ![key, value].into_iter().all(policy::is_label_text) {
            return Err(Failure::Usage(format!(
                "--gateway-label {text:?}: key and value have 1 to 63 of a-z A-Z 0-9 . _ / - and begin with a letter or digit"
            )));
        }
        labels.entry(name.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// `gateway-1`, `gateway-2` …
pub(super) fn gateway_name(number: u16) -> String {
    format!("gateway-{number}")
}

/// Three addresses: (S3, console, metrics) of a gateway, (console, gRPC, metrics) of Central.
pub(super) type Addresses = [SocketAddr; 3];

/// The addresses of gateway `number`; ports 0 with `--port-base 0`.
pub(super) fn gateway_addresses(args: &DevArgs, number: u16) -> Addresses {
    consecutive(args, 10 * (number - 1))
}

/// Central's addresses.
pub(super) fn central_addresses(args: &DevArgs) -> Addresses {
    consecutive(args, 100)
}

fn consecutive(args: &DevArgs, above: u16) -> Addresses {
    let port = |offset| if args.port_base == 0 { 0 } else { args.port_base + above + offset };
    [0, 1, 2].map(|offset| SocketAddr::new(args.listen, port(offset)))
}

/// Where a client on this machine reaches a listener: the loopback address where it listens on all.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

/// A TOML value from any text.
fn quoted(text: impl AsRef<str>) -> String {
    toml::Value::String(text.as_ref().to_owned()).to_string()
}

fn path(path: &Path) -> String {
    quoted(path.to_string_lossy())
}

/// Central's configuration file.
pub(super) fn central_file(
    args: &DevArgs,
    home: &Home,
    secrets: &Secrets,
    database_url: &str,
    [console, grpc, metrics]: Addresses,
) -> String {
    format!(
        "[database]\nurl = {}\n[listen]\nconsole = \"{console}\"\ngrpc = \"{grpc}\"\nmetrics = \"{metrics}\"\n\
         addresses_file = {}\n[sealing]\nkey = {}\n[admin]\npassword = {}\ntoken_file = {}\n\
         [gateways]\nreport_interval = \"{}ms\"\nheartbeat_interval = \"1s\"\n",
        quoted(database_url),
        path(&home.run.join("central.addresses.json")),
        quoted(format!("file:{}", home.sealing.join("central.key").display())),
        quoted(&secrets.password),
        path(&home.run.join("central.token")),
        args.report_interval.as_millis(),
    )
}

/// A gateway's configuration file.
pub(super) fn gateway_file(
    args: &DevArgs,
    home: &Home,
    secrets: &Secrets,
    name: &str,
    central_grpc: &str,
    [s3, admin, metrics]: Addresses,
) -> Result<String, Failure> {
    let mut text = format!(
        "region = {}\nstate_dir = {}\nsealing_key = {}\n[listen]\ns3 = \"{s3}\"\nadmin = \"{admin}\"\n\
         metrics = \"{metrics}\"\naddresses_file = {}\n[central]\ntoken_file = {}\naddress = {}\nname = {}\n\
         report_interval = \"{}ms\"\n[first_admin]\naccess_key = {}\nsecret_key = {}\ntoken = {}\n",
        quoted(REGION),
        path(&home.data.join(name)),
        quoted(format!("file:{}", home.sealing.join("gateway.key").display())),
        path(&home.run.join(format!("{name}.addresses.json"))),
        path(&home.run.join(format!("{name}.enrolment-token"))),
        quoted(central_grpc),
        quoted(name),
        args.report_interval.as_millis(),
        quoted(&secrets.access_key),
        quoted(&secrets.secret_key),
        quoted(&secrets.gateway_token),
    );
    match &args.upstream {
        None => {
            let _ =
                write!(text, "[backends.disk]\nkind = \"directory\"\npath = {}\n", path(&home.data.join("storage")));
        }
        Some(endpoint) => {
            let [access_key, secret_key] = upstream_credential()?;
            let region = std::env::var("SEALGATE_UPSTREAM_REGION").unwrap_or_else(|_| REGION.to_owned());
            let _ = write!(
                text,
                "[backends.upstream]\nkind = \"s3\"\nendpoint = {}\nregion = {}\naccess_key = {}\nsecret_key = {}\n",
                quoted(endpoint),
                quoted(region),
                quoted(access_key),
                quoted(secret_key),
            );
        }
    }
    Ok(text)
}

/// The addresses that a service wrote once it listened: `names` are the fields in order.
pub(super) fn read_addresses(file: &Path, names: [&str; 3]) -> Option<Addresses> {
    let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let [a, b, c] = names.map(|name| value.get(name).and_then(Value::as_str).and_then(|text| text.parse().ok()));
    Some([a?, b?, c?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_of_a_directory_are_its_folders_of_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(known_gateways(&folder.path().join("absent")), 0);
        for name in ["gateway-1", "gateway-3", "gateway-04", "gateway-x", "storage"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        std::fs::write(folder.path().join("gateway-9"), "no folder").expect("written");
        assert_eq!(known_gateways(folder.path()), 3);
    }
}
