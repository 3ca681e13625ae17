//! Checksums of S3, over the plaintext: the same for an object that is sealed and for one that is not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::{ALL, Algorithm, Kind, of, whole};
use http::{Method, StatusCode};

use super::gateway::{ADMIN, Answer, Client, Gateway, Storage, bytes, service};
use super::relay::Relay;

const PART: usize = 5 << 20;
const MODE: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");
const BUCKETS: [&str; 2] = ["plain", "sealed"];

fn text(value: &[u8]) -> String {
    STANDARD.encode(value)
}

/// Every checksum that an answer shows, by its header.
fn shown(answer: &Answer) -> Vec<(String, String)> {
    let named = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-checksum-"));
    let mut all: Vec<_> = named.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    all.sort();
    all
}

fn expected(algorithm: Algorithm, value: &str, kind: Kind) -> Vec<(String, String)> {
    let mut all = vec![
        (algorithm.header().to_owned(), value.to_owned()),
        ("x-amz-checksum-type".to_owned(), kind.name().to_owned()),
    ];
    all.sort();
    all
}

async fn get(
    client: &Client,
    bucket: &str,
    key: &str,
    query: &[(&str, &str)],
    more: &[(&'static str, &str)],
) -> Answer {
    client.send(Method::GET, bucket, key, query, more, b"").await
}

#[tokio::test]
async fn every_algorithm_is_verified_kept_and_given_back_and_no_other_is_shown() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in BUCKETS {
        for size in [0, 1000, 400_000] {
            let body = bytes(size);
            for algorithm in ALL {
                let (key, what) = (format!("{size}-{}", algorithm.name()), format!("{bucket} {size} {algorithm:?}"));
                let value = text(&of(algorithm, &body));
                let wrong = text(&of(algorithm, b"something else"));
                let put = client.send(Method::PUT, bucket, &key, &[], &[(algorithm.header(), &wrong)], &body).await;
                assert_eq!(put.code(), "BadDigest", "{what}");
                assert!(!storage.has(bucket, &key).await, "{what}");
                let put = client.send(Method::PUT, bucket, &key, &[], &[(algorithm.header(), &value)], &body).await;
                let all = expected(algorithm, &value, Kind::FullObject);
                assert_eq!((put.status, shown(&put)), (StatusCode::OK, all.clone()), "{what}");
                // Cold, and with what is known by then.
                for _ in 0..2 {
                    let read = get(&client, bucket, &key, &[], &[MODE]).await;
                    assert!(read.body == body, "{what}");
                    assert_eq!(shown(&read), all, "{what}");
                    let head = client.send(Method::HEAD, bucket, &key, &[], &[MODE], b"").await;
                    assert_eq!(shown(&head), all, "{what}");
                }
                assert!(shown(&client.get(bucket, &key).await).is_empty(), "{what}");
                if size > 0 {
                    let range = get(&client, bucket, &key, &[], &[MODE, ("range", "bytes=0-9")]).await;
                    assert_eq!((shown(&range), range.body.len()), (Vec::new(), 10), "{what}");
                    let first = get(&client, bucket, &key, &[("partNumber", "1")], &[MODE]).await;
                    assert_eq!(shown(&first), all, "{what}");
                }
                let names = [("x-amz-object-attributes", "Checksum,ObjectSize,ObjectParts,ETag,StorageClass")];
                let told = get(&client, bucket, &key, &[("attributes", "")], &names).await;
                assert_eq!(told.field(algorithm.element()), value, "{what}");
                assert_eq!(told.field("ChecksumType"), "FULL_OBJECT", "{what}");
                assert_eq!(told.field("ObjectSize"), size.to_string(), "{what}");
                assert_eq!(told.field("ETag"), put.header("etag").trim_matches('"'), "{what}");
                assert_eq!((told.field("StorageClass"), told.field("PartsCount")), ("STANDARD".into(), String::new()));
            }
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn an_object_whose_client_says_nothing_has_the_checksum_that_s3_makes() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = bytes(200_000);
    let all = expected(Algorithm::Crc64Nvme, &text(&of(Algorithm::Crc64Nvme, &body)), Kind::FullObject);
    for bucket in BUCKETS {
        assert_eq!(shown(&client.put(bucket, "k", &body).await), all, "{bucket}");
        assert_eq!(shown(&get(&client, bucket, "k", &[], &[MODE]).await), all, "{bucket}");
        let source = format!("{bucket}/k");
        for to in BUCKETS {
            let copy = [("x-amz-copy-source", source.as_str()), ("x-amz-checksum-algorithm", "SHA256")];
            assert_eq!(client.send(Method::PUT, to, "copy", &[], &copy, b"").await.status, StatusCode::OK);
            let all = expected(Algorithm::Sha256, &text(&of(Algorithm::Sha256, &body)), Kind::FullObject);
            assert_eq!(shown(&get(&client, to, "copy", &[], &[MODE]).await), all, "{bucket} to {to}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_copy_that_is_decrypted_has_the_checksum_that_its_client_wishes() {
    for over_s3 in [false, true] {
        let storage = Storage::new();
        let relay = Relay::start(&storage).await;
        let upstream = if over_s3 { service(relay.address, ("any", "any")) } else { storage.upstream.clone() };
        let gateway = Gateway::over(&storage, upstream, "sealgate-system", "one").await;
        gateway.add_kms().await;
        let client = gateway.client(ADMIN);
        for bucket in BUCKETS {
            client.send(Method::PUT, bucket, "", &[], &[], b"").await;
        }
        gateway.toggle("sealed", true).await;
        gateway.front.group.edit(|d| d.change_bucket("plain", |bucket| bucket.decrypt_on_copy = true)).await.unwrap();
        for (size, algorithm) in [(0, Algorithm::Sha1), (1000, Algorithm::Sha256), (3 << 20, Algorithm::Crc32c)] {
            let body = bytes(size);
            let known = text(&of(Algorithm::Sha256, &body));
            client.send(Method::PUT, "sealed", "k", &[], &[(Algorithm::Sha256.header(), &known)], &body).await;
            let wish = [("x-amz-copy-source", "sealed/k"), ("x-amz-checksum-algorithm", algorithm.name())];
            let copied = client.send(Method::PUT, "plain", "copy", &[], &wish, b"").await;
            let value = text(&of(algorithm, &body));
            assert_eq!((copied.status, copied.field(algorithm.element())), (StatusCode::OK, value.clone()));
            let all = expected(algorithm, &value, Kind::FullObject);
            assert_eq!(shown(&get(&client, "plain", "copy", &[], &[MODE]).await), all, "{over_s3} {size}");
            let (head, stored) = storage.get("plain", "copy").await;
            assert!(stored == body && !head.contains_key("x-amz-meta-gse-v"), "{over_s3} {size}");
        }
        gateway.end().await;
        relay.end().await;
    }
}

struct Upload<'a> {
    client: &'a Client,
    bucket: &'a str,
    id: String,
}

impl Upload<'_> {
    async fn part(&self, number: u16, body: &[u8], more: &[(&'static str, &str)]) -> Answer {
        let number = number.to_string();
        let query = [("partNumber", number.as_str()), ("uploadId", &self.id)];
        self.client.send(Method::PUT, self.bucket, "k", &query, more, body).await
    }

    /// Completes by these parts: number, `ETag`, checksum element.
    async fn complete(&self, parts: &[(u16, &str, &str)], more: &[(&'static str, &str)]) -> Answer {
        let named = parts.iter().map(|(number, etag, checksum)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag>{checksum}</Part>", etag.trim_matches('"'))
        });
        let document = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", named.collect::<String>());
        let query = [("uploadId", self.id.as_str())];
        self.client.send(Method::POST, self.bucket, "k", &query, more, document.as_bytes()).await
    }
}

async fn begin<'a>(client: &'a Client, bucket: &'a str, more: &[(&'static str, &str)]) -> (Upload<'a>, Answer) {
    let answer = client.send(Method::POST, bucket, "k", &[("uploads", "")], more, b"").await;
    (Upload { client, bucket, id: answer.field("UploadId") }, answer)
}

#[tokio::test]
async fn an_upload_in_parts_has_the_checksum_that_was_chosen_for_it() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let (one, two) = (bytes(PART), bytes(77));
    let both = [&one[..], &two].concat();
    for bucket in BUCKETS {
        for (algorithm, kind) in [
            (Algorithm::Crc32, Kind::Composite),
            (Algorithm::Crc32, Kind::FullObject),
            (Algorithm::Crc32c, Kind::Composite),
            (Algorithm::Crc32c, Kind::FullObject),
            (Algorithm::Crc64Nvme, Kind::FullObject),
            (Algorithm::Sha1, Kind::Composite),
            (Algorithm::Sha256, Kind::Composite),
            (Algorithm::Sha512, Kind::Composite),
            (Algorithm::Md5, Kind::Composite),
            (Algorithm::XxHash64, Kind::Composite),
            (Algorithm::XxHash3, Kind::Composite),
            (Algorithm::XxHash128, Kind::Composite),
        ] {
            let what = format!("{bucket} {algorithm:?} {kind:?}");
            let values = [of(algorithm, &one), of(algorithm, &two)];
            let lens = [one.len() as u64, two.len() as u64];
            let value = text(&whole(algorithm, kind, values.iter().map(Vec::as_slice).zip(lens)));
            let value = if kind == Kind::Composite { format!("{value}-2") } else { value };
            if kind == Kind::FullObject {
                assert_eq!(value, text(&of(algorithm, &both)), "{what}");
            }
            let chosen = [("x-amz-checksum-algorithm", algorithm.name()), ("x-amz-checksum-type", kind.name())];
            let (upload, created) = begin(&client, bucket, &chosen).await;
            let said: Vec<_> = chosen.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(shown(&created), said, "{what}");
            let uploads = get(&client, bucket, "", &[("uploads", "")], &[]).await;
            assert_eq!(uploads.field("ChecksumAlgorithm"), algorithm.name(), "{what}");
            assert_eq!(uploads.field("ChecksumType"), kind.name(), "{what}");

            let header = algorithm.header();
            let wrong = upload.part(1, &one, &[(header, &text(&values[1]))]).await;
            assert_eq!(wrong.code(), "BadDigest", "{what}");
            let first = upload.part(1, &one, &[(header, &text(&values[0]))]).await;
            assert_eq!(first.header(header), text(&values[0]), "{what}");
            // Computed though its client says nothing.
            let second = upload.part(4, &two, &[]).await;
            assert_eq!(second.header(header), text(&values[1]), "{what}");
            let parts = get(&client, bucket, "k", &[("uploadId", &upload.id)], &[]).await;
            assert_eq!(parts.field("ChecksumAlgorithm"), algorithm.name(), "{what}");
            assert_eq!(parts.field("ChecksumType"), kind.name(), "{what}");
            assert_eq!(parts.field(algorithm.element()), text(&values[0]), "{what}");

            let element = |value: &[u8]| format!("<{0}>{1}</{0}>", algorithm.element(), text(value));
            let (right, other) = (element(&values[0]), element(&values[1]));
            let (one_etag, two_etag) = (first.header("etag"), second.header("etag"));
            let named = [(1, one_etag, right.as_str()), (4, two_etag, other.as_str())];
            let misnamed = [(1, one_etag, other.as_str()), (4, two_etag, "")];
            let size = both.len().to_string();
            let opposite = if kind == Kind::Composite { Kind::FullObject } else { Kind::Composite };
            for (parts, more, code) in [
                (&misnamed, ("x-amz-mp-object-size", size.as_str()), "InvalidPart"),
                (&named, ("x-amz-mp-object-size", "5"), "InvalidRequest"),
                (&named, ("x-amz-checksum-type", opposite.name()), "InvalidRequest"),
                (&named, (header, "bad"), "BadDigest"),
                (&named, (header, &text(&values[0])), "BadDigest"),
            ] {
                assert_eq!(upload.complete(parts, &[more]).await.code(), code, "{what} {more:?}");
            }
            let claim =
                [(header, value.as_str()), ("x-amz-mp-object-size", &size), ("x-amz-checksum-type", kind.name())];
            let done = upload.complete(&named, &claim).await;
            assert_eq!(
                (done.status, done.field(algorithm.element())),
                (StatusCode::OK, value.clone()),
                "{what} {done:?}"
            );
            assert_eq!(done.field("ChecksumType"), kind.name(), "{what}");

            let read = get(&client, bucket, "k", &[], &[MODE]).await;
            assert!(read.body == both, "{what}");
            assert_eq!(shown(&read), expected(algorithm, &value, kind), "{what}");
            let head = client.send(Method::HEAD, bucket, "k", &[], &[MODE], b"").await;
            assert_eq!(shown(&head), expected(algorithm, &value, kind), "{what}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn the_parts_of_an_object_are_told_page_by_page_with_their_checksums() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let bodies = [bytes(PART), bytes(PART), bytes(9)];
    for bucket in BUCKETS {
        let (upload, _) = begin(&client, bucket, &[]).await;
        let mut etags = Vec::new();
        for (body, number) in bodies.iter().zip(1..) {
            etags.push(upload.part(number, body, &[]).await.header("etag").to_owned());
        }
        let parts: Vec<_> = etags.iter().zip(1..).map(|(etag, number)| (number, etag.as_str(), "")).collect();
        let done = upload.complete(&parts, &[]).await;
        let value = text(&of(Algorithm::Crc64Nvme, &bodies.concat()));
        assert_eq!(done.field("ChecksumCRC64NVME"), value, "{bucket}");
        for (marker, more, number) in [("0", "true", "1"), ("1", "true", "2"), ("2", "false", "3")] {
            let asked = [
                ("x-amz-object-attributes", "ObjectParts"),
                ("x-amz-max-parts", "1"),
                ("x-amz-part-number-marker", marker),
            ];
            let told = get(&client, bucket, "k", &[("attributes", "")], &asked).await;
            let body = &bodies[number.parse::<usize>().unwrap() - 1];
            for (name, value) in [
                ("PartsCount", "3"),
                ("PartNumberMarker", marker),
                ("NextPartNumberMarker", number),
                ("MaxParts", "1"),
                ("IsTruncated", more),
                ("PartNumber", number),
                ("Size", &body.len().to_string()),
                ("ChecksumCRC64NVME", &text(&of(Algorithm::Crc64Nvme, body))),
            ] {
                assert_eq!(told.field(name), value, "{bucket} {marker} {name}");
            }
            assert_eq!(told.field("ETag"), "", "not asked for");
            let part = get(&client, bucket, "k", &[("partNumber", number)], &[MODE]).await;
            assert!(part.body == *body, "{bucket} {number}");
            let all = expected(Algorithm::Crc64Nvme, &text(&of(Algorithm::Crc64Nvme, body)), Kind::FullObject);
            assert_eq!(shown(&part), all, "{bucket} {number}");
            let head = client.send(Method::HEAD, bucket, "k", &[("partNumber", number)], &[MODE], b"").await;
            assert_eq!(shown(&head), all, "{bucket} {number}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn parts_are_counted_as_clients_see_them_whatever_numbers_they_were_sent_under() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    // The last has nothing in it.
    let bodies = [bytes(PART), bytes(PART + 1), Vec::new()];
    for bucket in BUCKETS {
        let (upload, _) = begin(&client, bucket, &[]).await;
        let mut etags = Vec::new();
        for (body, number) in bodies.iter().zip([2, 3, 700]) {
            etags.push(upload.part(number, body, &[]).await.header("etag").to_owned());
        }
        let parts: Vec<_> = etags.iter().zip([2, 3, 700]).map(|(etag, number)| (number, etag.as_str(), "")).collect();
        let done = upload.complete(&parts, &[]).await;
        assert_eq!(done.status, StatusCode::OK, "{bucket} {done:?}");
        for (body, number) in bodies.iter().zip(["1", "2", "3"]) {
            let all = expected(Algorithm::Crc64Nvme, &text(&of(Algorithm::Crc64Nvme, body)), Kind::FullObject);
            for method in [Method::GET, Method::HEAD] {
                let seen = client.send(method.clone(), bucket, "k", &[("partNumber", number)], &[MODE], b"").await;
                let place = format!("{bucket} {method} {number}");
                assert_eq!(seen.header("content-length"), body.len().to_string(), "{place}");
                assert_eq!(seen.header("x-amz-mp-parts-count"), "3", "{place}");
                assert_eq!(shown(&seen), all, "{place}");
                if method == Method::GET {
                    assert!(
                        seen.status == StatusCode::PARTIAL_CONTENT && seen.body == *body,
                        "{place} {}",
                        seen.status
                    );
                }
            }
            let marker = (number.parse::<usize>().unwrap() - 1).to_string();
            let asked = [
                ("x-amz-object-attributes", "ObjectParts"),
                ("x-amz-max-parts", "1"),
                ("x-amz-part-number-marker", marker.as_str()),
            ];
            let told = get(&client, bucket, "k", &[("attributes", "")], &asked).await;
            let part = (told.field("PartNumber"), told.field("Size"), told.field("NextPartNumberMarker"));
            assert_eq!(part, (number.to_owned(), body.len().to_string(), number.to_owned()), "{bucket} {number}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_checksum_that_nobody_could_check_is_refused_at_create_and_at_complete() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in BUCKETS {
        for chosen in [
            ("SHA256", "FULL_OBJECT"),
            ("CRC64NVME", "COMPOSITE"),
            ("MD5", "FULL_OBJECT"),
            ("XXHASH3", "FULL_OBJECT"),
            ("MD4", "COMPOSITE"),
        ] {
            let more = [("x-amz-checksum-algorithm", chosen.0), ("x-amz-checksum-type", chosen.1)];
            assert_eq!(begin(&client, bucket, &more).await.1.code(), "InvalidRequest", "{bucket} {chosen:?}");
        }
        // The client's own algorithm is verified, also where the upload has another.
        let (upload, _) = begin(&client, bucket, &[]).await;
        let body = bytes(1000);
        let (sha1, wrong) = (text(&of(Algorithm::Sha1, &body)), text(&of(Algorithm::Sha1, b"")));
        assert_eq!(upload.part(1, &body, &[("x-amz-checksum-sha1", &wrong)]).await.code(), "BadDigest", "{bucket}");
        let part = upload.part(1, &body, &[("x-amz-checksum-sha1", &sha1)]).await;
        assert_eq!(part.header("x-amz-checksum-sha1"), sha1, "{bucket}");
        let named = format!("<ChecksumSHA1>{sha1}</ChecksumSHA1>");
        let parts = [(1, part.header("etag"), named.as_str())];
        let done = upload.complete(&parts, &[("x-amz-checksum-sha1", &sha1)]).await;
        assert_eq!(done.code(), "InvalidRequest", "{bucket}");
        let done = upload.complete(&parts, &[]).await;
        assert_eq!(done.field("ChecksumCRC64NVME"), text(&of(Algorithm::Crc64Nvme, &body)), "{bucket} {done:?}");
    }
    gateway.end().await;
}
