//! The admin interface over a directory, without a network.

mod access;
mod copies;
mod figures;
mod objects;

use axum::body::Body;
use axum::http::{Method, Request};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::*;
use crate::config::Limits;
use crate::group::{self, FormerPlace};
use crate::s3::{Footers, Front, Settings, Uploads, Work};
use crate::sealing::SealingKey;
use crate::state::State as LocalState;
use crate::stats::Stats;
use crate::system::tests::over_directory;
use crate::uplink;

const TOKEN: &str = "token-of-the-tests-that-is-long-enough";

struct Bench {
    _folder: tempfile::TempDir,
    router: Router,
    admin: Arc<Admin>,
    document: OpenApi,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, local) = (folder.path().join("storage"), folder.path().join("local"));
    std::fs::create_dir_all(&local).expect("makes");
    let system = Arc::new(over_directory(&storage).await);
    let key = Arc::new(SealingKey::random().expect("random"));
    let wish = crate::config::FirstAdmin {
        access_key: Some("ADMIN".into()),
        secret_key: Some(crate::config::Secret::new("secret-of-admin".into())),
        token: Some(crate::config::Secret::new(TOKEN.into())),
        file: None,
    };
    let (group, _) = Group::open(system, key, group::Options::default(), &wish).await.expect("opens");
    let keys = Keys::new(crate::keys::Options::default(), crate::keys::Hooks::default());
    keys.configure(&group.document()).await;
    let upstream = Upstream::directory("disk", &storage).expect("opens");
    let state = LocalState::open(&local).expect("opens");
    let (policies, stats) = (Policies::open(&local).expect("opens"), Stats::open(&state).expect("opens"));
    let upstreams = Arc::new(Upstreams::single(upstream));
    let hooks = uplink::Hooks {
        flush_keys: Arc::new(|| {}),
        inventory: Arc::new(|| async { None }.boxed()),
        storage_id: Arc::new(|| None),
    };
    let sealing = Arc::new(SealingKey::random().expect("random"));
    let second = Duration::from_secs(1);
    let front = Arc::new(Front {
        upstreams: Arc::clone(&upstreams),
        group: Arc::clone(&group),
        keys: keys.clone(),
        policies: policies.clone(),
        stats: stats.clone(),
        ledger: state.ledger(),
        uploads: Uploads::default(),
        footers: Footers::default(),
        work: Work::default(),
        settings: Settings {
            region: "us-east-1".to_owned(),
            domains: crate::s3::address::Domains::default(),
            system_bucket: group.system().bucket().to_owned(),
            floor: false,
            limits: Limits { connections: 16, header_timeout: second, body_timeout: second, drain: second },
        },
    });
    let admin = Arc::new(Admin {
        group,
        keys,
        upstreams,
        ledger: state.ledger(),
        uplink: Uplink::new(None, &state, policies.clone(), stats.clone(), sealing, hooks),
        policies,
        floor: Floor::None,
        scan: Scan::with(Arc::clone(&front), crate::scan::Pace::default()),
        front,
        transfers: Transfers::new(Duration::from_secs(30), CancellationToken::new()),
        recent: Arc::new(Recent::new(&stats)),
        log: telemetry::recent::Recent::default(),
        sessions: Sessions::default(),
        failed_start: Some(FailedStart { at_ms: 5, message: "listen.s3: the port is taken".to_owned() }),
    });
    let (router, document) = router(Arc::clone(&admin));
    Bench { _folder: folder, router, admin, document }
}

impl Bench {
    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let answer = self.router.clone().oneshot(request.body(body).expect("legal")).await.expect("infallible");
        let status = answer.status();
        if status.is_client_error() || status.is_server_error() {
            let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
            assert!(path.contains("readyz") || kind.is_some_and(|kind| kind == "application/problem+json"), "{path}");
        }
        let bytes = axum::body::to_bytes(answer.into_body(), 8 << 20).await.expect("a small body");
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.send(method, &format!("/api/v1{path}"), Some(TOKEN), body).await
    }

    async fn put_object(&self, bucket: &str, key: &str) {
        use crate::upstream::{full, request, uri};
        for (target, body) in [(uri(bucket, None, &[]), ""), (uri(bucket, Some(key), &[]), "hello")] {
            let mut put = request(Method::PUT, target);
            put.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
            *put.body_mut() = full(body);
            let answer = self.admin.upstreams.home().collect(put, 4096).await.expect("answers");
            assert!(answer.status().is_success());
        }
    }
}

fn pem() -> String {
    ::kms::generate_pem(2048).expect("generates").to_string()
}

#[tokio::test]
async fn the_document_is_whole_and_open_to_all() {
    let bench = bench().await;
    let (status, document) = bench.send(Method::GET, "/api/v1/openapi.json", None, None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document["paths"]["/api/v1/kms"]["post"].is_object());
    let schemas = &document["components"]["schemas"];
    assert!(schemas["BucketSettings"]["properties"]["anonymous_reads"].is_object(), "no two schemas share a name");
    assert!(schemas["GroupSettings"]["properties"]["floor"].is_object());
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("text");
        assert!(schemas[name].is_object(), "{name} is described");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(bench.send(Method::GET, path, None, None).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_first_kms_becomes_active_and_the_list_says_what_scripts_read() {
    let bench = bench().await;
    let body = json!({ "id": "main", "provider": "rsa", "pem": pem() });
    let (status, made) = bench.call(Method::POST, "/kms", Some(body.clone())).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (_, list) = bench.call(Method::GET, "/kms", None).await;
    let kms = &list["kms"][0];
    assert_eq!((&kms["id"], &kms["provider"], &kms["state"]), (&json!("main"), &json!("rsa"), &json!("ok")));
    assert_eq!((&kms["active"], &kms["key_versions"], &kms["known_objects"]), (&json!(true), &json!(1), &json!(0)));
    assert!(bench.admin.keys.wrapping().await.is_ok(), "it holds at once");
    let (status, problem) = bench.call(Method::POST, "/kms", Some(body)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    let second = json!({ "id": "second", "provider": "rsa", "pem": pem() });
    assert_eq!(bench.call(Method::POST, "/kms", Some(second)).await.1["active"], json!(false));
    assert_eq!(bench.call(Method::POST, "/kms/second/activate", None).await.1["active"], json!(true));
    assert_eq!(bench.admin.keys.wrapping().await.expect("a key").kms.as_str(), "second");
    let text = list.to_string();
    assert!(!text.contains("PRIVATE"), "no secret in an answer");
}

#[tokio::test]
async fn a_rotated_key_is_the_active_version_and_the_older_one_still_decrypts() {
    let bench = bench().await;
    let body = json!({ "id": "main", "provider": "rsa", "pem": pem() });
    bench.call(Method::POST, "/kms", Some(body)).await;
    let before = bench.admin.keys.wrapping().await.expect("a key");
    let (status, kms) = bench.call(Method::POST, "/kms/main/rotate", Some(json!({ "pem": pem() }))).await;
    assert_eq!((status, &kms["key_versions"]), (StatusCode::OK, &json!(2)), "{kms}");
    let after = bench.admin.keys.wrapping().await.expect("a key");
    assert_ne!(before.record.key(), after.record.key());
    bench.admin.keys.flush();
    bench.admin.keys.open(before.record.as_bytes()).await.expect("opens");
    // The older version goes only with its fingerprint typed again, the active one not at all.
    let (status, problem) = bench.call(Method::DELETE, "/kms/main/keys/1", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("confirm")));
    let path = format!("/kms/main/keys/1?confirm={}", before.record.key_text());
    assert_eq!(bench.call(Method::DELETE, &path, None).await.1["key_versions"], json!(1));
    let path = format!("/kms/main/keys/2?confirm={}", after.record.key_text());
    assert_eq!(bench.call(Method::DELETE, &path, None).await.1["code"], json!("conflict"));
}

#[tokio::test]
async fn a_key_that_is_refused_says_why_and_leaves_nothing() {
    let bench = bench().await;
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (pem, expected) in [("hello", "no PEM block"), (legacy, "openssl pkcs8 -topk8")] {
        let body = json!({ "id": "bad", "provider": "rsa", "pem": pem });
        let (status, problem) = bench.call(Method::POST, "/kms", Some(body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(problem["detail"].as_str().expect("text").contains(expected), "{problem}");
    }
    assert_eq!(bench.call(Method::GET, "/kms", None).await.1, json!({ "kms": [] }));
    let unknown = json!({ "id": "x", "provider": "rsa", "pem": "", "surprise": 1 });
    assert_eq!(bench.call(Method::POST, "/kms", Some(unknown)).await.1["code"], json!("invalid"));
}

#[tokio::test]
async fn a_kms_goes_only_when_its_id_is_typed_again_and_comes_back_with_the_same_key_only() {
    let bench = bench().await;
    let (right, wrong) = (pem(), pem());
    let body = |pem: &str| json!({ "id": "main", "provider": "rsa", "pem": pem });
    bench.call(Method::POST, "/kms", Some(body(&right))).await;
    let record = bench.admin.keys.wrapping().await.expect("a key").record;
    for confirm in ["", "?confirm=mian"] {
        let (status, problem) = bench.call(Method::DELETE, &format!("/kms/main{confirm}"), None).await;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("confirm")));
        assert_eq!((&problem["known_objects"], &problem["active"]), (&json!(0), &json!(true)));
    }
    let (status, removed) = bench.call(Method::DELETE, "/kms/main?confirm=main", None).await;
    assert_eq!((status, &removed["was_active"]), (StatusCode::OK, &json!(true)));
    assert!(bench.admin.keys.open(record.as_bytes()).await.is_err());
    let (status, problem) = bench.call(Method::POST, "/kms", Some(body(&wrong))).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().expect("text").contains(&record.key_text()), "{problem}");
    assert_eq!(bench.call(Method::POST, "/kms", Some(body(&right))).await.0, StatusCode::CREATED);
    bench.admin.keys.open(record.as_bytes()).await.expect("opens again");
    assert_eq!(bench.call(Method::DELETE, "/kms/none?confirm=none", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_generated_key_works_and_a_probe_and_a_flush_answer() {
    let bench = bench().await;
    let body = json!({ "id": "made", "bits": 2048 });
    let (status, made) = bench.call(Method::POST, "/kms/generate", Some(body)).await;
    assert_eq!((status, &made["keys"][0]["bits"]), (StatusCode::CREATED, &json!(2048)));
    assert_eq!(bench.call(Method::POST, "/kms/made/probe", None).await.1["ok"], json!(true));
    let held = bench.admin.keys.wrapping().await.expect("a key").record;
    assert_eq!(bench.call(Method::POST, "/kms/flush", None).await.1, json!({ "flushed": true }));
    assert!(bench.admin.keys.cached(held.as_bytes()).is_none());
}

#[tokio::test]
async fn the_toggle_of_a_bucket_is_switched_and_told_with_its_reason() {
    let bench = bench().await;
    bench.put_object("files", "a").await;
    let (status, shown) = bench.call(Method::GET, "/buckets/files", None).await;
    assert_eq!((status, &shown["encrypt"], &shown["effective"]), (StatusCode::OK, &json!(false), &json!(false)));
    let on = bench.call(Method::PUT, "/buckets/files/encryption", Some(json!({ "encrypt": true }))).await.1;
    assert_eq!((&on["encrypt"], &on["effective"], &on["because"]), (&json!(true), &json!(true), &json!("toggle")));
    bench.call(Method::PUT, "/settings/floor", Some(json!({ "encrypt": ["fil*"] }))).await;
    assert_eq!(bench.call(Method::GET, "/buckets/files", None).await.1["because"], json!("toggle, floor"));
    bench.call(Method::PUT, "/settings/floor", Some(json!({ "encrypt": [] }))).await;
    let off = bench.call(Method::PUT, "/buckets/files/encryption", Some(json!({ "encrypt": false }))).await.1;
    assert_eq!((&off["encrypt"], &off["effective"], &off["ever_due"]), (&json!(false), &json!(false), &json!(true)));
    let list = bench.call(Method::GET, "/buckets", None).await.1;
    assert_eq!(list["buckets"].as_array().expect("a list").len(), 1, "the system bucket is hidden: {list}");
    for hidden in ["none", "sealgate-system"] {
        assert_eq!(bench.call(Method::GET, &format!("/buckets/{hidden}"), None).await.0, StatusCode::NOT_FOUND);
        let path = format!("/buckets/{hidden}/encryption");
        let (status, _) = bench.call(Method::PUT, &path, Some(json!({ "encrypt": true }))).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let read = json!({ "anonymous_reads": true });
    assert_eq!(bench.call(Method::PUT, "/buckets/files/settings", Some(read)).await.1["anonymous_reads"], json!(true));
}

#[tokio::test]
async fn the_path_of_an_object_is_the_file_with_its_bytes() {
    let bench = bench().await;
    bench.put_object("files", "a b/c").await;
    let (status, found) = bench.call(Method::GET, "/objects/path?bucket=files&key=a%20b/c", None).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    assert_eq!(std::fs::read(found["path"].as_str().expect("text")).expect("reads"), b"hello");
    assert_eq!(bench.call(Method::GET, "/objects/path?bucket=files&key=none", None).await.0, StatusCode::NOT_FOUND);
    let hidden = "/objects/path?bucket=sealgate-system&key=storage-id";
    assert_eq!(bench.call(Method::GET, hidden, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(bench.call(Method::GET, "/objects/path?bucket=files", None).await.1["code"], json!("invalid"));
}

#[tokio::test]
async fn credentials_and_tokens_are_made_shown_once_and_removed() {
    let bench = bench().await;
    let grants = json!([{ "buckets": ["logs-*"], "actions": ["read", "list"] }]);
    let (status, made) =
        bench.call(Method::POST, "/credentials", Some(json!({ "name": "app", "grants": grants }))).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let access_key = made["access_key"].as_str().expect("text").to_owned();
    let secret = made["secret_key"].as_str().expect("text").to_owned();
    let document = bench.admin.group.document();
    assert_eq!(document.credential(&access_key).expect("there").secret.expose(), secret);
    let list = bench.call(Method::GET, "/credentials", None).await.1.to_string();
    assert!(list.contains(&access_key) && !list.contains(&secret));
    let change = json!({ "name": "application" });
    let changed = bench.call(Method::PUT, &format!("/credentials/{access_key}"), Some(change)).await.1;
    assert_eq!((&changed["name"], &changed["grants"]), (&json!("application"), &grants));
    let gone = bench.call(Method::DELETE, &format!("/credentials/{access_key}"), None).await.0;
    assert_eq!(gone, StatusCode::NO_CONTENT);
    assert_eq!(bench.call(Method::DELETE, "/credentials/ADMIN", None).await.1["code"], json!("conflict"));
    let token = bench.call(Method::POST, "/tokens", Some(json!({ "name": "ci" }))).await.1;
    let text = token["token"].as_str().expect("text");
    assert_eq!(bench.send(Method::GET, "/api/v1/info", Some(text), None).await.0, StatusCode::OK);
    let path = format!("/tokens/{}", token["id"].as_str().expect("text"));
    assert_eq!(bench.call(Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(bench.send(Method::GET, "/api/v1/info", Some(text), None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.call(Method::DELETE, "/tokens/first", None).await.1["code"], json!("conflict"));
}

#[tokio::test]
async fn settings_info_and_policies_are_shown() {
    let bench = bench().await;
    let place = FormerPlace {
        bucket: "replica".into(),
        prefix: String::new(),
        former_bucket: "files".into(),
        former_prefix: String::new(),
    };
    let body = serde_json::to_value(vec![place]).expect("serialises");
    let (status, settings) = bench.call(Method::PUT, "/settings/former-places", Some(body.clone())).await;
    assert_eq!((status, &settings["former_places"]), (StatusCode::OK, &body));
    let info = bench.call(Method::GET, "/info", None).await.1;
    assert_eq!((&info["writable"], &info["backend"]), (&json!(true), &json!("directory")));
    assert_eq!(info["revision"], json!(2));
    let policies = bench.call(Method::GET, "/policies", None).await.1;
    assert_eq!((&policies["policies"], &policies["revision"]), (&json!([]), &Value::Null));
    let (status, problem) = bench.call(Method::GET, "/nonsense", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not-found")));
}

#[tokio::test]
async fn what_is_wrong_is_shown_and_how_things_stand_with_central() {
    let bench = bench().await;
    let (status, info) = bench.call(Method::GET, "/info", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(info["troubles"], json!([]));
    assert_eq!(info["failed_start"]["message"], "listen.s3: the port is taken");
    assert_eq!(info["jobs"]["uploads_counted"], false);
    let (status, central) = bench.call(Method::GET, "/central", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&central["configured"], &central["connected"]), (&json!(false), &json!(false)));
    for field in [
        "since_ms",
        "error",
        "renewal_error",
        "certificate_until_ms",
        "lineage",
        "revision",
        "effective_revision",
        "refusal",
        "reports_waiting",
        "spool_bytes",
        "gap_ms",
        "unsettled",
    ] {
        assert!(central.get(field).is_some(), "{field} is not in {central}");
    }
    // Encryption is asked for by a switch, and there is no KMS.
    bench.admin.edit(|document| document.set_encryption("vault", true, 0)).await.expect("edited");
    let (_, info) = bench.call(Method::GET, "/info", None).await;
    assert_eq!(info["troubles"][0]["part"], "kms", "{info}");
    // A KMS whose configuration cannot be read.
    let id: ids::KmsId = "broken".parse().expect("an ID");
    let edit = |document: &mut Document| {
        let (state, made) = (vec![1, 2, 3].into(), std::collections::BTreeMap::new());
        let entry = group::KmsEntry { provider: "rsa".to_owned(), added: 0, state, made };
        document.add_kms(&id, entry)?;
        document.activate_kms(&id)
    };
    bench.admin.edit(edit).await.expect("edited");
    let (_, info) = bench.call(Method::GET, "/info", None).await;
    assert_eq!(info["troubles"][0]["part"], "kms broken", "{info}");
    assert_ne!(info["troubles"][0]["message"], "");
}

#[test]
fn the_checked_in_document_is_the_one_that_is_served() {
    let served = super::described().1.to_pretty_json().unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/console/openapi/gateway.json");
    if std::env::var_os("SEALGATE_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &served).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == served, "{path} is not what is served: `make openapi`, then commit it");
}
