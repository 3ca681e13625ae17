//! Speaks S3 to a `Directory` in a private folder.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use directory::{Body, Directory};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub(crate) struct Client {
    pub(crate) directory: Directory,
}

/// A storage directory that goes with the test.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn open(&self) -> Client {
        Client { directory: Directory::open(self.path()).unwrap() }
    }

    /// Everything that lies below `path`, files and folders, relative.
    pub(crate) fn entries(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.path().join(below)];
        while let Some(dir) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(self.path()).unwrap().to_owned());
                open.push(path);
            }
        }
        found.sort();
        found
    }

    /// What is staged: everything in the temporary folders but the locks of living instances.
    pub(crate) fn staged(&self) -> Vec<PathBuf> {
        let mut staged = self.entries(".sealgate/tmp");
        staged.retain(|path| path.components().count() > 3 && !path.ends_with("alive"));
        staged
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The text of every element with this name, unescaped only as far as tests need.
    pub(crate) fn all(&self, element: &str) -> Vec<String> {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let texts = self.text().split(&open).skip(1);
        texts.map(|rest| rest.split(&close).next().unwrap().replace("&quot;", "\"").replace("&amp;", "&")).collect()
    }

    pub(crate) fn one(&self, element: &str) -> String {
        let mut all = self.all(element);
        assert_eq!(all.len(), 1, "{element} in {}", self.text());
        all.remove(0)
    }

    /// The error code, or the status where there is none.
    pub(crate) fn code(&self) -> String {
        if self.status.is_success() || self.body.is_empty() {
            self.status.as_str().to_owned()
        } else {
            self.one("Code")
        }
    }

    pub(crate) fn etag(&self) -> String {
        self.header("etag").trim_matches('"').to_owned()
    }
}

pub(crate) fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A key as it stands in a path.
pub(crate) fn quote(key: &str) -> String {
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string()
}

impl Client {
    pub(crate) async fn send(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        bytes: impl Into<Bytes>,
    ) -> Reply {
        let bytes: Bytes = bytes.into();
        let mut request = Request::builder().method(method).uri(uri).header("content-length", bytes.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(body(bytes)).unwrap()).await
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Reply {
        let response = self.directory.call(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body of a response is complete").to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn make(&self, bucket: &str) {
        let reply = self.send("PUT", &format!("/{bucket}"), &[], "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> Reply {
        self.put_with(bucket, key, &[], bytes).await
    }

    pub(crate) async fn put_with(
        &self,
        bucket: &str,
        key: &str,
        headers: &[(&str, &str)],
        bytes: impl Into<Bytes>,
    ) -> Reply {
        self.send("PUT", &format!("/{bucket}/{}", quote(key)), headers, bytes).await
    }

    pub(crate) async fn get(&self, bucket: &str, key: &str) -> Reply {
        self.get_with(bucket, key, &[]).await
    }

    pub(crate) async fn get_with(&self, bucket: &str, key: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", &format!("/{bucket}/{}", quote(key)), headers, "").await
    }

    pub(crate) async fn head(&self, bucket: &str, key: &str) -> Reply {
        self.send("HEAD", &format!("/{bucket}/{}", quote(key)), &[], "").await
    }

    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> Reply {
        self.send("DELETE", &format!("/{bucket}/{}", quote(key)), &[], "").await
    }

    /// All keys and common prefixes of a listing, page by page.
    pub(crate) async fn list(&self, bucket: &str, query: &str, page: usize) -> (Vec<String>, Vec<String>) {
        let (mut keys, mut groups, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let uri = format!("/{bucket}?list-type=2&encoding-type=url&max-keys={page}&{query}{token}");
            let reply = self.send("GET", &uri, &[], "").await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let unquote =
                |text: String| percent_encoding::percent_decode_str(&text).decode_utf8().unwrap().into_owned();
            let before = keys.len() + groups.len();
            keys.extend(reply.all("Key").into_iter().map(unquote));
            for group in reply.all("CommonPrefixes") {
                let group = group.replace("<Prefix>", "").replace("</Prefix>", "");
                groups.push(unquote(group));
            }
            assert!(keys.len() + groups.len() - before <= page);
            assert_eq!(reply.one("KeyCount"), (keys.len() + groups.len() - before).to_string());
            if reply.one("IsTruncated") == "false" {
                return (keys, groups);
            }
            token = format!("&continuation-token={}", reply.one("NextContinuationToken"));
        }
    }
}
