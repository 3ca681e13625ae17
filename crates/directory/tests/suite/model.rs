//! Random operations, held against a map in memory.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::client::{Client, Home, quote};

#[derive(Clone, Debug)]
enum Step {
    Put(String, usize),
    PutNew(String),
    Delete(String),
    DeleteMany(Vec<String>),
    Copy(String, String),
    Multipart(String, usize),
    Get(String, usize, usize),
    List { prefix: String, delimiter: &'static str, after: String, page: usize },
    Reopen,
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[ab./]{1,4}",
        1 => ("[x]{79,82}", "[-/0]{0,2}").prop_map(|(a, b)| a + &b),
        1 => "\\PC{1,3}",
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let delimiter = prop_oneof![Just(""), Just("/"), Just("a"), Just("//")];
    prop_oneof![
        6 => (key(), 0usize..300).prop_map(|(key, size)| Step::Put(key, size)),
        1 => (key(), 131_000usize..400_000).prop_map(|(key, size)| Step::Put(key, size)),
        2 => key().prop_map(Step::PutNew),
        3 => key().prop_map(Step::Delete),
        1 => prop::collection::vec(key(), 1..4).prop_map(Step::DeleteMany),
        2 => (key(), key()).prop_map(|(from, to)| Step::Copy(from, to)),
        1 => (key(), 0usize..300).prop_map(|(key, size)| Step::Multipart(key, size)),
        3 => (key(), 0usize..400, 0usize..400).prop_map(|(key, a, b)| Step::Get(key, a, b)),
        4 => ("[ab./]{0,2}", delimiter, "[ab./]{0,3}", 1usize..5)
            .prop_map(|(prefix, delimiter, after, page)| Step::List { prefix, delimiter, after, page }),
        1 => Just(Step::Reopen),
    ]
}

type Model = BTreeMap<String, Vec<u8>>;

/// What S3 says a listing is.
fn listed(model: &Model, prefix: &str, delimiter: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let group = |key: &str| {
        let rest = key.strip_prefix(prefix).filter(|_| !delimiter.is_empty())?;
        rest.find(delimiter).map(|at| key[..prefix.len() + at + delimiter.len()].to_owned())
    };
    let (mut keys, mut groups) = (Vec::new(), BTreeSet::new());
    for key in model.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after) {
        match group(key) {
            None => keys.push(key.clone()),
            // A marker that is a group stands for all of it.
            Some(group) if group == after && !after.is_empty() => {}
            Some(group) => {
                groups.insert(group);
            }
        }
    }
    (keys, groups.into_iter().collect())
}

async fn run(steps: Vec<Step>) {
    let home = Home::new();
    let mut client = home.open();
    client.make("bucket").await;
    let mut model = Model::new();
    for (number, step) in steps.into_iter().enumerate() {
        let bytes = |size: usize| -> Vec<u8> { number.to_le_bytes().into_iter().cycle().take(size).collect() };
        match step {
            Step::Put(key, size) => {
                assert_eq!(client.put("bucket", &key, bytes(size)).await.status, 200);
                model.insert(key, bytes(size));
            }
            Step::PutNew(key) => {
                let code = client.put_with("bucket", &key, &[("if-none-match", "*")], bytes(9)).await.code();
                assert_eq!(code, if model.contains_key(&key) { "PreconditionFailed" } else { "200" });
                model.entry(key).or_insert_with(|| bytes(9));
            }
            Step::Delete(key) => {
                assert_eq!(client.delete("bucket", &key).await.status, 204);
                model.remove(&key);
            }
            Step::DeleteMany(keys) => {
                let escape = |key: &str| key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let objects: Vec<String> =
                    keys.iter().map(|key| format!("<Object><Key>{}</Key></Object>", escape(key))).collect();
                let reply =
                    client.send("POST", "/bucket?delete", &[], format!("<Delete>{}</Delete>", objects.concat())).await;
                assert_eq!(reply.all("Deleted").len(), keys.len(), "{}", reply.text());
                for key in keys {
                    model.remove(&key);
                }
            }
            Step::Copy(from, to) => {
                let source = format!("bucket/{}", quote(&from));
                let headers = [("x-amz-copy-source", source.as_str()), ("x-amz-metadata-directive", "REPLACE")];
                let code = client.put_with("bucket", &to, &headers, "").await.code();
                assert_eq!(code, if model.contains_key(&from) { "200" } else { "NoSuchKey" });
                if let Some(bytes) = model.get(&from).cloned() {
                    model.insert(to, bytes);
                }
            }
            Step::Multipart(key, size) => {
                multipart(&client, &key, bytes(size)).await;
                model.insert(key, bytes(size));
            }
            Step::Get(key, first, last) => {
                let got = client.get_with("bucket", &key, &[("range", &format!("bytes={first}-{last}"))]).await;
                match model.get(&key) {
                    None => assert_eq!(got.code(), "NoSuchKey"),
                    Some(bytes) if last < first => assert_eq!((got.status.as_u16(), &got.body[..]), (200, &bytes[..])),
                    Some(bytes) if first >= bytes.len() => assert_eq!(got.code(), "InvalidRange"),
                    Some(bytes) => assert_eq!(&got.body[..], &bytes[first..=last.min(bytes.len() - 1)]),
                }
            }
            Step::List { prefix, delimiter, after, page } => {
                let query = format!("prefix={}&delimiter={delimiter}&start-after={}", quote(&prefix), quote(&after));
                assert_eq!(client.list("bucket", &query, page).await, listed(&model, &prefix, delimiter, &after));
            }
            Step::Reopen => client = home.open(),
        }
    }
    assert_eq!(client.list("bucket", "", 3).await.0, model.keys().cloned().collect::<Vec<_>>());
    for (key, bytes) in &model {
        assert_eq!(client.get("bucket", key).await.body, bytes);
    }
    for key in model.keys() {
        client.delete("bucket", key).await;
    }
    assert_eq!(home.entries("bucket/objects").len() + home.entries("bucket/uploads").len() + home.staged().len(), 0);
}

async fn multipart(client: &Client, key: &str, bytes: Vec<u8>) {
    let uri = format!("/bucket/{}", quote(key));
    let id = client.send("POST", &format!("{uri}?uploads"), &[], "").await.one("UploadId");
    let part = client.send("PUT", &format!("{uri}?partNumber=3&uploadId={id}"), &[], bytes).await;
    let part = format!("<Part><PartNumber>3</PartNumber><ETag>{}</ETag></Part>", part.header("etag"));
    let document = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
    assert_eq!(client.send("POST", &format!("{uri}?uploadId={id}"), &[], document).await.status, 200);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_operations_does_what_a_map_does(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(run(steps));
    }
}
