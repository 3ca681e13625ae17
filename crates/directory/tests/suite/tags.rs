//! Object tags.

use crate::client::Home;

fn document(tags: &[(&str, &str)]) -> String {
    let tags: Vec<String> = tags.iter().map(|(k, v)| format!("<Tag><Key>{k}</Key><Value>{v}</Value></Tag>")).collect();
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.concat())
}

#[tokio::test]
async fn tags_are_set_read_and_removed_and_change_nothing_else() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    client.put_with("bucket", "key", &[("x-amz-tagging", "a=b&c=d+e"), ("x-amz-meta-m", "1")], "x").await;
    let before = client.head("bucket", "key").await;
    let tags = client.send("GET", "/bucket/key?tagging", &[], "").await;
    assert_eq!((tags.all("Key"), tags.all("Value")), (vec!["a".into(), "c".into()], vec!["b".into(), "d e".into()]));

    let reply = client.send("PUT", "/bucket/key?tagging", &[], document(&[("x", "y &amp; z")])).await;
    assert_eq!(reply.status, 200);
    assert_eq!(client.send("GET", "/bucket/key?tagging", &[], "").await.one("Value"), "y & z");
    assert_eq!(client.send("DELETE", "/bucket/key?tagging", &[], "").await.status, 204);
    assert_eq!(client.send("GET", "/bucket/key?tagging", &[], "").await.all("Tag").len(), 0);
    let after = client.head("bucket", "key").await;
    for name in ["etag", "last-modified", "x-amz-meta-m", "content-length"] {
        assert_eq!(before.header(name), after.header(name));
    }
    assert_eq!(client.get("bucket", "key").await.body, "x");
    assert_eq!(client.send("PUT", "/bucket/none?tagging", &[], document(&[])).await.code(), "NoSuchKey");
    assert_eq!(home.staged(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn tags_beyond_the_limits_are_refused() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    client.put("bucket", "key", "x").await;
    let eleven: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let eleven: Vec<(&str, &str)> = eleven.iter().map(|name| (name.as_str(), "")).collect();
    let (long, longer) = ("k".repeat(129), "v".repeat(257));
    for tags in [&eleven[..], &[("a", "1"), ("a", "2")], &[(&long, "")], &[("a", &longer)], &[("", "1")]] {
        let reply = client.send("PUT", "/bucket/key?tagging", &[], document(tags)).await;
        assert_eq!(reply.code(), "InvalidTag");
        let header: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let reply = client.put_with("bucket", "key", &[("x-amz-tagging", &header.join("&"))], "y").await;
        assert_eq!(reply.code(), "InvalidTag");
    }
    assert_eq!(client.send("PUT", "/bucket/key?tagging", &[], "<Tagging").await.code(), "MalformedXML");
    assert_eq!(client.get("bucket", "key").await.body, "x");
}
