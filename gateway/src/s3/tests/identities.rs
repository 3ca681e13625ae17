//! Who speaks to the storage: a gateway over a second one, which is an S3 service that looks at signatures and grants.

use std::collections::BTreeMap;

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Client, Gateway, Storage, service, service_with};
use crate::config::{Secret, Sse, Unsigned};
use crate::group::{Action, Identity};

pub(super) const ALL: &[Action] = &[Action::Read, Action::Write, Action::Delete, Action::List, Action::Manage];

/// The service, with the buckets `ours` and `theirs`, each with an object `k`.
async fn service_gateway(storage: &Storage) -> Gateway {
    let service = Gateway::start(storage, "service").await;
    let admin = service.client(ADMIN);
    for bucket in ["ours", "theirs"] {
        assert_eq!(admin.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
        assert_eq!(admin.put(bucket, "k", bucket.as_bytes()).await.status, StatusCode::OK);
    }
    service
}

async fn open_for_reads(gateway: &Gateway, bucket: &str) {
    let edit = |document: &mut crate::group::Document| {
        document.change_bucket(bucket, |settings| settings.anonymous_reads = true)
    };
    gateway.front.group.edit(edit).await.unwrap();
}

#[tokio::test]
async fn a_credential_with_an_identity_may_at_the_storage_what_that_identity_may_and_no_more() {
    let storage = Storage::new();
    let behind = service_gateway(&storage).await;
    behind.credential("their-key", &[("theirs", ALL)]).await;
    let gateway = Gateway::over(&storage, service(behind.address, ADMIN), "front-system", "front").await;
    let somebody = gateway.credential("somebody", &[("*", ALL)]).await;
    // By the gateway's own identity everything that is granted here.
    assert_eq!(somebody.get("ours", "k").await.body, "ours");
    let edit = |document: &mut crate::group::Document| {
        let secret = Secret::new("a secret of somebody".to_owned());
        let identity = Identity { access_key: "their-key".to_owned(), secret };
        document.set_identities("somebody", BTreeMap::from([("service".to_owned(), identity)]))
    };
    gateway.front.group.edit(edit).await.unwrap();
    assert_eq!(somebody.get("theirs", "k").await.body, "theirs");
    assert_eq!(somebody.put("theirs", "new", b"x").await.status, StatusCode::OK);
    for answer in [
        somebody.get("ours", "k").await,
        somebody.put("ours", "new", b"x").await,
        somebody.send(Method::GET, "ours", "", &[("list-type", "2")], &[], b"").await,
        somebody.send(Method::PUT, "theirs", "copied", &[], &[("x-amz-copy-source", "/ours/k")], b"").await,
    ] {
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "AccessDenied".to_owned()), "{answer:?}");
    }
    assert!(!storage.has("ours", "new").await && !storage.has("theirs", "copied").await);
    let buckets = somebody.send(Method::GET, "", "", &[], &[], b"").await;
    let listed = String::from_utf8(buckets.body.to_vec()).unwrap();
    assert!(listed.contains("<Name>theirs</Name>") && !listed.contains("<Name>ours</Name>"), "{listed}");
    gateway.end().await;
    behind.end().await;
}

#[tokio::test]
async fn requests_without_a_signature_go_on_without_one_only_where_the_storage_is_to_judge_them() {
    let storage = Storage::new();
    let behind = service_gateway(&storage).await;
    open_for_reads(&behind, "theirs").await;
    let passing = |backend: &mut crate::config::S3Backend| backend.unsigned = Unsigned::Pass;
    for passes in [false, true] {
        let upstream = service_with(behind.address, ADMIN, |backend| {
            if passes {
                passing(backend);
            }
        });
        let system = if passes { "passing-system" } else { "refusing-system" };
        let gateway = Gateway::over(&storage, upstream, system, system).await;
        let nobody = Client(service_with(gateway.address, ADMIN, passing).spoken_to_by_nobody().unwrap());
        let read = nobody.get("theirs", "k").await;
        let wanted = if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(read.status, wanted, "{read:?}");
        for answer in [
            nobody.get("ours", "k").await,
            nobody.put("theirs", "new", b"x").await,
            nobody.send(Method::DELETE, "theirs", "k", &[], &[], b"").await,
            nobody.send(Method::DELETE, "theirs", "", &[("encryption", "")], &[], b"").await,
            nobody.send(Method::GET, "theirs", "", &[("encryption", "")], &[], b"").await,
            nobody.get(system, "group/1").await,
        ] {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        }
        assert!(storage.has("theirs", "k").await && !storage.has("theirs", "new").await);
        // Opened here: the gateway reads for whoever comes.
        open_for_reads(&gateway, "ours").await;
        assert_eq!(nobody.get("ours", "k").await.body, "ours");
        assert_eq!(nobody.put("ours", "new", b"x").await.status, StatusCode::FORBIDDEN);
        gateway.end().await;
    }
    behind.end().await;
}

#[tokio::test]
async fn what_a_client_asks_of_the_service_s_encryption_is_done_by_whom_the_configuration_says() {
    let storage = Storage::new();
    let behind = service_gateway(&storage).await;
    behind.add_kms().await;
    let sse = [("x-amz-server-side-encryption", "aws:kms")];
    for sse_at in [Sse::Gateway, Sse::Storage] {
        let upstream = service_with(behind.address, ADMIN, |backend| backend.sse = sse_at);
        let system = if sse_at == Sse::Storage { "storage-system" } else { "gateway-system" };
        let gateway = Gateway::over(&storage, upstream, system, system).await;
        let client = gateway.client(ADMIN);
        let put = client.send(Method::PUT, "ours", "asked", &[], &sse, b"plaintext").await;
        if sse_at == Sse::Storage {
            assert_eq!((put.status, put.header(sse[0].0)), (StatusCode::OK, "aws:kms"), "{put:?}");
            let (head, stored) = storage.get("ours", "asked").await;
            assert!(head.contains_key("x-amz-meta-gse-v") && !stored.windows(9).any(|part| part == b"plaintext"));
        } else {
            // It has no key, so nothing is stored, least of all plain.
            assert_eq!(put.status, StatusCode::SERVICE_UNAVAILABLE, "{put:?}");
            assert!(!storage.has("ours", "asked").await);
            let read = client.send(Method::GET, "ours", "k", &[], &sse, b"").await;
            assert_eq!(read.code(), "InvalidArgument");
            let without = [("x-amz-server-side-encryption-aws-kms-key-id", "a")];
            let put = client.send(Method::PUT, "ours", "asked", &[], &without, b"plaintext").await;
            assert_eq!(put.code(), "InvalidArgument");
        }
        gateway.end().await;
    }
    behind.end().await;
}
