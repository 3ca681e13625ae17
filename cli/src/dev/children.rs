//! The processes: started in order, watched, started again where one dies, stopped in reverse order.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Child;

use super::process::{Spec, say, wait_for, write_private};
use super::settings::{
    Addresses, REGION, Secrets, central_addresses, central_file, gateway_addresses, gateway_file, gateway_name, labels,
    reachable, read_addresses, sealing_key,
};
use super::{Home, postgres};
use crate::args::{DevArgs, DevKms};
use crate::client::Client;
use crate::failure::{Context, Failure};

/// How long a service may take until it answers: a debug build on a busy machine needs some of it.
const START: Duration = Duration::from_secs(90);
/// Pause before a child that died is started again.
const RESTART: Duration = Duration::from_secs(1);
/// The ID of the KMS that `--kms rsa` makes.
const KMS_ID: &str = "dev-rsa";

/// A running child and how to start it again.
struct Running {
    spec: Spec,
    child: Child,
    /// Where it listens; nothing of PostgreSQL's is in the ready file.
    addresses: Option<Addresses>,
}

/// Everything that `dev` runs.
pub(super) struct Fleet {
    args: DevArgs,
    home: Home,
    secrets: Secrets,
    ready_file: Option<PathBuf>,
    database_url: String,
    /// In the order in which they were started.
    running: Vec<Running>,
}

impl Fleet {
    pub(super) fn new(args: DevArgs, home: Home, secrets: Secrets, ready_file: Option<PathBuf>) -> Self {
        Self { args, home, secrets, ready_file, database_url: String::new(), running: Vec::new() }
    }

    /// Starts all, writes the ready file, and watches; returns only with an error of the start.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        self.start_database().await?;
        self.start_central().await?;
        self.start_gateways().await?;
        self.first_kms().await?;
        self.write_ready()?;
        self.greet();
        loop {
            self.restart_one().await?;
        }
    }

    /// Stops in reverse order; PostgreSQL last.
    pub(super) async fn stop(&mut self) {
        if let Some(path) = &self.ready_file {
            let _ = std::fs::remove_file(path);
        }
        // Gateways drain side by side.
        let is_gateway = |running: &Running| running.spec.name.starts_with("gateway-");
        let (gateways, mut others): (Vec<_>, Vec<_>) = self.running.drain(..).partition(is_gateway);
        let stops = gateways.into_iter().map(|mut running| async move { running.spec.stop(&mut running.child).await });
        futures_util::future::join_all(stops).await;
        while let Some(mut running) = others.pop() {
            running.spec.stop(&mut running.child).await;
        }
    }

    /// Waits until any child has ended, and starts it again.
    async fn restart_one(&mut self) -> Result<(), Failure> {
        let waits = self.running.iter_mut().map(|running| running.child.wait().boxed_local());
        let (status, index, _) = select_all(waits).await;
        let running = &mut self.running[index];
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        say(&format!("{} ended ({status}); it is started again", running.spec.name));
        tokio::time::sleep(RESTART).await;
        running.child = running.spec.spawn()?;
        if let Some(addresses) = running.addresses {
            let console = if running.spec.name == "central" { addresses[0] } else { addresses[1] };
            let ready = wait_for(&running.spec, &mut running.child, START, "it answered again", async || {
                is_ready(console).await
            });
            // A child that dies again at once comes round through the loop.
            if let Err(Failure::Refused(_)) = ready.await {
                return Ok(());
            }
        }
        self.write_ready()
    }

    async fn start_database(&mut self) -> Result<(), Failure> {
        if let Some(url) = &self.args.database_url {
            self.database_url.clone_from(url);
            return Ok(());
        }
        // The port is chosen once and kept, so that a restarted server is found again.
        let listen = reachable(std::net::SocketAddr::new(self.args.listen, 0)).ip();
        let port = free_port(listen)?;
        let spec = postgres::prepare(&self.home.data, &self.home.logs, listen, port).await?;
        let mut child = spec.spawn()?;
        let address = std::net::SocketAddr::new(listen, port);
        let up = wait_for(&spec, &mut child, START, "it accepted connections", async || {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        self.running.push(Running { spec, child, addresses: None });
        up?;
        self.database_url = format!("postgres://sealgate@{address}/postgres");
        Ok(())
    }

    async fn start_central(&mut self) -> Result<(), Failure> {
        let Self { args, home, secrets, .. } = &*self;
        sealing_key(&home.sealing.join("central.key"))?;
        write_private(&home.run.join("central.token"), secrets.central_token.as_bytes())?;
        let config = home.run.join("central.toml");
        let file = |addresses| central_file(args, home, secrets, &self.database_url, addresses);
        write_private(&config, file(central_addresses(args)).as_bytes())?;
        let addresses_file = home.run.join("central.addresses.json");
        let spec = self.service("central", "sealgate-central", config.clone(), Duration::from_secs(30))?;
        let (child, addresses) = start(&spec, &addresses_file, ["console", "grpc", "metrics"], 0).await?;
        // From now on on the same ports.
        write_private(&config, file(addresses).as_bytes())?;
        self.running.push(Running { spec, child, addresses: Some(addresses) });
        Ok(())
    }

    async fn start_gateways(&mut self) -> Result<(), Failure> {
        let labels = labels(&self.args)?;
        let central = self.running.last().and_then(|running| running.addresses).map(|a| a.map(reachable));
        let Some([console, grpc, _]) = central else {
            return Err(Failure::refused("Central has no addresses".to_owned()));
        };
        sealing_key(&self.home.sealing.join("gateway.key"))?;
        let client = Client::new(&format!("http://{console}"), &self.secrets.central_token);
        for number in 1..=self.args.gateways {
            let name = gateway_name(number);
            let Self { args, home, secrets, .. } = &*self;
            let token_file = home.run.join(format!("{name}.enrolment-token"));
            if !home.data.join(&name).join("identity").exists() {
                let order = json!({ "name": name, "ttl_seconds": 3600, "labels": labels.get(&name).cloned().unwrap_or_default() });
                let answer = client.post(&["enrolment-tokens"], &order).await?;
                let token = answer["token"].as_str().unwrap_or_default();
                write_private(&token_file, token.as_bytes())?;
            }
            let config = home.run.join(format!("{name}.toml"));
            let address = format!("https://{grpc}");
            let file = |addresses| gateway_file(args, home, secrets, &name, &address, addresses);
            write_private(&config, file(gateway_addresses(args, number))?.as_bytes())?;
            let addresses_file = home.run.join(format!("{name}.addresses.json"));
            let spec = self.service(&name, "sealgate-gateway", config.clone(), Duration::from_secs(40))?;
            let (child, addresses) = start(&spec, &addresses_file, ["s3", "admin", "metrics"], 1).await?;
            write_private(&config, file(addresses)?.as_bytes())?;
            self.running.push(Running { spec, child, addresses: Some(addresses) });
        }
        Ok(())
    }

    /// With `--kms rsa` and no KMS yet: an RSA key, kept as PEM, becomes the active master key.
    async fn first_kms(&self) -> Result<(), Failure> {
        if self.args.kms == DevKms::None {
            return Ok(());
        }
        let Some(gateway) = self.gateways().next() else { return Ok(()) };
        let Some(addresses) = gateway.addresses else { return Ok(()) };
        let client = Client::new(&format!("http://{}", reachable(addresses[1])), &self.secrets.gateway_token);
        let known = client.get(&["kms"], &[]).await?;
        if known["kms"].as_array().is_some_and(|all| !all.is_empty()) {
            return Ok(());
        }
        let path = self.rsa_key_file();
        // The key is on disk before it protects anything.
        if !path.exists() {
            let pem = kms::generate_pem(4096).or_refuse(|| "an RSA key cannot be made".to_owned())?;
            write_private(&path, pem.as_bytes())?;
        }
        let pem = std::fs::read_to_string(&path).or_refuse(|| format!("{} cannot be read", path.display()))?;
        let order = json!({ "id": KMS_ID, "provider": "rsa", "pem": pem, "activate": true });
        client.post(&["kms"], &order).await.map(|_| ())
    }

    fn rsa_key_file(&self) -> PathBuf {
        self.home.data.join("rsa-key.pem")
    }

    fn gateways(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(|running| running.spec.name.starts_with("gateway-"))
    }

    fn service(&self, name: &str, program: &str, config: PathBuf, stop_within: Duration) -> Result<Spec, Failure> {
        let own = std::env::current_exe().or_refuse(|| "this program cannot find itself".to_owned())?;
        let program = own.with_file_name(program);
        if !program.exists() {
            return Err(Failure::refused(format!("{} is missing; it belongs beside sealgate", program.display())));
        }
        Ok(Spec {
            name: name.to_owned(),
            program,
            args: vec!["--config".into(), config.into_os_string()],
            env: Vec::new(),
            privileges: Vec::new(),
            stop_signal: Signal::TERM,
            stop_within,
            log: self.home.logs.join(format!("{name}.log")),
        })
    }

    /// The ready file as scripts read it; atomically, mode 0600, since it holds secrets.
    fn write_ready(&self) -> Result<(), Failure> {
        let Some(path) = &self.ready_file else { return Ok(()) };
        let text =
            serde_json::to_vec_pretty(&self.ready()).or_refuse(|| "the ready file cannot be coded".to_owned())?;
        write_private(path, &text)
    }

    fn ready(&self) -> Value {
        let Self { secrets, .. } = self;
        let gateways: Vec<Value> = self
            .gateways()
            .filter_map(|running| {
                let [s3, console, metrics] = running.addresses?.map(reachable);
                Some(json!({
                    "name": running.spec.name, "pid": running.child.id(), "s3": format!("http://{s3}"), "region": REGION,
                    "access_key": secrets.access_key, "secret_key": secrets.secret_key,
                    "console": format!("http://{console}"), "metrics": format!("http://{metrics}/metrics"),
                    "token": secrets.gateway_token,
                }))
            })
            .collect();
        let central = self.running.iter().find(|running| running.spec.name == "central").and_then(|running| {
            let [console, grpc, metrics] = running.addresses?.map(reachable);
            Some(json!({
                "pid": running.child.id(), "console": format!("http://{console}"), "grpc": format!("https://{grpc}"),
                "metrics": format!("http://{metrics}/metrics"), "user": "admin", "password": secrets.password,
                "token": secrets.central_token, "database_url": self.database_url,
            }))
        });
        let storage = self.args.upstream.is_none().then(|| self.home.data.join("storage"));
        let key = Some(self.rsa_key_file()).filter(|path| path.exists());
        json!({ "version": 1, "data_dir": self.home.data, "storage_dir": storage, "rsa_key_file": key,
                "gateways": gateways, "central": central })
    }

    fn greet(&self) {
        let ready = self.ready();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        say("Sealgate is running, for evaluation; Ctrl-C stops it, the same --data starts it again.");
        for gateway in ready["gateways"].as_array().map(Vec::as_slice).unwrap_or_default() {
            say(&format!(
                "  {}  S3 {}  console {}",
                text(&gateway["name"]),
                text(&gateway["s3"]),
                text(&gateway["console"])
            ));
        }
        let secrets = &self.secrets;
        say(&format!(
            "  credential  access key {}  secret key {}  region {REGION}",
            secrets.access_key, secrets.secret_key
        ));
        say(&format!(
            "  Central     console {}  user admin  password {}",
            text(&ready["central"]["console"]),
            secrets.password
        ));
        say(&format!("  data        {}", self.home.data.display()));
    }
}

/// Starts a service, and waits until it has told its addresses and is ready. `console` is the index of the address that
/// answers `/readyz`.
async fn start(
    spec: &Spec,
    addresses_file: &std::path::Path,
    names: [&str; 3],
    console: usize,
) -> Result<(Child, Addresses), Failure> {
    let _ = std::fs::remove_file(addresses_file);
    let mut child = spec.spawn()?;
    let up = wait_for(spec, &mut child, START, "it answered", async || {
        let addresses = read_addresses(addresses_file, names)?;
        is_ready(addresses[console]).await.map(|()| addresses)
    })
    .await;
    match up {
        Ok(addresses) => Ok((child, addresses)),
        Err(failure) => {
            spec.stop(&mut child).await;
            Err(failure)
        }
    }
}

async fn is_ready(console: std::net::SocketAddr) -> Option<()> {
    let url = format!("http://{}/readyz", reachable(console));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().ok()?;
    client.get(url).send().await.ok()?.status().is_success().then_some(())
}

fn free_port(address: std::net::IpAddr) -> Result<u16, Failure> {
    std::net::TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .or_refuse(|| format!("no free port on {address}"))
}
