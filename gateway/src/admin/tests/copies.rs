//! Copies of keys that were made in place: under a passphrase, for who may, told in the log, recorded once kept.

use ::kms::{KekRecord, KeyError, Passphrase, RsaKey};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Bench, TOKEN, bench, pem};

const PASSPHRASE: &str = "a passphrase of some length";

fn opened(copy: &Value) -> RsaKey {
    let passphrase = Passphrase::new(PASSPHRASE.as_bytes().to_vec());
    let text = copy["pem"].as_str().expect("text").as_bytes();
    assert_eq!(RsaKey::from_pem(text, None).err(), Some(KeyError::PassphraseNeeded), "never in clear");
    RsaKey::from_pem(text, Some(&passphrase)).expect("the passphrase opens it")
}

impl Bench {
    async fn generate(&self, copy_passphrase: Option<&str>) -> Value {
        let body = json!({ "id": "made", "bits": 2048, "copy_passphrase": copy_passphrase });
        let (status, made) = self.call(Method::POST, "/kms/generate", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made
    }

    async fn troubles(&self) -> usize {
        let info = self.call(Method::GET, "/info", None).await.1;
        info["troubles"].as_array().expect("a list").len()
    }

    async fn want(&self, token: &str, number: u32, passphrase: &str, reason: &str) -> (StatusCode, Value) {
        let body = json!({ "passphrase": passphrase, "reason": reason });
        let path = format!("/api/v1/kms/made/keys/{number}/copy");
        self.send(Method::POST, &path, Some(token), Some(body)).await
    }
}

#[tokio::test]
async fn the_copy_that_comes_with_a_key_made_in_place_opens_what_the_key_sealed() {
    let bench = bench().await;
    let made = bench.generate(Some(PASSPHRASE)).await;
    let key = opened(&made["copy"]);
    assert_eq!(made["copy"]["key"], made["keys"][0]["key"]);
    let record = bench.admin.keys.wrapping().await.expect("a key").record;
    let parsed = KekRecord::parse(record.as_bytes()).expect("parses");
    assert!(key.open(&parsed).is_ok(), "the copy alone opens a KEK of the KMS");
    // A newer key too; and none where none is wanted, or where the key is the operator's own.
    let body = json!({ "generate": 2048, "copy_passphrase": PASSPHRASE });
    let (status, rotated) = bench.call(Method::POST, "/kms/made/rotate", Some(body)).await;
    assert_eq!((status, &rotated["copy"]["key"]), (StatusCode::OK, &rotated["keys"][1]["key"]), "{rotated}");
    assert_ne!(opened(&rotated["copy"]).fingerprint(), key.fingerprint());
    let rotated = bench.call(Method::POST, "/kms/made/rotate", Some(json!({ "pem": pem() }))).await.1;
    assert_eq!((&rotated["copy"], &rotated["keys"][2]["made_here"]), (&Value::Null, &json!(false)));
    let both = json!({ "pem": pem(), "copy_passphrase": PASSPHRASE });
    assert_eq!(bench.call(Method::POST, "/kms/made/rotate", Some(both)).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_passphrase_that_is_too_short_is_refused_before_there_is_a_key() {
    let bench = bench().await;
    let body = json!({ "id": "made", "bits": 2048, "copy_passphrase": "short" });
    let (status, problem) = bench.call(Method::POST, "/kms/generate", Some(body)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().expect("text").contains("12 to 1024"), "{problem}");
    assert_eq!(bench.call(Method::GET, "/kms", None).await.1, json!({ "kms": [] }));
}

#[tokio::test]
async fn a_key_made_in_place_is_a_trouble_until_its_backup_is_recorded() {
    let bench = bench().await;
    let made = bench.generate(None).await;
    let key = &made["keys"][0];
    assert_eq!((&made["copy"], &key["made_here"], &key["backup"]), (&Value::Null, &json!(true), &Value::Null));
    assert_eq!(bench.troubles().await, 1);
    let path = "/kms/made/keys/1/backup";
    let wrong = json!({ "key": "sha256:00" });
    assert_eq!(bench.call(Method::POST, path, Some(wrong)).await.0, StatusCode::CONFLICT);
    assert_eq!(bench.troubles().await, 1, "nothing is recorded of another key");
    let (status, kms) = bench.call(Method::POST, path, Some(json!({ "key": key["key"] }))).await;
    assert_eq!((status, &kms["keys"][0]["backup"]["by"]), (StatusCode::OK, &json!("first start")), "{kms}");
    assert!(kms["keys"][0]["backup"]["at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(bench.troubles().await, 0);
    // The next key is another matter.
    bench.call(Method::POST, "/kms/made/rotate", Some(json!({ "generate": 2048 }))).await;
    assert_eq!(bench.troubles().await, 1);
}

#[tokio::test]
async fn a_later_copy_is_given_to_a_token_that_may_with_a_reason_and_of_no_key_that_was_uploaded() {
    let bench = bench().await;
    let made = bench.generate(None).await;
    let (status, copy) = bench.want(TOKEN, 1, PASSPHRASE, "the safe was emptied").await;
    assert_eq!((status, &copy["key"]), (StatusCode::OK, &made["keys"][0]["key"]), "{copy}");
    assert_eq!(opened(&copy).fingerprint().to_string(), made["keys"][0]["key"]);
    for reason in ["", "  ", "a\nb", &"x".repeat(501)] {
        assert_eq!(bench.want(TOKEN, 1, PASSPHRASE, reason).await.0, StatusCode::BAD_REQUEST, "{reason:?}");
    }
    assert_eq!(bench.want(TOKEN, 1, "short", "why").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(bench.want(TOKEN, 9, PASSPHRASE, "why").await.0, StatusCode::NOT_FOUND);
    bench.call(Method::POST, "/kms/made/rotate", Some(json!({ "pem": pem() }))).await;
    let (status, problem) = bench.want(TOKEN, 2, PASSPHRASE, "why").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().expect("text").contains("uploaded"), "{problem}");
}

#[tokio::test]
async fn only_a_token_that_may_have_copies_can_let_another_have_them() {
    let bench = bench().await;
    bench.generate(None).await;
    let make = |may: bool| json!({ "name": "robot", "may_copy_keys": may });
    let robot = bench.call(Method::POST, "/tokens", Some(json!({ "name": "robot" }))).await.1;
    assert_eq!(robot["may_copy_keys"], json!(false), "it is not given by default");
    let robot = robot["token"].as_str().expect("text");
    let (status, problem) = bench.want(robot, 1, PASSPHRASE, "why").await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("denied")));
    let (status, _) = bench.send(Method::POST, "/api/v1/tokens", Some(robot), Some(make(true))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, other) = bench.call(Method::POST, "/tokens", Some(make(true))).await;
    assert_eq!((status, &other["may_copy_keys"]), (StatusCode::CREATED, &json!(true)));
    let other = other["token"].as_str().expect("text");
    assert_eq!(bench.want(other, 1, PASSPHRASE, "why").await.0, StatusCode::OK);
}
