//! A gateway on a free port over a private directory, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use kms::{Provider, RsaKey, RsaKms};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Backend, FirstAdmin, Limits, LongBodies, S3Backend, Secret, Sse, Unsigned};
use crate::group::{Action, Credential, Grant, Group, KmsEntry, Options, Pattern};
use crate::keys::{self, Keys};
use crate::s3::address::Domains;
use crate::s3::{Footers, Front, Settings, Uploads, Work, serve};
use crate::sealing::SealingKey;
use crate::snapshot::Policies;
use crate::state::State;
use crate::stats::Stats;
use crate::system::{self, System};
use crate::upstream::{self, Body, Upstream, Upstreams};

pub(super) const ADMIN: (&str, &str) = ("AKADMIN", "a secret of the administrator");

/// What is shared by the members of a group.
pub(super) struct Storage {
    pub(super) dir: TempDir,
    pub(super) upstream: Upstream,
    sealing: Arc<SealingKey>,
}

impl Storage {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let upstream = Upstream::directory("disk", &dir.path().join("storage")).unwrap();
        Self { dir, upstream, sealing: Arc::new(SealingKey::random().unwrap()) }
    }

    /// The stored bytes, by the storage itself.
    pub(super) async fn get(&self, bucket: &str, key: &str) -> (HeaderMap, Bytes) {
        let request = upstream::request(Method::GET, upstream::uri(bucket, Some(key), &[]));
        let response = self.upstream.collect(request, 64 << 20).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{bucket}/{key}");
        let (head, body) = response.into_parts();
        (head.headers, body)
    }

    /// Stores bytes past the gateway, with the metadata of `head` that `keep` lets through.
    pub(super) async fn put(
        &self,
        bucket: &str,
        key: &str,
        head: &HeaderMap,
        body: Bytes,
        keep: impl Fn(&str) -> bool,
    ) {
        let mut request = Request::new(upstream::full(body));
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = upstream::uri(bucket, Some(key), &[]);
        for (name, value) in head {
            if name.as_str().starts_with("x-amz-meta-") && keep(name.as_str()) {
                request.headers_mut().insert(name.clone(), value.clone());
            }
        }
        assert_eq!(self.upstream.call(request).await.unwrap().status(), StatusCode::OK);
    }

    /// Whether an object is there.
    pub(super) async fn has(&self, bucket: &str, key: &str) -> bool {
        let request = upstream::request(Method::HEAD, upstream::uri(bucket, Some(key), &[]));
        self.upstream.call(request).await.unwrap().status() == StatusCode::OK
    }

    /// Every key of a bucket and of the system bucket that begins with `prefix`.
    pub(super) async fn keys(&self, bucket: &str, prefix: &str) -> String {
        let target = upstream::uri(bucket, None, &[("list-type", "2"), ("prefix", prefix)]);
        let response = self.upstream.collect(upstream::request(Method::GET, target), 1 << 20).await.unwrap();
        String::from_utf8(response.body().to_vec()).unwrap()
    }
}

/// One member, listening.
pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    pub(super) front: Arc<Front>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Gateway {
    /// A member named `name` over the storage.
    pub(super) async fn start(storage: &Storage, name: &str) -> Self {
        Self::over(storage, storage.upstream.clone(), "sealgate-system", name).await
    }

    /// The same with another upstream and system bucket.
    pub(super) async fn over(storage: &Storage, upstream: Upstream, system_bucket: &str, name: &str) -> Self {
        // Nobody looks for newer documents here, and a loaded machine is slow.
        let patient = Options { stale_after: Duration::from_hours(1), ..Options::default() };
        Self::assemble(storage, upstream.clone(), upstream, system_bucket, name, patient).await
    }

    /// The same with an upstream of its own for the system bucket, and options of the group.
    pub(super) async fn assemble(
        storage: &Storage,
        upstream: Upstream,
        system: Upstream,
        system_bucket: &str,
        name: &str,
        options: Options,
    ) -> Self {
        Self::assemble_within(storage, upstream, system, system_bucket, name, options, limits()).await
    }

    /// The same with bounds of its own for clients.
    pub(super) async fn assemble_within(
        storage: &Storage,
        upstream: Upstream,
        system: Upstream,
        system_bucket: &str,
        name: &str,
        options: Options,
        limits: Limits,
    ) -> Self {
        let state = State::open(&storage.dir.path().join(name)).unwrap();
        let system = Arc::new(System::open(system, &system::Options::new(system_bucket, "us-east-1")).await.unwrap());
        let wish = FirstAdmin {
            access_key: Some(ADMIN.0.to_owned()),
            secret_key: Some(Secret::new(ADMIN.1.to_owned())),
            token: None,
            file: None,
        };
        let sealing = Arc::clone(&storage.sealing);
        let (group, _) = Group::open(system, sealing, options, &wish).await.unwrap();
        let keys = Keys::new(keys::Options::default(), keys::Hooks::default());
        keys.configure(&group.document()).await;
        let front = Arc::new(Front {
            upstreams: Arc::new(Upstreams::single(upstream)),
            group,
            keys,
            policies: Policies::open(&storage.dir.path().join(name)).unwrap(),
            stats: Stats::open(&state).unwrap(),
            ledger: state.ledger(),
            uploads: Uploads::default(),
            footers: Footers::default(),
            work: Work::default(),
            settings: Settings {
                region: "us-east-1".to_owned(),
                domains: Domains::parse("s3.test").unwrap(),
                system_bucket: system_bucket.to_owned(),
                floor: false,
                limits,
            },
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Arc::clone(&front), stop.clone()));
        Self { address, front, stop, server }
    }

    /// Puts these policies in force, each given by its name and what is in its `spec`.
    pub(super) fn apply(&self, number: u64, policies: &[(&str, &str)]) {
        let items = policies.iter().enumerate().map(|(index, (name, spec))| {
            let text = format!(
                "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
            );
            let policy = policy::parse_one(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
            policy::Item { uid: ids::PolicyUid(uuid::Uuid::from_u128(index as u128)), policy }
        });
        let revision = ids::Revision { lineage: ids::Lineage(uuid::Uuid::from_u128(1)), number };
        let set = policy::PolicySet::new(revision, items.collect()).unwrap();
        let document = Bytes::from(set.encode());
        let digest = policy::Digest::of(&document);
        let bundle = crate::snapshot::Bundle { revision, digest, format: policy::FORMAT, document };
        self.front.policies.apply(&bundle).unwrap();
    }

    /// Objects that were counted with this outcome on their way in.
    pub(super) fn counted(&self, outcome: ids::Outcome) -> u64 {
        let counts = self.front.stats.counts().into_iter();
        let counts = counts.filter(|(key, _)| key.outcome == outcome && key.direction == ids::Direction::In);
        counts.map(|(_, count)| count.objects).sum()
    }

    /// A gateway with an active KMS, a plain bucket `plain` and an encrypted one `sealed`.
    pub(super) async fn with_buckets(storage: &Storage) -> (Self, Client) {
        let gateway = Self::start(storage, "one").await;
        gateway.add_kms().await;
        let client = gateway.client(ADMIN);
        for bucket in ["plain", "sealed"] {
            assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
        }
        gateway.toggle("sealed", true).await;
        (gateway, client)
    }

    pub(super) async fn add_kms(&self) {
        let id: ids::KmsId = "main".parse().unwrap();
        let key = tokio::task::spawn_blocking(|| RsaKey::generate(2048).unwrap()).await.unwrap();
        let provider = Provider::Rsa(RsaKms::new(id.clone(), key, 0));
        let (kind, state) = (provider.kind().to_owned(), provider.state());
        let edit = |document: &mut crate::group::Document| {
            let entry = KmsEntry {
                provider: kind.clone(),
                added: 0,
                state: state.clone(),
                made: std::collections::BTreeMap::new(),
            };
            document.add_kms(&id, entry)?;
            document.activate_kms(&id)
        };
        self.front.group.edit(edit).await.unwrap();
        self.front.keys.configure(&self.front.group.document()).await;
    }

    pub(super) async fn toggle(&self, bucket: &str, on: bool) {
        self.front.group.edit(|document| document.set_encryption(bucket, on, 1)).await.unwrap();
    }

    /// A credential with these rights in the buckets that match.
    pub(super) async fn credential(&self, key: &'static str, grants: &[(&str, &[Action])]) -> Client {
        let secret = "a secret of somebody";
        let grants: Vec<_> = grants
            .iter()
            .map(|(pattern, actions)| Grant {
                buckets: vec![Pattern::try_from((*pattern).to_owned()).unwrap()],
                actions: actions.to_vec(),
            })
            .collect();
        let edit = |document: &mut crate::group::Document| {
            let credential = Credential {
                secret: Secret::new(secret.to_owned()),
                name: "somebody".to_owned(),
                admin: false,
                created: 0,
                grants: grants.clone(),
                identities: std::collections::BTreeMap::new(),
            };
            document.add_credential(key, credential)
        };
        self.front.group.edit(edit).await.unwrap();
        self.client((key, secret))
    }

    pub(super) fn client(&self, credential: (&str, &str)) -> Client {
        Client(service(self.address, credential))
    }

    /// Takes no new connections from now on.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

/// An S3 service as a backend, or as what a client talks to.
pub(super) fn service(address: SocketAddr, credential: (&str, &str)) -> Upstream {
    service_of_style(address, credential, true)
}

/// The same, with the bucket in the path or in the host.
pub(super) fn service_of_style(address: SocketAddr, credential: (&str, &str), path_style: bool) -> Upstream {
    service_with(address, credential, |backend| backend.path_style = path_style)
}

/// The same, set otherwise than by default.
pub(super) fn service_with(
    address: SocketAddr,
    credential: (&str, &str),
    set: impl FnOnce(&mut S3Backend),
) -> Upstream {
    service_within(address, credential, &limits(), set)
}

/// The same, with bounds of its own.
pub(super) fn service_within(
    address: SocketAddr,
    (access_key, secret_key): (&str, &str),
    limits: &Limits,
    set: impl FnOnce(&mut S3Backend),
) -> Upstream {
    let mut backend = S3Backend {
        endpoint: format!("http://{address}").parse().unwrap(),
        region: "us-east-1".to_owned(),
        access_key: access_key.to_owned(),
        secret_key: Secret::new(secret_key.to_owned()),
        path_style: true,
        ca_file: None,
        unsigned: Unsigned::Refuse,
        sse: Sse::Gateway,
        long_bodies: LongBodies::Signed,
    };
    set(&mut backend);
    Upstream::open("service", &Backend::S3(Box::new(backend)), limits).unwrap()
}

pub(super) fn limits() -> Limits {
    let time = Duration::from_secs(30);
    Limits { connections: 64, header_timeout: time, body_timeout: time, drain: time }
}

/// A client that signs with version 4.
#[derive(Clone)]
pub(super) struct Client(pub(super) Upstream);

/// An answer, collected.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The S3 error code.
    pub(super) fn code(&self) -> String {
        self.field("Code")
    }

    /// Text of the first element of that name.
    pub(super) fn field(&self, name: &str) -> String {
        crate::s3::multipart_field(&self.body, name.as_bytes()).unwrap_or_default()
    }
}

impl Client {
    pub(super) async fn send(
        &self,
        method: Method,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Answer {
        self.try_send(method, bucket, key, query, headers, upstream::full(Bytes::copy_from_slice(body))).await.unwrap()
    }

    /// Fails where the connection breaks off, also within the answer's body.
    pub(super) async fn try_send(
        &self,
        method: Method,
        bucket: &str,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: Body,
    ) -> Result<Answer, upstream::UpstreamError> {
        let key = Some(key).filter(|key| !key.is_empty());
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = upstream::uri(bucket, key, query);
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let response = self.0.collect(request, 64 << 20).await?;
        let (head, body) = response.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub(super) async fn put(&self, bucket: &str, key: &str, body: &[u8]) -> Answer {
        self.send(Method::PUT, bucket, key, &[], &[], body).await
    }

    pub(super) async fn get(&self, bucket: &str, key: &str) -> Answer {
        self.send(Method::GET, bucket, key, &[], &[], b"").await
    }

    pub(super) async fn head(&self, bucket: &str, key: &str) -> Answer {
        self.send(Method::HEAD, bucket, key, &[], &[], b"").await
    }

    pub(super) async fn range(&self, bucket: &str, key: &str, range: &str) -> Answer {
        self.send(Method::GET, bucket, key, &[], &[("range", range)], b"").await
    }
}

/// Bytes that differ from each other and from one test to another.
pub(super) fn bytes(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    aws_lc_rs::rand::fill(&mut out).unwrap();
    out
}

/// Waits for what must come to be.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_mins(1);
    while !holds().await {
        assert!(tokio::time::Instant::now() < patience, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
