//! The processes: started in order, watched, started again where one dies, stopped in reverse order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Child;
use zeroize::Zeroizing;

use super::process::{Spec, say, wait_for, write_private};
use super::settings::{
    Addresses, REGION, Secrets, central_addresses, central_file, gateway_addresses, gateway_file, gateway_name, labels,
    reachable, read_addresses, sealing_key,
};
use super::{Home, demo, postgres};
use crate::args::{DevArgs, DevKms};
use crate::client::Client;
use crate::failure::{Context, Failure};
use crate::kms::KeyOrder;

/// How long a service may take until it answers: a debug build on a busy machine needs some of it.
const START: Duration = Duration::from_secs(90);
/// Pause before a child that died is started again.
const RESTART: Duration = Duration::from_secs(1);
/// The ID of the KMS that `--kms rsa` makes.
const KMS_ID: &str = "dev-rsa";

/// A service that runs, and how to start it again.
struct Member {
    spec: Spec,
    /// Where it listens; nothing of PostgreSQL's is in the ready file.
    addresses: Option<Addresses>,
    /// Of the life that answers; none while there is none.
    pid: Cell<Option<u32>>,
}

/// What was decided once and is only read while the services run.
pub(super) struct Plan {
    args: DevArgs,
    home: Home,
    secrets: Secrets,
    ready_file: Option<PathBuf>,
    /// The ready file as it was last written; empty before.
    written: RefCell<Vec<u8>>,
    database_url: String,
    /// In the order in which they were started.
    members: Vec<Member>,
}

/// Everything that `dev` runs.
pub(super) struct Fleet {
    plan: Plan,
    /// One for each member, in the same order. A child is entered as soon as it exists, so that [`Fleet::stop`] ends it
    /// also where the start is broken off.
    children: Vec<Child>,
}

impl Fleet {
    pub(super) fn new(args: DevArgs, home: Home, secrets: Secrets, ready_file: Option<PathBuf>) -> Self {
        let (written, database_url) = (RefCell::default(), String::new());
        let plan = Plan { args, home, secrets, ready_file, written, database_url, members: Vec::new() };
        Self { plan, children: Vec::new() }
    }

    /// Starts all, writes the ready file, and watches; returns only with an error of the start.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        self.start_database().await?;
        self.start_central().await?;
        self.start_gateways().await?;
        let sealing = self.plan.first_kms().await?;
        for gateway in self.plan.gateways() {
            self.plan.tell_trouble(gateway).await;
        }
        self.plan.write_ready()?;
        self.plan.greet();
        if !sealing {
            self.plan.ask_for_kms();
        }
        let demo = if self.plan.args.demo { self.begin_demo().await? } else { Vec::new() };
        let resting = demo.last().map(|gateway| gateway.name.as_str());
        // Each on its own: one that cannot come up keeps no other one down.
        let plan = &self.plan;
        let lives = plan.members.iter().zip(&mut self.children);
        let lives = lives.filter(|(member, _)| Some(member.spec.name.as_str()) != resting);
        let lives = futures_util::future::join_all(lives.map(|(member, child)| plan.keep_alive(member, child)));
        if !demo.is_empty() {
            return tokio::select! {
                _ = lives => Ok(()),
                ended = demo::traffic(&demo, &plan.secrets) => ended,
            };
        }
        lives.await;
        Ok(())
    }

    /// Makes what a demonstration shows, and stops its last gateway.
    async fn begin_demo(&mut self) -> Result<Vec<demo::Gateway>, Failure> {
        let plan = &self.plan;
        let central = plan.members.iter().find(|member| member.spec.name == "central").and_then(Member::console);
        let central = central.ok_or_else(|| Failure::refused("Central has no addresses".to_owned()))?;
        let central = Client::new(&format!("http://{central}"), &plan.secrets.central_token);
        let gateways: Vec<demo::Gateway> = plan
            .gateways()
            .filter_map(|member| {
                let [s3, console, _] = member.addresses?.map(reachable);
                let name = member.spec.name.clone();
                let state = plan.home.data.join(&name);
                Some(demo::Gateway { name, s3: format!("http://{s3}"), console: format!("http://{console}"), state })
            })
            .collect();
        demo::prepare(&central, &gateways, &plan.secrets).await?;
        if let (Some(member), Some(child)) = (plan.members.last(), self.children.last_mut()) {
            member.spec.stop(child).await;
            member.pid.set(None);
            say(&format!("{} is stopped, and stays so: a part of the demonstration", member.spec.name));
        }
        plan.write_ready()?;
        Ok(gateways)
    }

    /// Stops in reverse order; PostgreSQL last.
    pub(super) async fn stop(&mut self) {
        self.plan.remove_ready();
        // Gateways drain side by side.
        let all = self.plan.members.drain(..).zip(self.children.drain(..));
        let (gateways, mut others): (Vec<_>, Vec<_>) = all.partition(|(member, _)| member.is_gateway());
        let stops = gateways.into_iter().map(|(member, mut child)| async move { member.spec.stop(&mut child).await });
        futures_util::future::join_all(stops).await;
        while let Some((member, mut child)) = others.pop() {
            member.spec.stop(&mut child).await;
        }
    }

    /// Runs a child to its end, which must be a good one.
    async fn carry_out(&mut self, spec: Spec) -> Result<(), Failure> {
        let child = self.enter(spec)?.1;
        let ended = child.wait().await;
        self.children.pop();
        let Some(Member { spec, .. }) = self.plan.members.pop() else { return Ok(()) };
        if ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Ok(());
        }
        let words = spec.last_words();
        Err(Failure::refused(format!(
            "{} failed ({}); its log {} ends with:\n{words}",
            spec.name,
            outcome(ended),
            spec.log.display()
        )))
    }

    fn enter(&mut self, spec: Spec) -> Result<(&mut Member, &mut Child), Failure> {
        self.children.push(spec.spawn()?);
        self.plan.members.push(Member { spec, addresses: None, pid: Cell::new(None) });
        let child = self.children.last_mut().expect("one was just entered");
        Ok((self.plan.members.last_mut().expect("one was just entered"), child))
    }

    /// Starts a child, and waits until `check` finds it up.
    async fn start<T>(
        &mut self,
        spec: Spec,
        what: &str,
        check: impl AsyncFnMut() -> Option<T>,
    ) -> Result<(T, &mut Member), Failure> {
        let (member, child) = self.enter(spec)?;
        let up = wait_for(&member.spec, child, START, what, check).await?;
        member.pid.set(child.id());
        Ok((up, member))
    }

    /// The same for a service that tells its addresses in a file; `console` is the index of the address that answers
    /// `/readyz`.
    async fn start_service(&mut self, spec: Spec, names: [&str; 3], console: usize) -> Result<Addresses, Failure> {
        let file = self.plan.home.run.join(format!("{}.addresses.json", spec.name));
        let _ = std::fs::remove_file(&file);
        let (addresses, member) = self
            .start(spec, "it answered", async || {
                let addresses = read_addresses(&file, names)?;
                is_ready(addresses[console]).await.ok().map(|()| addresses)
            })
            .await?;
        member.addresses = Some(addresses);
        Ok(addresses)
    }

    async fn start_database(&mut self) -> Result<(), Failure> {
        if let Some(url) = &self.plan.args.database_url {
            self.plan.database_url.clone_from(url);
            return Ok(());
        }
        // The port is chosen once and kept, so that a restarted server is found again.
        let listen = reachable(SocketAddr::new(self.plan.args.listen, 0)).ip();
        let port = free_port(listen)?;
        let server = postgres::Server::find(&self.plan.home.data, &self.plan.home.logs)?;
        if let Some(spec) = server.making()? {
            self.carry_out(spec).await?;
            server.made()?;
        }
        let address = SocketAddr::new(listen, port);
        let connects = async || tokio::net::TcpStream::connect(address).await.ok();
        self.start(server.serving(listen, port), "it accepted connections", connects).await?;
        self.plan.database_url = format!("postgres://sealgate@{address}/postgres");
        Ok(())
    }

    async fn start_central(&mut self) -> Result<(), Failure> {
        let Plan { args, home, secrets, .. } = &self.plan;
        sealing_key(&home.sealing.join("central.key"))?;
        write_private(&home.run.join("central.token"), secrets.central_token.as_bytes())?;
        let config = home.run.join("central.toml");
        write_private(&config, self.plan.central_file(central_addresses(args)).as_bytes())?;
        let spec = self.plan.service("central", "sealgate-central", config.clone(), Duration::from_secs(30))?;
        let addresses = self.start_service(spec, ["console", "grpc", "metrics"], 0).await?;
        // From now on on the same ports.
        write_private(&config, self.plan.central_file(addresses).as_bytes())
    }

    async fn start_gateways(&mut self) -> Result<(), Failure> {
        let labels = labels(&self.plan.args)?;
        let central = self.plan.members.last().and_then(|central| central.addresses).map(|a| a.map(reachable));
        let Some([console, grpc, _]) = central else {
            return Err(Failure::refused("Central has no addresses".to_owned()));
        };
        sealing_key(&self.plan.home.sealing.join("gateway.key"))?;
        let client = Client::new(&format!("http://{console}"), &self.plan.secrets.central_token);
        let known = client.pages(&["gateways"], "gateways", "after").await?;
        for number in 1..=self.plan.args.gateways() {
            let name = gateway_name(number);
            let labels = labels.get(&name).cloned().unwrap_or_default();
            let Plan { args, home, .. } = &self.plan;
            let token_file = home.run.join(format!("{name}.enrolment-token"));
            if home.data.join(&name).join("identity").join("current").exists() {
                relabel(&client, &known, &name, &labels).await?;
            } else {
                let order = json!({ "name": name, "ttl_seconds": 3600, "labels": labels });
                let answer = client.post(&["enrolment-tokens"], &order).await?;
                let token = answer["token"].as_str().unwrap_or_default();
                write_private(&token_file, token.as_bytes())?;
            }
            let config = home.run.join(format!("{name}.toml"));
            let address = format!("https://{grpc}");
            let file = |plan: &Plan, addresses| {
                gateway_file(&plan.args, &plan.home, &plan.secrets, &name, &address, addresses)
            };
            write_private(&config, file(&self.plan, gateway_addresses(args, number))?.as_bytes())?;
            let spec = self.plan.service(&name, "sealgate-gateway", config.clone(), Duration::from_secs(40))?;
            let addresses = self.start_service(spec, ["s3", "admin", "metrics"], 1).await?;
            write_private(&config, file(&self.plan, addresses)?.as_bytes())?;
        }
        self.plan.wait_for_streams(&client, &known).await
    }
}

impl Member {
    fn is_gateway(&self) -> bool {
        self.spec.name.starts_with("gateway-")
    }

    /// The address that answers `/readyz`.
    fn console(&self) -> Option<SocketAddr> {
        self.addresses.map(|addresses| reachable(if self.is_gateway() { addresses[1] } else { addresses[0] }))
    }
}

impl Plan {
    /// Starts a child again whenever it ends, for ever.
    async fn keep_alive(&self, member: &Member, child: &mut Child) {
        let name = &member.spec.name;
        loop {
            say(&format!("{name} ended ({}); it is started again", outcome(child.wait().await)));
            member.pid.set(None);
            // What goes wrong is said once, not once a second.
            let mut told = false;
            loop {
                tokio::time::sleep(RESTART).await;
                match self.start_again(member, child, &mut told).await {
                    Ok(()) => break,
                    Err(failure) if !told => say(&format!("{}\n{name} is started again each second", failure.text())),
                    Err(_) => {}
                }
                told = true;
            }
            member.pid.set(child.id());
            if told {
                say(&format!("{name} is up again"));
            }
            self.tell_trouble(member).await;
            if let Err(failure) = self.write_ready() {
                say(failure.text());
            }
        }
    }

    /// An error where the child ended before it answered. One that lives and does not answer is waited for.
    async fn start_again(&self, member: &Member, child: &mut Child, told: &mut bool) -> Result<(), Failure> {
        *child = member.spec.spawn()?;
        let Some(console) = member.console() else { return Ok(()) };
        let mut why = String::new();
        loop {
            let up = wait_for(&member.spec, child, START, "it answered again", async || {
                is_ready(console).await.map_err(|reason| why = reason).ok()
            });
            match up.await {
                Ok(()) => return Ok(()),
                Err(failure) if child.id().is_none() => return Err(failure),
                Err(_) if !*told => {
                    *told = true;
                    say(&format!(
                        "{} runs, and is not ready ({why}); its log is {}",
                        member.spec.name,
                        member.spec.log.display()
                    ));
                }
                Err(_) => {}
            }
        }
    }

    /// Says which KMS a gateway cannot use: it serves, and refuses what is due to be encrypted.
    async fn tell_trouble(&self, member: &Member) {
        let Some(console) = member.console().filter(|_| member.is_gateway()) else { return };
        let client = Client::new(&format!("http://{console}"), &self.secrets.gateway_token);
        // One that cannot be asked is not worth a line: it answered just before, and its end is said.
        let Ok(answer) = client.get(&["kms"], &[]).await else { return };
        for kms in answer["kms"].as_array().into_iter().flatten().filter(|kms| kms["state"] != "ok") {
            let text = |name: &str| kms[name].as_str().unwrap_or_default();
            say(&format!("{} cannot use the KMS {}: {}", member.spec.name, text("id"), text("error")));
        }
    }

    /// Waits until every gateway has a stream to Central that is none of those `before`: an edit that is made as soon as
    /// the ready file is there waits for all of them.
    async fn wait_for_streams(&self, client: &Client, before: &Value) -> Result<(), Failure> {
        let of = |all: &Value, name: &str| -> Value {
            let all = all["gateways"].as_array().map(Vec::as_slice).unwrap_or_default();
            all.iter().find(|gateway| gateway["name"] == name).cloned().unwrap_or_default()
        };
        let end = tokio::time::Instant::now() + START;
        loop {
            let now = client.pages(&["gateways"], "gateways", "after").await?;
            let missing = self.gateways().map(|gateway| &gateway.spec).find(|spec| {
                let (now, before) = (of(&now, &spec.name), of(before, &spec.name));
                let refused = now["state"] == "suspended" || now["state"] == "retired";
                !refused && (now["connection"] != "connected" || now["since"] == before["since"])
            });
            let Some(spec) = missing else { return Ok(()) };
            if tokio::time::Instant::now() > end {
                say(&format!(
                    "{} has no stream to Central; it serves without. Its log: {}",
                    spec.name,
                    spec.log.display()
                ));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn central_file(&self, addresses: Addresses) -> String {
        central_file(&self.args, &self.home, &self.secrets, &self.database_url, addresses)
    }

    /// With `--kms rsa` and no KMS yet: an RSA key, kept as PEM, becomes the active master key. Whether there is a KMS
    /// in the end.
    async fn first_kms(&self) -> Result<bool, Failure> {
        let Some(console) = self.gateways().next().and_then(Member::console) else { return Ok(false) };
        let client = Client::new(&format!("http://{console}"), &self.secrets.gateway_token);
        let known = client.get(&["kms"], &[]).await?;
        if known["kms"].as_array().is_some_and(|all| !all.is_empty()) {
            return Ok(true);
        }
        if self.args.kms == DevKms::None {
            return Ok(false);
        }
        let path = self.rsa_key_file();
        // The key is on disk before it protects anything.
        if !path.exists() {
            let pem = kms::generate_pem(4096).or_refuse(|| "an RSA key cannot be made".to_owned())?;
            write_private(&path, pem.as_bytes())?;
        }
        let read = std::fs::read_to_string(&path).map(Zeroizing::new);
        let pem = read.or_refuse(|| format!("{} cannot be read", path.display()))?;
        let order =
            KeyOrder { id: Some(KMS_ID), provider: Some(kms::RSA), pem: &pem, passphrase: None, activate: true };
        client.post_secret(&["kms"], order.encode()?).await.map(|_| true)
    }

    fn rsa_key_file(&self) -> PathBuf {
        self.home.data.join("rsa-key.pem")
    }

    fn gateways(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_gateway())
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
        write_private(path, &text)?;
        self.written.replace(text);
        Ok(())
    }

    /// Removes the ready file where it is still the one that was written here.
    fn remove_ready(&self) {
        let Some(path) = &self.ready_file else { return };
        if std::fs::read(path).is_ok_and(|text| text == *self.written.borrow()) {
            let _ = std::fs::remove_file(path);
        }
    }

    fn ready(&self) -> Value {
        let Self { secrets, .. } = self;
        let gateways: Vec<Value> = self
            .gateways()
            .filter_map(|member| {
                let [s3, console, metrics] = member.addresses?.map(reachable);
                Some(json!({
                    "name": member.spec.name, "pid": member.pid.get(), "s3": format!("http://{s3}"), "region": REGION,
                    "access_key": secrets.access_key, "secret_key": secrets.secret_key,
                    "console": format!("http://{console}"), "metrics": format!("http://{metrics}/metrics"),
                    "token": secrets.gateway_token,
                }))
            })
            .collect();
        let central = self.members.iter().find(|member| member.spec.name == "central").and_then(|member| {
            let [console, grpc, metrics] = member.addresses?.map(reachable);
            Some(json!({
                "pid": member.pid.get(), "console": format!("http://{console}"), "grpc": format!("https://{grpc}"),
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
        say(&format!("  gateways    API token {}, for their consoles", secrets.gateway_token));
        say(&format!("  data        {}", self.home.data.display()));
    }

    /// What to do where the KMS is left to the user.
    fn ask_for_kms(&self) {
        let Some(console) = self.gateways().next().and_then(Member::console) else { return };
        let target = match &self.ready_file {
            Some(path) => format!("sealgate --ready-file {}", path.display()),
            None => format!(
                "SEALGATE_GATEWAY_URL=http://{console} SEALGATE_GATEWAY_TOKEN={} sealgate",
                self.secrets.gateway_token
            ),
        };
        say("There is no KMS yet: what is due to be encrypted is refused until one is added.");
        say("  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out KEY.pem");
        say(&format!("  {target} kms add rsa --id main --key KEY.pem"));
    }
}

/// How a process ended.
fn outcome(status: std::io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Gives a gateway that Central knows the labels of this start; its others stay as they are.
async fn relabel(client: &Client, known: &Value, name: &str, labels: &BTreeMap<String, String>) -> Result<(), Failure> {
    let gateway = known["gateways"].as_array().into_iter().flatten().find(|gateway| gateway["name"] == name);
    let Some(gateway) = gateway.filter(|gateway| labels.iter().any(|(key, value)| gateway["labels"][key] != **value))
    else {
        return Ok(());
    };
    let mut all = gateway["labels"].as_object().cloned().unwrap_or_default();
    all.extend(labels.iter().map(|(key, value)| (key.clone(), json!(value))));
    let order = json!({ "labels": all });
    client.call(Method::PUT, &["gateways", name, "labels"], &[], Some(&order), None).await.map(|_| ())
}

/// An error says why the service is not ready.
async fn is_ready(console: SocketAddr) -> Result<(), String> {
    let ask = async {
        let url = format!("http://{}/readyz", reachable(console));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let answer = client.get(url).send().await?;
        let ready = answer.status().is_success();
        Ok::<_, reqwest::Error>((ready, answer.text().await?))
    };
    match ask.await {
        Ok((true, _)) => Ok(()),
        Ok((false, why)) => Err(why.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn free_port(address: std::net::IpAddr) -> Result<u16, Failure> {
    std::net::TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .or_refuse(|| format!("no free port on {address}"))
}
