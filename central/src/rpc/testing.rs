//! For tests: a Central over a real database with real sockets, and gateways that speak to it over mutual TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use ids::{Epoch, GatewayId, Lineage, Revision};
use proto::enrolment::{Credentials, EnrolRequest, EnrolResponse, RenewRequest};
use proto::report::{ObjectCount, Report, ReportAck};
use proto::watch::{Ack, Held, Hello, OpenUploads, Progress, WatchDown, WatchUp};
use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use proto::wire::policies_client::PoliciesClient;
use proto::wire::reports_client::ReportsClient;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Admission, CODE, Services, serve};
use crate::caller::{Caller, Permission, Permit, Role, Via};
use crate::db::testing::{Database, database};
use crate::enrolment::{self, NewToken};
use crate::feed::Feed;
use crate::gateways::Fleet;
use crate::jobs;
use crate::pki::{self, Pki};
use crate::sealing::SealingKey;
use crate::stats::Stats;

/// Everything in a test happens within this time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One replica of Central.
pub(crate) struct Central {
    pub(crate) services: Services,
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

pub(crate) fn config() -> crate::config::Gateways {
    crate::config::Gateways {
        report_interval: Duration::from_secs(1),
        heartbeat_interval: Duration::from_secs(1),
        certificate_lifetime: Duration::from_hours(7 * 24),
        renewal_window: Duration::from_hours(30 * 24),
    }
}

/// A fresh database with a first revision.
pub(crate) async fn seeded() -> Database {
    let database = database().await;
    let lineage = Uuid::new_v4();
    // Whatever begins a lineage in the real service may be there already.
    sqlx::query("delete from policy_head").execute(&database.pool).await.expect("no head");
    sqlx::query("insert into policy_head (singleton, lineage, number, digest) values (true, $1, 0, $2)")
        .bind(lineage)
        .bind([0_u8; 32].as_slice())
        .execute(&database.pool)
        .await
        .expect("a head");
    publish(&database.pool, "first").await;
    database
}

/// Makes the next revision, as an edit does; its document is the text.
pub(crate) async fn publish(db: &PgPool, document: &str) -> Held {
    let digest = policy::Digest::of(document.as_bytes()).0;
    let mut tx = db.begin().await.expect("a transaction");
    let (lineage, number): (Uuid, i64) = sqlx::query_as("select lineage, number + 1 from policy_head for update")
        .fetch_one(&mut *tx)
        .await
        .expect("head");
    sqlx::query(
        "insert into policy_revisions (lineage, number, document, format, digest, created_by, cause)
         values ($1, $2, $3, 1, $4, 'test', 'edit')",
    )
    .bind(lineage)
    .bind(number)
    .bind(document.as_bytes())
    .bind(digest.as_slice())
    .execute(&mut *tx)
    .await
    .expect("a revision");
    sqlx::query("update policy_head set number = $1, digest = $2")
        .bind(number)
        .bind(digest.as_slice())
        .execute(&mut *tx)
        .await
        .expect("the head moves");
    sqlx::query("select pg_notify('sealgate_policies', '')").execute(&mut *tx).await.expect("notified");
    tx.commit().await.expect("committed");
    Held { revision: Revision { lineage: Lineage(lineage), number: u64::try_from(number).expect("positive") }, digest }
}

impl Central {
    /// Starts a replica over the database.
    pub(crate) async fn start(db: &PgPool) -> Self {
        Self::start_with(db, config(), true).await
    }

    /// Over the parts of a Central that serves REST.
    pub(crate) async fn over(services: Services) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::serving(listener, services, true)
    }

    pub(crate) async fn start_with(db: &PgPool, config: crate::config::Gateways, notify: bool) -> Self {
        let feed = Feed::open(db.clone()).await.expect("a head");
        Self::start_over(db, config, notify, feed).await
    }

    pub(crate) async fn start_over(
        db: &PgPool,
        config: crate::config::Gateways,
        notify: bool,
        feed: Arc<Feed>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let sealing = SealingKey::from_bytes(Zeroizing::new([7; 32]));
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let services = Services {
            db: db.clone(),
            pki: Pki::open(db, sealing, &config, names).await.expect("authorities"),
            feed,
            fleet: Fleet::open(db.clone(), &config).await.expect("a fleet"),
            stats: Stats::new(db.clone()),
            address: format!("https://{address}").into(),
        };
        Self::serving(listener, services, notify)
    }

    fn serving(listener: TcpListener, services: Services, notify: bool) -> Self {
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let admission = Admission { connections: 100, handshakes: 10 };
        let (grpc, own) = (services.clone(), services.clone());
        let (first, second) = (stop.clone(), stop.clone());
        let settings = jobs::Settings {
            notify,
            heartbeat: services.fleet.heartbeat(),
            statistics_kept: Duration::from_hours(24 * 365),
        };
        let tasks = vec![
            tokio::spawn(async move { serve(listener, grpc, admission, first).await.expect("served") }),
            tokio::spawn(async move { jobs::run(own, settings, second).await.expect("jobs ran") }),
        ];
        Self { services, address, stop, tasks }
    }

    /// Stops it and waits until nothing of it is left.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            task.await.expect("no panic");
        }
    }

    pub(crate) fn permit() -> Permit {
        let via = Via::Token { id: Uuid::nil() };
        let caller = Caller { name: "test".to_owned(), role: Role::Admin, via };
        caller.require(Permission::ManageGateways).expect("an administrator may")
    }

    /// A token's text.
    pub(crate) async fn token(&self, name: Option<&str>, ttl: time::Duration) -> Zeroizing<String> {
        let new = NewToken {
            name: name.map(ToOwned::to_owned),
            labels: [("region".to_owned(), "eu-1".to_owned())].into(),
            ttl,
        };
        let Services { db, pki, address, .. } = &self.services;
        enrolment::create_token(db, pki, address, &Self::permit(), &new).await.expect("a token").text
    }

    /// An enrolled gateway of that name.
    pub(crate) async fn gateway(&self, name: &str) -> Gateway {
        let token = self.token(Some(name), time::Duration::hours(1)).await;
        self.enrol(&token, "").await.expect("enrolled")
    }

    /// Enrols with the token's text, as a gateway does: the CA is found by its fingerprint.
    pub(crate) async fn enrol(&self, token: &str, proposed: &str) -> Result<Gateway, Status> {
        let key = rcgen::KeyPair::generate().expect("a key");
        self.enrol_with(token, proposed, &key).await
    }

    pub(crate) async fn enrol_with(
        &self,
        token: &str,
        proposed: &str,
        key: &rcgen::KeyPair,
    ) -> Result<Gateway, Status> {
        let token = Token::read(token);
        let roots: Vec<_> = self
            .services
            .pki
            .authorities()
            .advertised()
            .into_iter()
            .filter(|der| token.fingerprints.contains(&hex::encode(pki::fingerprint(der))))
            .collect();
        let mut client = EnrolmentClient::new(channel(self.address, &roots, None));
        let request = EnrolRequest {
            token: token.secret.clone(),
            csr_der: csr(key),
            proposed_name: proposed.to_owned(),
            version: "1.2.3".to_owned(),
        };
        let answer = client.enrol(wire::EnrolRequest::from(request)).await?.into_inner();
        let answer = EnrolResponse::try_from(answer).expect("well-formed");
        Ok(Gateway::new(self.address, answer.gateway_id, &answer.credentials, key))
    }
}

/// A token's text, taken apart by somebody who has only the description of its form.
pub(crate) struct Token {
    pub(crate) address: String,
    pub(crate) fingerprints: Vec<String>,
    pub(crate) secret: String,
}

impl Token {
    pub(crate) fn read(text: &str) -> Self {
        use base64::Engine as _;
        let payload = text.strip_prefix("sgt1.").expect("the prefix");
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        Self {
            address: json["a"].as_str().expect("an address").to_owned(),
            fingerprints: json["c"]
                .as_array()
                .expect("fingerprints")
                .iter()
                .map(|hex| hex.as_str().expect("text").to_owned())
                .collect(),
            secret: json["s"].as_str().expect("a secret").to_owned(),
        }
    }
}

/// A request for that key, which asks for things that nobody grants.
pub(crate) fn csr(key: &rcgen::KeyPair) -> bytes::Bytes {
    let mut params = rcgen::CertificateParams::new(vec!["central.sealgate.internal".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    bytes::Bytes::copy_from_slice(params.serialize_request(key).expect("a request").der())
}

/// A channel over TLS, verified against `roots` as a gateway does it.
pub(crate) fn channel(
    address: SocketAddr,
    roots: &[CertificateDer<'static>],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Channel {
    let mut store = rustls::RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(store);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("an identity"),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Endpoint::from_static("http://central.sealgate.internal").timeout(PATIENCE).connect_with_connector_lazy(
        tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move {
                let socket = TcpStream::connect(address).await?;
                let name = ServerName::try_from(pki::SERVER_NAME).expect("a name");
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, socket).await?))
            }
        }),
    )
}

/// A gateway with its identity.
pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    pub(crate) address: SocketAddr,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) key: Vec<u8>,
    pub(crate) channel: Channel,
}

impl Gateway {
    fn new(address: SocketAddr, id: GatewayId, credentials: &Credentials, key: &rcgen::KeyPair) -> Self {
        let ders = |list: &[bytes::Bytes]| list.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Self::with(address, id, ders(&credentials.chain_der), ders(&credentials.ca_der), key.serialize_der())
    }

    pub(crate) fn with(
        address: SocketAddr,
        id: GatewayId,
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<CertificateDer<'static>>,
        key: Vec<u8>,
    ) -> Self {
        let private = PrivateKeyDer::try_from(key.clone()).expect("PKCS#8");
        let channel = channel(address, &roots, Some((chain.clone(), private)));
        Self { id, address, chain, roots, key, channel }
    }

    /// The same identity over a new connection to `address`.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self::with(address, self.id, self.chain.clone(), self.roots.clone(), self.key.clone())
    }

    /// The same key with a certificate issued at `issued`, which Central knows as its own.
    pub(crate) async fn issued_at(&self, central: &Central, issued: OffsetDateTime) -> Self {
        let key = rcgen::KeyPair::try_from(self.key.as_slice()).expect("the key");
        let requested = pki::RequestedKey::from_csr(&csr(&key)).expect("a request");
        let services = &central.services;
        let certificate = services
            .pki
            .authorities()
            .issue_client(self.id, &requested, issued, services.pki.lifetime)
            .expect("a certificate");
        sqlx::query(
            "insert into gateway_certificates (serial, gateway_id, authority, key_digest, not_after, issued_at)
             values ($1, $2, 1, $3, $4, $5)",
        )
        .bind(&certificate.presented.serial)
        .bind(self.id.0)
        .bind(certificate.presented.key_digest.as_slice())
        .bind(certificate.presented.not_after)
        .bind(issued)
        .execute(&services.db)
        .await
        .expect("known");
        Self::with(self.address, self.id, certificate.chain, self.roots.clone(), self.key.clone())
    }

    pub(crate) async fn renew(&self) -> Result<Self, Status> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let request = RenewRequest { csr_der: csr(&key), version: "1.2.4".to_owned() };
        let answer = EnrolmentClient::new(self.channel.clone()).renew(wire::RenewRequest::from(request)).await?;
        let credentials = Credentials::try_from(answer.into_inner()).expect("well-formed");
        Ok(Self::new(self.address, self.id, &credentials, &key))
    }

    pub(crate) async fn report(&self, report: &Report) -> Result<ReportAck, Status> {
        let mut client = ReportsClient::new(self.channel.clone());
        let answer = client.send(wire::Report::from(report.clone())).await?;
        Ok(ReportAck::try_from(answer.into_inner()).expect("well-formed"))
    }

    /// Opens a stream with this hello.
    pub(crate) async fn watch(&self, hello: Hello) -> Result<Stream, Status> {
        let (up, messages) = mpsc::channel(8);
        up.send(WatchUp::Hello(hello).into()).await.expect("room");
        let mut client = PoliciesClient::new(self.channel.clone()).max_decoding_message_size(32 << 20);
        let down = client.watch(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Stream { up, down })
    }
}

/// A hello of a life.
pub(crate) fn hello(epoch: Epoch, predecessor: Option<Epoch>, held: Option<Held>) -> Hello {
    Hello {
        epoch,
        predecessor,
        version: "1.2.3".to_owned(),
        capabilities: Vec::new(),
        held,
        clock_ms: OffsetDateTime::now_utc().unix_timestamp() * 1_000,
        storage_id: None,
    }
}

/// The gateway's end of a stream.
pub(crate) struct Stream {
    up: mpsc::Sender<wire::WatchUp>,
    down: Streaming<wire::WatchDown>,
}

impl Stream {
    pub(crate) async fn say(&self, message: WatchUp) {
        self.up.send(message.into()).await.expect("the stream is open");
    }

    pub(crate) async fn ack(&self, held: Held, progress: Progress) {
        self.say(WatchUp::Ack(Ack { held, progress, uploads: OpenUploads::default() })).await;
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Result<WatchDown, Status> {
        let message = tokio::time::timeout(PATIENCE, self.down.message()).await.expect("in time")?;
        let message = message.ok_or_else(|| Status::cancelled("the stream ended without a status"))?;
        Ok(WatchDown::try_from(message).expect("well-formed"))
    }

    /// The next message that decides about policies.
    pub(crate) async fn answer(&mut self) -> Result<WatchDown, Status> {
        loop {
            match self.next().await? {
                WatchDown::Assignment(_) | WatchDown::Directives(_) => {}
                answer => return Ok(answer),
            }
        }
    }

    /// The status with which the stream ends.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}

/// The stable code of a refusal.
pub(crate) fn code(status: &Status) -> &str {
    status.metadata().get(CODE).map_or("", |code| code.to_str().expect("ASCII"))
}

/// A report with one counter.
pub(crate) fn report(series: Uuid, sequence: u64, objects: u64, bytes: u64) -> Report {
    let now = OffsetDateTime::now_utc().unix_timestamp() * 1_000;
    Report {
        epoch: Epoch::random(),
        series,
        sequence,
        start_ms: now - 1_000,
        end_ms: now,
        full: false,
        objects: vec![count("photos", "payroll", objects, bytes)],
        kms: Vec::new(),
        upstreams: Vec::new(),
        inventory: None,
        gap_ms: 0,
    }
}

/// One counter of objects stored encrypted.
pub(crate) fn count(bucket: &str, policy: &str, objects: u64, bytes: u64) -> ObjectCount {
    ObjectCount {
        bucket: bucket.to_owned(),
        policy: policy.to_owned(),
        outcome: ids::Outcome::Encrypted,
        direction: ids::Direction::In,
        objects,
        bytes,
    }
}

/// Waits until `what` is so.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came so that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
