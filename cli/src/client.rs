//! The REST client: bearer token in, JSON out, problems as failures.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::failure::{Failure, Problem};

/// Longest time for one answer; of a download, between two pieces of it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// One service and the token to speak to it.
pub(crate) struct Client {
    base: String,
    token: String,
    http: reqwest::Client,
    /// Without an end, as long as bytes come.
    downloads: reqwest::Client,
}

/// What a service answered, when it did not refuse.
pub(crate) struct Answer {
    /// The body; null where there is none.
    pub(crate) body: Value,
}

impl Client {
    /// `url` is the address of the console, without `/api/v1`.
    pub(crate) fn new(url: &str, token: &str) -> Self {
        Self::with_patience(url, token, TIMEOUT, TIMEOUT)
    }

    /// `whole`: for an answer from the first byte to the last; `pause`: within a download.
    fn with_patience(url: &str, token: &str, whole: Duration, pause: Duration) -> Self {
        let builder = || reqwest::Client::builder().connect_timeout(Duration::from_secs(10));
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().expect("a client with two timeouts can be built once a TLS provider is installed")
        };
        Self {
            base: url.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            http: build(builder().timeout(whole)),
            downloads: build(builder().read_timeout(pause)),
        }
    }

    /// A reading request; `path` begins behind `/api/v1`.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        Ok(self.call(Method::GET, path, query, None, None).await?.body)
    }

    /// A creating request or an order.
    pub(crate) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        Ok(self.call(Method::POST, path, &[], Some(body), None).await?.body)
    }

    /// An order whose body is JSON that holds a secret; wiped once it is sent, as far as it is ours.
    pub(crate) async fn post_secret(&self, path: &[&str], body: Zeroizing<Vec<u8>>) -> Result<Value, Failure> {
        let request = self.http.post(self.url(path)?).header("content-type", "application/json");
        Ok(self.send(request.body(Bytes::from_owner(body))).await?.body)
    }

    /// A request whose body is a text that the service reads by itself, such as policies.
    pub(crate) async fn post_text(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        text: String,
        if_match: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut request =
            self.http.post(self.url(path)?).query(query).header("content-type", "application/yaml").body(text);
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        Ok(self.send(request).await?.body)
    }

    /// All pages of a list: the first answer with the entries of every page in its field `list`. `cursor` is the
    /// parameter that takes the `next` of the page before.
    pub(crate) async fn pages(&self, path: &[&str], list: &str, cursor: &str) -> Result<Value, Failure> {
        let mut all = self.get(path, &[]).await?;
        let mut next = all.get_mut("next").map_or(Value::Null, Value::take);
        while !next.is_null() {
            let at = next.as_str().map_or_else(|| next.to_string(), str::to_owned);
            let mut page = self.get(path, &[(cursor, &at)]).await?;
            let entries = (all.get_mut(list), page.get_mut(list));
            match (entries.0.and_then(Value::as_array_mut), entries.1.and_then(Value::as_array_mut)) {
                (Some(all), Some(more)) if !more.is_empty() => all.append(more),
                _ => return Err(Failure::refused(format!("{} answered a list without {list}", self.base))),
            }
            next = page.get_mut("next").map_or(Value::Null, Value::take);
        }
        if let Some(all) = all.as_object_mut() {
            all.remove("next");
        }
        Ok(all)
    }

    /// Any request. Segments of `path` are encoded here.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
        if_match: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(method, self.url(path)?).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let response = request.bearer_auth(&self.token).send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let body = if bytes.is_empty() { Value::Null } else { parse(&bytes, status, &self.base)? };
        if status.is_success() { Ok(Answer { body }) } else { Err(refusal(status, body)) }
    }

    /// The bytes of an answer that is no JSON, as they come.
    pub(crate) async fn download(&self, path: &[&str]) -> Result<reqwest::Response, Failure> {
        let request = self.downloads.get(self.url(path)?).bearer_auth(&self.token);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Err(refusal(status, parse(&bytes, status, &self.base)?))
    }

    fn url(&self, path: &[&str]) -> Result<url::Url, Failure> {
        let refused = |_| Failure::Usage(format!("{:?} is not the address of a service", self.base));
        let mut url = url::Url::parse(&self.base).map_err(refused)?;
        url.path_segments_mut()
            .map_err(|()| Failure::Usage(format!("{:?} is not the address of a service", self.base)))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        Ok(url)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::Unreachable(format!("{} does not answer: {cause}", self.base))
    }
}

fn parse(bytes: &[u8], status: StatusCode, base: &str) -> Result<Value, Failure> {
    serde_json::from_slice(bytes).map_err(|_| {
        let start: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
        Failure::refused(format!("{base} answered {status} with something that is no JSON: {start}"))
    })
}

fn refusal(status: StatusCode, body: Value) -> Failure {
    if body.get("title").is_some() || body.get("detail").is_some() {
        return Failure::Refused(Problem::from_service(body));
    }
    Failure::refused(format!("the service refused: {status}"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    /// A service that answers with a piece each third of the short time, and after `pieces` of `length` never again.
    async fn slow(pieces: u32, length: u32) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("written");
            for _ in 0..pieces {
                tokio::time::sleep(SHORT / 3).await;
                stream.write_all(b".").await.expect("written");
            }
            std::future::pending::<()>().await;
        });
        format!("http://{address}")
    }

    async fn download(url: &str, whole: Duration, pause: Duration) -> Result<usize, reqwest::Error> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::with_patience(url, "token", whole, pause);
        let mut answer = client.download(&["audit", "export"]).await.expect("it answers");
        let mut bytes = 0;
        while let Some(chunk) = answer.chunk().await? {
            bytes += chunk.len();
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_download_may_take_longer_than_an_answer() {
        let url = slow(6, 6).await;
        assert_eq!(download(&url, SHORT, TIMEOUT).await.expect("whole"), 6);
    }

    #[tokio::test]
    async fn a_download_that_stands_still_is_given_up() {
        let url = slow(1, 2).await;
        assert!(download(&url, TIMEOUT, SHORT).await.expect_err("it stands still").is_timeout());
    }
}
