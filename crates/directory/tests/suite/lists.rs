//! Listings.

use crate::client::{Client, Home};

async fn with_keys(home: &Home, keys: &[&str]) -> Client {
    let client = home.open();
    client.make("bucket").await;
    for key in keys {
        client.put("bucket", key, "x").await;
    }
    client
}

const KEYS: [&str; 10] = ["a", "a-b", "a/", "a/1", "a/2/3", "a0", "b/1", "b/2", "c", "é"];

#[tokio::test]
async fn keys_are_grouped_by_prefix_and_delimiter_on_pages_of_any_size() {
    let home = Home::new();
    let client = with_keys(&home, &KEYS).await;
    for page in [1, 2, 3, 1000] {
        assert_eq!(client.list("bucket", "", page).await.0, KEYS);
        let (keys, groups) = client.list("bucket", "delimiter=/", page).await;
        assert_eq!(
            (keys, groups),
            (vec!["a".into(), "a-b".into(), "a0".into(), "c".into(), "é".into()], vec!["a/".into(), "b/".into()])
        );
        let (keys, groups) = client.list("bucket", "prefix=a/&delimiter=/", page).await;
        assert_eq!((keys, groups), (vec!["a/".to_owned(), "a/1".into()], vec!["a/2/".to_owned()]));
        assert_eq!(client.list("bucket", "prefix=a", page).await.0.len(), 6);
        assert_eq!(client.list("bucket", "prefix=a&delimiter=0", page).await.1, ["a0"]);
        assert_eq!(client.list("bucket", "start-after=a/1", page).await.0, &KEYS[4..]);
        assert_eq!(client.list("bucket", "start-after=a/&delimiter=/", page).await.1, ["b/"]);
        assert_eq!(client.list("bucket", "start-after=a/1&delimiter=/", page).await.1, ["a/", "b/"]);
        assert_eq!(client.list("bucket", "prefix=zzz", page).await.0, Vec::<String>::new());
        assert_eq!(client.list("bucket", "prefix=a/1/", page).await.0, Vec::<String>::new());
    }
}

#[tokio::test]
async fn the_first_version_pages_by_marker() {
    let home = Home::new();
    let client = with_keys(&home, &KEYS).await;
    for delimiter in ["", "/"] {
        let (mut seen, mut marker) = (Vec::new(), String::new());
        loop {
            let uri = format!("/bucket?max-keys=2&encoding-type=url&delimiter={delimiter}&marker={marker}");
            let page = client.send("GET", &uri, &[], "").await;
            let mut names = page.all("Key");
            names.extend(
                page.all("CommonPrefixes").iter().map(|group| group.replace("<Prefix>", "").replace("</Prefix>", "")),
            );
            names.sort_by_key(|name| name.replace("%C3%A9", "é"));
            assert!(names.len() <= 2);
            marker = match page.all("NextMarker").pop() {
                Some(next) => next,
                None => names.last().unwrap().clone(),
            };
            seen.extend(names);
            assert_eq!(page.all("Owner").len(), page.all("Key").len());
            if page.one("IsTruncated") == "false" {
                break;
            }
        }
        let expected: &[&str] = if delimiter.is_empty() {
            &["a", "a-b", "a/", "a/1", "a/2/3", "a0", "b/1", "b/2", "c", "%C3%A9"]
        } else {
            &["a", "a-b", "a/", "a0", "b/", "c", "%C3%A9"]
        };
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_line_says_what_head_says() {
    let home = Home::new();
    let client = with_keys(&home, &[]).await;
    client.put_with("bucket", "k", &[("x-amz-storage-class", "GLACIER_IR")], "hello").await;
    let list = client.send("GET", "/bucket?list-type=2", &[], "").await;
    assert_eq!(list.header("content-type"), "application/xml");
    assert!(list.text().contains("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"));
    assert_eq!(list.one("ETag"), client.head("bucket", "k").await.header("etag"));
    assert_eq!((list.one("Size"), list.one("StorageClass")), ("5".into(), "GLACIER_IR".into()));
    let date = list.one("LastModified");
    assert!(date.len() == 24 && &date[10..11] == "T" && &date[19..] == ".000Z", "{date}");
    assert_eq!(list.all("Owner").len(), 0);
    assert_eq!(client.send("GET", "/bucket?list-type=2&fetch-owner=true", &[], "").await.all("Owner").len(), 1);
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused() {
    let home = Home::new();
    let client = with_keys(&home, &["a"]).await;
    for query in ["max-keys=-1", "max-keys=x", "encoding-type=x", "continuation-token=!", "list-type=3"] {
        let query = if query.starts_with("list-type") { query.to_owned() } else { format!("list-type=2&{query}") };
        assert_eq!(client.send("GET", &format!("/bucket?{query}"), &[], "").await.code(), "InvalidArgument", "{query}");
    }
    let none = client.send("GET", "/bucket?list-type=2&max-keys=0", &[], "").await;
    assert_eq!((none.one("IsTruncated"), none.one("KeyCount")), ("false".into(), "0".into()));
}

#[tokio::test]
async fn folders_that_a_crash_left_empty_are_in_no_listing() {
    let home = Home::new();
    let client = with_keys(&home, &["b/1"]).await;
    std::fs::create_dir_all(home.path().join("bucket/objects/a/b/c")).unwrap();
    assert_eq!(client.list("bucket", "delimiter=/", 10).await, (vec![], vec!["b/".to_owned()]));
    assert_eq!(client.list("bucket", "", 1).await.0, ["b/1"]);
}

#[tokio::test]
async fn every_object_has_one_version_and_pages_of_versions_go_on_where_they_ended() {
    let home = Home::new();
    let client = with_keys(&home, &KEYS).await;
    for (delimiter, expected) in [("", &KEYS[..]), ("/", &["a", "a-b", "a/", "a0", "b/", "c", "é"])] {
        let (mut seen, mut markers) = (Vec::new(), String::new());
        loop {
            let uri = format!("/bucket?versions&max-keys=2&delimiter={delimiter}{markers}");
            let page = client.send("GET", &uri, &[], "").await;
            let mut names = page.all("Key");
            assert_eq!(page.all("VersionId"), vec!["null"; names.len()]);
            assert_eq!(page.all("IsLatest"), vec!["true"; names.len()]);
            names.extend(
                page.all("CommonPrefixes").iter().map(|group| group.replace("<Prefix>", "").replace("</Prefix>", "")),
            );
            names.sort();
            seen.extend(names);
            if page.one("IsTruncated") == "false" {
                break;
            }
            let version = page.all("NextVersionIdMarker").pop().map(|id| format!("&version-id-marker={id}"));
            markers = format!("&key-marker={}{}", page.one("NextKeyMarker"), version.unwrap_or_default());
        }
        assert_eq!(seen, expected);
    }
    let page = client.send("GET", "/bucket?versions&version-id-marker=null", &[], "").await;
    assert_eq!((page.status.as_u16(), page.one("Code")), (400, "InvalidArgument".to_owned()));
    let missing = client.send("GET", "/nowhere?versions", &[], "").await;
    assert_eq!((missing.status.as_u16(), missing.one("Code")), (404, "NoSuchBucket".to_owned()));
    let versioning = client.send("GET", "/bucket?versioning", &[], "").await;
    assert_eq!((versioning.status.as_u16(), versioning.all("Status").len()), (200, 0));
}
