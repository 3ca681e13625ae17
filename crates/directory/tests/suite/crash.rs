//! A process that is killed at any moment leaves the old or the new object, and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::client::{Client, Home};

const DIR: &str = "DIRECTORY_CRASH_TEST_DIR";
const SEED: &str = "DIRECTORY_CRASH_TEST_SEED";

/// Version `n` of a key: its size and its bytes follow from the number.
fn version(n: u64) -> Vec<u8> {
    let size = usize::try_from(n * 2_654_435_761 % 400_000).unwrap();
    n.to_le_bytes().into_iter().cycle().take(size).collect()
}

/// The writer that gets killed: does nothing unless it was started by the test below. Says before and after each
/// operation which version of which key it writes (0: deletes).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writer_of_the_crash_test() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let client = std::sync::Arc::new(Client { directory: directory::Directory::open(dir).unwrap() });
    let mut tasks = Vec::new();
    for task in 0..4u64 {
        let client = std::sync::Arc::clone(&client);
        tasks.push(tokio::spawn(async move {
            let say = |word: &str, key: &str, n: u64| {
                let line = format!("{word} {key} {n}\n");
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap();
            };
            for step in 0.. {
                let n = seed * 1_000_000 + step + 1;
                let key = format!("deep-{task}/key-{}", step % 3);
                let meta = n.to_string();
                match step % 5 {
                    4 => {
                        say("begin", &key, 0);
                        assert_eq!(client.delete("bucket", &key).await.status, 204);
                        say("done", &key, 0);
                    }
                    3 => {
                        let uri = format!("/bucket/{}", crate::client::quote(&key));
                        let id = client.send("POST", &format!("{uri}?uploads"), &[("x-amz-meta-n", &meta)], "").await;
                        let id = id.one("UploadId");
                        let part = client.send("PUT", &format!("{uri}?partNumber=1&uploadId={id}"), &[], version(n)).await;
                        let document = format!(
                            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
                            part.header("etag")
                        );
                        say("begin", &key, n);
                        assert_eq!(client.send("POST", &format!("{uri}?uploadId={id}"), &[], document).await.status, 200);
                        say("done", &key, n);
                    }
                    _ => {
                        say("begin", &key, n);
                        let put = client.put_with("bucket", &key, &[("x-amz-meta-n", &meta)], version(n)).await;
                        assert_eq!(put.status, 200);
                        say("done", &key, n);
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_leaves_the_old_or_the_new_object_and_nothing_else() {
    let home = Home::new();
    home.open().make("bucket").await;
    // Of each key what may be there: the last version that was acknowledged, and what was begun after it.
    let mut allowed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for round in 1..=12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::writer_of_the_crash_test", "--nocapture"])
            .env(DIR, home.path())
            .env(SEED, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [word @ ("begin" | "done"), key, n] = words[..] else { return false };
            let n: u64 = n.parse().unwrap();
            let states = allowed.entry(key.to_owned()).or_insert_with(|| vec![0]);
            if word == "done" {
                states.retain(|state| *state == n);
            } else {
                states.push(n);
            }
            true
        };
        let mut heard = 0;
        while heard < 10 + round * 17 {
            heard += u64::from(note(&lines.next().expect("the writer goes on until it is killed").unwrap()));
        }
        child.kill().unwrap();
        // What it said before it died still counts; a line cut in two was not said.
        while let Some(Ok(line)) = lines.next() {
            note(&line);
        }
        child.wait().unwrap();

        let client = home.open();
        for (key, states) in &mut allowed {
            let got = client.get("bucket", key).await;
            let found = if got.status == 200 {
                let n: u64 = got.header("x-amz-meta-n").parse().unwrap();
                assert_eq!(got.body, version(n), "{key} is not what its record says");
                n
            } else {
                assert_eq!(got.code(), "NoSuchKey");
                0
            };
            assert!(states.contains(&found), "round {round}: {key} is {found}, may be one of {states:?}");
            *states = vec![found];
        }
        assert_eq!(home.staged(), Vec::<PathBuf>::new(), "left over after the sweep");
        let listed = client.list("bucket", "", 1000).await.0;
        for key in &listed {
            let place = client.directory.object_path("bucket", key);
            let mut files: Vec<_> = std::fs::read_dir(place.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            // An object of parts has their checksums beside it.
            let head =
                client.send("HEAD", &format!("/bucket/{}?partNumber=1", crate::client::quote(key)), &[], "").await;
            let parts = !head.header("x-amz-mp-parts-count").is_empty();
            let expected = ["data", "parts", "record.json"].into_iter().filter(|name| parts || *name != "parts");
            assert_eq!(files, expected.collect::<Vec<_>>(), "{key}");
        }
        let objects = home.entries("bucket/objects").iter().filter(|path| path.ends_with("data")).count();
        assert_eq!(objects, listed.len(), "files that belong to no key");
        // What is left of uploads is complete uploads, which a client can see and abort.
        for id in client.send("GET", "/bucket?uploads", &[], "").await.all("Upload") {
            let field =
                |name: &str| id.split(&format!("<{name}>")).nth(1).unwrap().split('<').next().unwrap().to_owned();
            let uri = format!("/bucket/{}?uploadId={}", crate::client::quote(&field("Key")), field("UploadId"));
            assert_eq!(client.send("DELETE", &uri, &[], "").await.status, 204);
        }
        assert_eq!(home.entries("bucket/uploads"), Vec::<PathBuf>::new());
    }
}
