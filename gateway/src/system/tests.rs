use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::State;
use axum::response::IntoResponse as _;

use super::*;
use crate::config;

/// A system bucket over a storage directory.
pub(crate) async fn over_directory(folder: &Path) -> System {
    let upstream = Upstream::directory("disk", folder).expect("opens");
    System::open(upstream, &Options::new("sealgate-system", "us-east-1")).await.expect("opens")
}

/// What the fake storage does instead of answering properly, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does what it was asked, and says that it failed.
    LostAnswer,
    /// It does nothing, and says that it failed.
    Fails,
}

/// A storage in memory that breaks where a test wants it to.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) objects: BTreeMap<String, Bytes>,
    pub(crate) bucket: bool,
    /// Ignores `If-None-Match`.
    pub(crate) careless: bool,
    /// Answers 500 to everything.
    pub(crate) down: bool,
    /// For the next requests of a method.
    pub(crate) faults: VecDeque<(Method, Fault)>,
    pub(crate) requests: usize,
}

pub(crate) type Shared = Arc<Mutex<Fake>>;

/// Serves the fake on a free port until the runtime ends.
pub(crate) async fn fake() -> (Shared, Upstream) {
    let fake = Shared::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&fake));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let backend = config::Backend::S3(Box::new(config::S3Backend {
        endpoint: format!("http://{address}").parse().expect("a URL"),
        region: "us-east-1".into(),
        access_key: "key".into(),
        secret_key: config::Secret::new("secret".into()),
        path_style: true,
        ca_file: None,
        unsigned: crate::config::Unsigned::Refuse,
        sse: crate::config::Sse::Gateway,
        long_bodies: crate::config::LongBodies::Signed,
    }));
    let second = Duration::from_secs(1);
    let limits = config::Limits { connections: 16, header_timeout: second, body_timeout: second * 5, drain: second };
    (fake, Upstream::open("fake", &backend, &limits).expect("opens"))
}

pub(crate) fn options() -> Options {
    Options { deadline: Duration::from_secs(5), ..Options::new("sys", "us-east-1") }
}

async fn answer(State(fake): State<Shared>, request: axum::extract::Request) -> axum::response::Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 16 << 20).await.expect("a small body");
    let mut fake = fake.lock().expect("not poisoned");
    fake.requests += 1;
    let fault = match fake.faults.front() {
        Some((method, fault)) if *method == head.method => {
            let fault = *fault;
            fake.faults.pop_front();
            Some(fault)
        }
        _ => None,
    };
    if fake.down || fault == Some(Fault::Fails) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let target = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let key = target.trim_start_matches('/').split_once('/').map(|(_, key)| key.to_owned()).unwrap_or_default();
    let status =
        |code: &str, status: StatusCode| (status, format!("<Error><Code>{code}</Code></Error>")).into_response();
    let answer = match (head.method, key.is_empty()) {
        (Method::HEAD, true) if fake.bucket => StatusCode::OK.into_response(),
        (Method::HEAD, true) => StatusCode::NOT_FOUND.into_response(),
        (Method::PUT, true) => {
            fake.bucket = true;
            StatusCode::OK.into_response()
        }
        (Method::GET, true) => list(&fake, head.uri.query().unwrap_or_default()).into_response(),
        (Method::GET, false) => match fake.objects.get(&key) {
            Some(bytes) => bytes.clone().into_response(),
            None => status("NoSuchKey", StatusCode::NOT_FOUND),
        },
        (Method::PUT, false) => {
            let conditional = head.headers.contains_key(header::IF_NONE_MATCH) && !fake.careless;
            if conditional && fake.objects.contains_key(&key) {
                status("PreconditionFailed", StatusCode::PRECONDITION_FAILED)
            } else {
                fake.objects.insert(key, body);
                StatusCode::OK.into_response()
            }
        }
        (Method::DELETE, false) => {
            fake.objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    };
    if fault == Some(Fault::LostAnswer) { StatusCode::INTERNAL_SERVER_ERROR.into_response() } else { answer }
}

fn list(fake: &Fake, query: &str) -> String {
    let value = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        pair.map(|text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned())
    };
    let (prefix, after) = (value("prefix").unwrap_or_default(), value("start-after").unwrap_or_default());
    let chosen: Vec<_> =
        fake.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).take(1001).collect();
    let content = |key: &str, size: usize| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>");
    let contents = chosen.iter().take(1000).map(|(key, bytes)| content(key, bytes.len())).collect::<Vec<_>>().concat();
    let truncated = chosen.len() > 1000;
    format!("<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{contents}</ListBucketResult>")
}

#[tokio::test]
async fn the_first_start_makes_the_bucket_and_the_storage_keeps_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (over_directory(folder.path()).await, over_directory(folder.path()).await);
    assert_eq!(first.storage_id(), second.storage_id());
    assert!(first.is_conditional());
    assert_eq!(first.list("probe/", None).await.expect("lists").entries, [], "the probe leaves nothing behind");
    let (a, b) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (a, b) = (over_directory(a.path()).await, over_directory(b.path()).await);
    assert_ne!(a.storage_id(), b.storage_id());
}

#[tokio::test]
async fn members_that_start_at_once_agree_on_the_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b, c) =
        tokio::join!(over_directory(folder.path()), over_directory(folder.path()), over_directory(folder.path()));
    assert_eq!(a.storage_id(), b.storage_id());
    assert_eq!(b.storage_id(), c.storage_id());
}

#[tokio::test]
async fn a_taken_name_is_left_alone_and_the_same_bytes_are_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let system = over_directory(folder.path()).await;
    assert_eq!(system.put_new("a/1", "one").await.expect("writes"), Written::Ours);
    assert_eq!(system.put_new("a/1", "two").await.expect("writes"), Written::Taken);
    assert_eq!(system.put_new("a/1", "a much longer one").await.expect("writes"), Written::Taken);
    assert_eq!(system.put_new("a/1", "one").await.expect("writes"), Written::Ours);
    assert_eq!(system.get("a/1", 100).await.expect("reads").as_deref(), Some(&b"one"[..]));
    assert!(system.get("a/1", 2).await.is_err(), "longer than the limit is an error");
    assert_eq!(system.get("a/2", 100).await.expect("reads"), None);
    system.delete("a/1").await.expect("deletes");
    system.delete("a/1").await.expect("deletes once more");
    assert_eq!(system.get("a/1", 100).await.expect("reads"), None);
}

#[tokio::test]
async fn lists_are_in_order_and_begin_after_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let system = over_directory(folder.path()).await;
    for key in ["l/b", "l/a", "m/x", "l/c d%"] {
        system.put(key, "x").await.expect("writes");
    }
    let keys = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>();
    assert_eq!(keys(system.list_all("l/", None, 10).await.expect("lists")), ["l/a", "l/b", "l/c d%"]);
    assert_eq!(keys(system.list_all("l/", Some("l/a"), 10).await.expect("lists")), ["l/b", "l/c d%"]);
}

#[tokio::test]
async fn a_list_of_more_than_a_page_is_read_to_its_end() {
    let (fake, upstream) = fake().await;
    let system = System::open(upstream, &options()).await.expect("opens");
    let all: Vec<String> = (0..2500).map(|number| format!("p/{number:06}")).collect();
    fake.lock().expect("not poisoned").objects.extend(all.iter().map(|key| (key.clone(), Bytes::new())));
    let found = system.list_all("p/", None, 10_000).await.expect("lists");
    assert_eq!(found.into_iter().map(|entry| entry.key).collect::<Vec<_>>(), all);
    let more = system.list_all("p/", None, 100).await;
    assert!(matches!(more, Err(SystemError::TooMany { most: 100, .. })), "an error, not a part: {more:?}");
}

#[tokio::test]
async fn a_storage_that_ignores_conditions_is_refused_loudly_unless_a_single_gateway_is_wanted() {
    let (fake, upstream) = fake().await;
    fake.lock().expect("not poisoned").careless = true;
    let refused = System::open(upstream.clone(), &options()).await.err().expect("refused");
    assert!(matches!(refused, SystemError::Unconditional { .. }), "{refused}");
    assert!(refused.to_string().contains("single"), "{refused}");
    let alone = Options { allow_unconditional: true, ..options() };
    let system = System::open(upstream, &alone).await.expect("opens");
    assert!(!system.is_conditional());
    assert_eq!(system.put_new("k", "one").await.expect("writes"), Written::Ours);
    assert_eq!(system.put_new("k", "two").await.expect("writes"), Written::Taken);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_found_to_be_done() {
    let (fake, upstream) = fake().await;
    let system = System::open(upstream, &options()).await.expect("opens");
    fake.lock().expect("not poisoned").faults.push_back((Method::PUT, Fault::LostAnswer));
    assert_eq!(system.put_new("k", "ours").await.expect("writes"), Written::Ours);
    fake.lock().expect("not poisoned").faults.extend([(Method::PUT, Fault::Fails), (Method::PUT, Fault::Fails)]);
    assert_eq!(system.put_new("l", "ours").await.expect("writes at the third attempt"), Written::Ours);
}

#[tokio::test]
async fn a_failed_look_up_is_an_error_and_never_absence() {
    let (fake, upstream) = fake().await;
    let system = System::open(upstream, &options()).await.expect("opens");
    fake.lock().expect("not poisoned").down = true;
    assert!(system.get("k", 10).await.is_err());
    assert!(system.list("k", None).await.is_err());
    assert!(system.put_new("k", "x").await.is_err());
    assert!(system.delete("k").await.is_err());
}
