//! A Central for tests of the uplink: the three services over mutual TLS, with faults to order.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use ids::GatewayId;
use proto::enrolment::{Credentials, EnrolRequest, EnrolResponse, RenewRequest};
use proto::report::{Report, ReportAck};
use proto::watch::{Assignment, Directives, Hello, PolicyBundle, Progress, Refusal, WatchDown, WatchUp};
use proto::wire;
use proto::wire::enrolment_server::{Enrolment, EnrolmentServer};
use proto::wire::policies_server::{Policies, PoliciesServer};
use proto::wire::reports_server::{Reports, ReportsServer};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::super::line::SERVER_NAME;
use crate::state::now_ms;

/// The secret of the token, and of the other one.
const SECRET: &str = "hush";
const ANOTHER: &str = "hush again";

/// Polls until it holds.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What it saw, and how it behaves.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) enrolments: usize,
    pub(super) hellos: Vec<Hello>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) heartbeats: usize,
    pub(super) bundles_sent: usize,
    /// Sequence of each report that came, also of those whose answer was lost.
    pub(super) deliveries: Vec<u64>,
    pub(super) full_reports: usize,
    pub(super) gaps: usize,
    pub(super) renewed_refused: usize,
    pub(super) renewed_served: usize,
    /// Streams under a certificate that was not renewed.
    pub(super) enrolled_served: usize,
    /// To order: answers that are lost after the report was merged.
    pub(super) lose_acks: usize,
    /// Reports that are rejected.
    pub(super) reject_reports: usize,
    /// Ask for a full report, once.
    pub(super) want_full: bool,
    /// Refuse certificates that were renewed.
    pub(super) refuse_renewed: bool,
    /// What is said of the lifetime of certificates, in milliseconds; whatever it is, they are good for ever. A short one
    /// is half over at once, and is renewed whatever the machine's speed.
    pub(super) lifetime_ms: i64,
    /// Certificates that have expired: only Renew is answered.
    expired: Vec<Vec<u8>>,
    /// Renew is refused with this code.
    pub(super) refuse_to_renew: Option<&'static str>,
    acks: HashMap<u64, Progress>,
    /// By series.
    marks: HashMap<uuid::Uuid, u64>,
    merged: BTreeMap<(uuid::Uuid, String, String, String), u64>,
    renewed: Vec<Vec<u8>>,
    used: Vec<String>,
    newest_enrolled: Vec<u8>,
}

impl Seen {
    pub(super) fn acked(&self, revision: u64) -> Option<Progress> {
        self.acks.get(&revision).copied()
    }

    pub(super) fn objects(&self, bucket: &str) -> u64 {
        self.merged.iter().filter(|((_, found, ..), _)| found == bucket).map(|(_, objects)| objects).sum()
    }
}

/// A Central that serves until it is dropped.
pub(super) struct Central {
    shared: Shared,
    address: String,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Seen>>,
    head: watch::Sender<Option<PolicyBundle>>,
    ca_der: Bytes,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

impl Central {
    pub(super) async fn start() -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).expect("a certificate");
        let ca_der = Bytes::copy_from_slice(ca.der());
        let issuer = Arc::new(Issuer::new(params, ca_key));

        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new([SERVER_NAME.to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca_der.to_vec())).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .expect("a verifier");
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![leaf.der().clone(), CertificateDer::from(ca_der.to_vec())],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("a chain");
        config.alpn_protocols = vec![b"h2".to_vec()];

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("https://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (accepted, incoming) = mpsc::channel(16);
        tokio::spawn({
            let stop = stop.clone();
            async move {
                while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                    let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            let _ = accepted.send(Ok::<_, std::io::Error>(stream)).await;
                        }
                    });
                }
            }
        });
        let seen = Seen { lifetime_ms: 3_600_000, ..Seen::default() };
        let shared = Shared { seen: Arc::new(Mutex::new(seen)), head: watch::Sender::new(None), ca_der, issuer };
        let server = tonic::transport::Server::builder()
            .add_service(EnrolmentServer::new(shared.clone()))
            .add_service(PoliciesServer::new(shared.clone()))
            .add_service(ReportsServer::new(shared.clone()))
            .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop.clone().cancelled_owned());
        tokio::spawn(server);
        Self { shared, address, _stop: stop.drop_guard() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn token(&self) -> String {
        self.token_for(&self.address)
    }

    /// A token of this Central that names another address.
    pub(super) fn token_for(&self, address: &str) -> String {
        self.token_of(address, SECRET)
    }

    fn token_of(&self, address: &str, secret: &str) -> String {
        let fingerprint = policy::Digest::of(&self.shared.ca_der);
        let json = format!(r#"{{"a":"{address}","c":["{fingerprint}"],"s":"{secret}"}}"#);
        format!("sgt1.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json))
    }

    /// A token that was not used yet, whatever became of the first one.
    pub(super) fn another_token(&self) -> String {
        self.token_of(&self.address, ANOTHER)
    }

    pub(super) fn push(&self, bundle: PolicyBundle) {
        self.shared.head.send_replace(Some(bundle));
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.lock()
    }

    /// The certificate of the last enrolment has expired.
    pub(super) fn expire_enrolled(&self) {
        let mut seen = self.shared.lock();
        let der = seen.newest_enrolled.clone();
        seen.expired.push(der);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.shared.lock());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no test panics while it looks")
    }

    fn sign(&self, csr_der: &Bytes) -> (Credentials, Vec<u8>) {
        let csr = CertificateSigningRequestParams::from_der(&csr_der.to_vec().into()).expect("a request");
        let certificate = csr.signed_by(&self.issuer).expect("a certificate");
        let der = certificate.der().to_vec();
        let not_after_ms = now_ms() + self.lock().lifetime_ms;
        let credentials =
            Credentials { chain_der: vec![der.clone().into()], ca_der: vec![self.ca_der.clone()], not_after_ms };
        (credentials, der)
    }
}

fn refused(code: &'static str) -> Status {
    let mut status = Status::unauthenticated(format!("refused: {code}"));
    status.metadata_mut().insert("sealgate-code", MetadataValue::from_static(code));
    status
}

#[tonic::async_trait]
impl Enrolment for Shared {
    async fn enrol(&self, request: Request<wire::EnrolRequest>) -> Result<Response<wire::EnrolResponse>, Status> {
        let request = EnrolRequest::try_from(request.into_inner())?;
        assert_eq!(request.proposed_name, "proposed");
        assert!([SECRET, ANOTHER].contains(&request.token.as_str()));
        if self.lock().used.contains(&request.token) {
            return Err(refused("token-used"));
        }
        let (credentials, der) = self.sign(&request.csr_der);
        let mut seen = self.lock();
        seen.enrolments += 1;
        seen.used.push(request.token);
        seen.newest_enrolled = der;
        drop(seen);
        let response = EnrolResponse { gateway_id: GatewayId::random(), name: "given".into(), credentials };
        Ok(Response::new(response.into()))
    }

    async fn renew(&self, request: Request<wire::RenewRequest>) -> Result<Response<wire::RenewResponse>, Status> {
        request.peer_certs().ok_or_else(|| refused("certificate-required"))?;
        let request = RenewRequest::try_from(request.into_inner())?;
        if let Some(code) = self.lock().refuse_to_renew {
            return Err(refused(code));
        }
        let (credentials, der) = self.sign(&request.csr_der);
        self.lock().renewed.push(der);
        Ok(Response::new(credentials.into()))
    }
}

#[tonic::async_trait]
impl Policies for Shared {
    type WatchStream = Pin<Box<dyn futures_util::Stream<Item = Result<wire::WatchDown, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<wire::WatchUp>>) -> Result<Response<Self::WatchStream>, Status> {
        let certificates = request.peer_certs().ok_or_else(|| refused("certificate-required"))?;
        {
            let mut seen = self.lock();
            if seen.renewed.iter().any(|der| *der == certificates[0].as_ref()) {
                if seen.refuse_renewed {
                    seen.renewed_refused += 1;
                    return Err(refused("certificate-unknown"));
                }
                seen.renewed_served += 1;
            } else if seen.expired.iter().any(|der| *der == certificates[0].as_ref()) {
                return Err(refused("certificate-expired"));
            } else {
                seen.enrolled_served += 1;
            }
        }
        let mut up = request.into_inner();
        let first = up.message().await?.ok_or_else(|| Status::invalid_argument("no hello"))?;
        let WatchUp::Hello(hello) = WatchUp::try_from(first)? else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (down, stream) = mpsc::channel(4);
        let shared = self.clone();
        tokio::spawn(async move { shared.hold(hello, up, down).await });
        let stream = tokio_stream::StreamExt::map(ReceiverStream::new(stream), |word: WatchDown| Ok(word.into()));
        Ok(Response::new(Box::pin(stream)))
    }
}

impl Shared {
    async fn hold(&self, hello: Hello, mut up: Streaming<wire::WatchUp>, down: mpsc::Sender<WatchDown>) {
        let held = hello.held;
        self.lock().hellos.push(hello);
        let labels = BTreeMap::from([("region".to_owned(), "eu-1".to_owned())]);
        let words = [
            WatchDown::Assignment(Assignment { name: "given".into(), labels }),
            WatchDown::Directives(Directives { heartbeat_interval_ms: Some(20), ..Directives::default() }),
        ];
        for word in words {
            let _ = down.send(word).await;
        }
        let mut head = self.head.subscribe();
        let first = head.borrow_and_update().clone();
        match first {
            Some(bundle) if held == Some(bundle.held) => {
                let _ = down.send(WatchDown::Current(bundle.held)).await;
            }
            Some(bundle) => self.send(&down, bundle).await,
            None => {}
        }
        loop {
            tokio::select! {
                changed = head.changed() => {
                    let bundle = head.borrow_and_update().clone();
                    match bundle {
                        Some(bundle) if changed.is_ok() => self.send(&down, bundle).await,
                        _ => return,
                    }
                }
                word = up.message() => match word {
                    Ok(Some(word)) => self.hear(WatchUp::try_from(word).expect("a legal word")),
                    _ => return,
                }
            }
        }
    }

    async fn send(&self, down: &mpsc::Sender<WatchDown>, bundle: PolicyBundle) {
        self.lock().bundles_sent += 1;
        let _ = down.send(WatchDown::Bundle(bundle)).await;
    }

    fn hear(&self, word: WatchUp) {
        let mut seen = self.lock();
        match word {
            WatchUp::Ack(ack) => {
                let progress = seen.acks.entry(ack.held.revision.number).or_insert(ack.progress);
                *progress = ack.progress.max(*progress);
            }
            WatchUp::Refusal(refusal) => seen.refusals.push(refusal),
            WatchUp::Heartbeat(_) => seen.heartbeats += 1,
            WatchUp::Hello(_) | WatchUp::Unknown => panic!("{word:?}"),
        }
    }
}

#[tonic::async_trait]
impl Reports for Shared {
    async fn send(&self, request: Request<wire::Report>) -> Result<Response<wire::ReportAck>, Status> {
        request.peer_certs().ok_or_else(|| refused("certificate-required"))?;
        let report = Report::try_from(request.into_inner())?;
        let mut seen = self.lock();
        seen.deliveries.push(report.sequence);
        if seen.reject_reports > 0 {
            seen.reject_reports -= 1;
            // As it would be after the one that is dropped: the gap is not the gateway's.
            seen.marks.insert(report.series, report.sequence);
            return Err(Status::invalid_argument("rejected"));
        }
        let series = report.series;
        let mark = seen.marks.get(&series).copied().unwrap_or(0);
        if report.sequence > mark {
            seen.gaps += usize::from(report.sequence > mark + 1);
            // The first report of a life is full in effect; here only what was asked for counts.
            seen.full_reports += usize::from(report.full && report.sequence > 1);
            seen.marks.insert(series, report.sequence);
            for count in report.objects {
                let key = (series, count.bucket, count.policy, count.outcome.to_string());
                let objects = seen.merged.entry(key).or_default();
                *objects = count.objects.max(*objects);
            }
        }
        if seen.lose_acks > 0 {
            seen.lose_acks -= 1;
            return Err(Status::unavailable("the answer is lost"));
        }
        let want_full = std::mem::take(&mut seen.want_full);
        let merged_up_to = seen.marks[&series];
        let ack = ReportAck { merged_up_to, want_full, next_interval_ms: None, aside: false };
        Ok(Response::new(ack.into()))
    }
}
