//! Two instances over one directory, as two gateways have it: what must be atomic is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::channel::Channel;
use md5::Digest as _;

use crate::client::{Client, Home, quote};

/// Two instances that share nothing but the directory.
async fn pair(home: &Home) -> [Arc<Client>; 2] {
    let clients = [Arc::new(home.open()), Arc::new(home.open())];
    clients[0].make("bucket").await;
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_make_a_key_exactly_one_wins() {
    let home = Home::new();
    let clients = pair(&home).await;
    for round in 0..40 {
        let key = format!("round/{round}");
        let racers = (0..8).map(|racer| {
            let (client, key) = (Arc::clone(&clients[racer % 2]), key.clone());
            tokio::spawn(async move {
                (client.put_with("bucket", &key, &[("if-none-match", "*")], racer.to_string()).await.code(), racer)
            })
        });
        let outcomes = futures(racers).await;
        let winners: Vec<_> = outcomes.iter().filter(|(code, _)| code == "200").collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|(code, _)| code == "200" || code == "PreconditionFailed"), "{outcomes:?}");
        assert_eq!(clients[1].get("bucket", &key).await.body, winners[0].1.to_string());
    }
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
}

async fn futures<T: Send + 'static>(tasks: impl Iterator<Item = tokio::task::JoinHandle<T>>) -> Vec<T> {
    let tasks: Vec<_> = tasks.collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_with_if_match_is_lost() {
    let home = Home::new();
    let clients = pair(&home).await;
    clients[0].put("bucket", "counter", "0").await;
    let workers = (0..6).map(|worker| {
        let client = Arc::clone(&clients[worker % 2]);
        tokio::spawn(async move {
            let mut done = 0;
            while done < 20 {
                let current = client.get("bucket", "counter").await;
                let next = current.text().parse::<u32>().unwrap() + 1;
                let etag = current.header("etag").to_owned();
                match client
                    .put_with("bucket", "counter", &[("if-match", &etag)], next.to_string())
                    .await
                    .code()
                    .as_str()
                {
                    "200" => done += 1,
                    "PreconditionFailed" => {}
                    other => panic!("{other}"),
                }
            }
        })
    });
    futures(workers).await;
    assert_eq!(clients[0].get("bucket", "counter").await.body, "120");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_versions_while_a_key_is_written_and_deleted() {
    let home = Home::new();
    let clients = pair(&home).await;
    let writers = (0..4usize).map(|writer| {
        let client = Arc::clone(&clients[writer % 2]);
        tokio::spawn(async move {
            for round in 0..60usize {
                let letter = b'a' + u8::try_from(writer).unwrap();
                let size = 1 + (round * 7919 + writer) % 200_000;
                let meta = format!("{}-{size}", char::from(letter));
                let put = client.put_with("bucket", "deep/key", &[("x-amz-meta-is", &meta)], vec![letter; size]).await;
                assert_eq!(put.status, 200, "{put:?}");
                if round % 3 == 0 {
                    assert_eq!(client.delete("bucket", "deep/key").await.status, 204);
                }
            }
        })
    });
    let readers = (0..4usize).map(|reader| {
        let client = Arc::clone(&clients[reader % 2]);
        tokio::spawn(async move {
            for _ in 0..200 {
                let got = client.get("bucket", "deep/key").await;
                if got.status == 200 {
                    let letter = char::from(got.body[0]);
                    assert_eq!(got.header("x-amz-meta-is"), format!("{letter}-{}", got.body.len()));
                    assert!(got.body.iter().all(|byte| char::from(*byte) == letter));
                } else {
                    assert_eq!(got.code(), "NoSuchKey");
                }
                let list = client.send("GET", "/bucket?list-type=2", &[], "").await;
                assert!(list.status == 200 && list.all("Key").len() <= 1, "{list:?}");
            }
        })
    });
    futures(writers.chain(readers)).await;
    clients[0].delete("bucket", "deep/key").await;
    assert_eq!(home.entries("bucket/objects"), Vec::<PathBuf>::new());
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_never_goes_with_an_object_that_was_acknowledged() {
    let home = Home::new();
    let clients = pair(&home).await;
    let done = Arc::new(AtomicBool::new(false));
    let remover = {
        let (client, done) = (Arc::clone(&clients[1]), Arc::clone(&done));
        tokio::spawn(async move {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                match client.send("DELETE", "/bucket", &[], "").await.code().as_str() {
                    "BucketNotEmpty" => {}
                    "204" => {
                        removed += 1;
                        client.make("bucket").await;
                    }
                    other => panic!("{other}"),
                }
            }
            removed
        })
    };
    let writers = (0..3usize).map(|writer| {
        let client = Arc::clone(&clients[writer % 2]);
        tokio::spawn(async move {
            for round in 0..150 {
                let key = format!("deep-{writer}/{round}/key");
                match client.put("bucket", &key, "x").await.code().as_str() {
                    "200" => assert_eq!(client.get("bucket", &key).await.code(), "200", "{key} went with its bucket"),
                    "NoSuchBucket" => continue,
                    other => panic!("{other}"),
                }
                assert_eq!(client.delete("bucket", &key).await.status, 204);
            }
        })
    });
    futures(writers).await;
    done.store(true, Ordering::Relaxed);
    assert!(remover.await.unwrap() > 0, "the bucket was never removed: nothing was tried");
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_make_a_bucket_one_does() {
    let home = Home::new();
    let clients = pair(&home).await;
    for round in 0..20 {
        let makers = (0..6).map(|maker| {
            let client = Arc::clone(&clients[maker % 2]);
            tokio::spawn(async move { client.send("PUT", &format!("/bucket-{round}"), &[], "").await.code() })
        });
        let outcomes = futures(makers).await;
        assert_eq!(outcomes.iter().filter(|code| *code == "200").count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|code| *code == "BucketAlreadyOwnedByYou").count(), 5, "{outcomes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_sent_twice_through_both_instances_complete_to_what_is_listed() {
    let home = Home::new();
    let clients = pair(&home).await;
    let id = clients[0].send("POST", "/bucket/key?uploads", &[], "").await.one("UploadId");
    let senders = (0..8usize).map(|sender| {
        let (client, id) = (Arc::clone(&clients[sender % 2]), id.clone());
        tokio::spawn(async move {
            for round in 0..10usize {
                let bytes = format!("{sender}-{round}");
                let uri = format!("/bucket/key?partNumber=1&uploadId={}", quote(&id));
                assert_eq!(client.send("PUT", &uri, &[], bytes).await.status, 200);
            }
        })
    });
    futures(senders).await;
    let uri = format!("/bucket/key?uploadId={id}");
    let etag = clients[1].send("GET", &uri, &[], "").await.one("ETag");
    assert_eq!(home.entries("bucket/uploads").len(), 3, "the upload, its record, one part");
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    // Two complete at once: one does, the other finds no upload.
    let completers = (0..2usize).map(|completer| {
        let (client, uri, document) = (Arc::clone(&clients[completer]), uri.clone(), document.clone());
        tokio::spawn(async move { client.send("POST", &uri, &[], document).await.code() })
    });
    let mut outcomes = futures(completers).await;
    outcomes.sort();
    assert_eq!(outcomes, ["200", "NoSuchUpload"]);
    let got = clients[0].get("bucket", "key").await;
    assert_eq!(format!("\"{}\"", hex::encode(md5::Md5::digest(&got.body))), etag);
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn opening_beside_a_writer_leaves_what_it_is_writing() {
    let home = Home::new();
    let writer = home.open();
    writer.make("bucket").await;
    let (mut sender, body) = Channel::<Bytes, Box<dyn std::error::Error + Send + Sync>>::new(4);
    let request = http::Request::put("/bucket/key").header("content-length", 300_000);
    let request = request.body(http_body_util::BodyExt::boxed_unsync(body)).unwrap();
    let writer = Arc::new(writer);
    let writing = tokio::spawn({
        let writer = Arc::clone(&writer);
        async move { writer.request(request).await }
    });
    sender.send_data(vec![1; 200_000].into()).await.unwrap();
    while home.staged().is_empty() {
        tokio::task::yield_now().await;
    }
    let others: Vec<Client> = (0..3).map(|_| home.open()).collect();
    assert!(!home.staged().is_empty());
    drop(others);
    sender.send_data(vec![1; 100_000].into()).await.unwrap();
    drop(sender);
    assert_eq!(writing.await.unwrap().status, 200);
    assert_eq!(writer.get("bucket", "key").await.body.len(), 300_000);
}
