//! Requests of pages from elsewhere (CORS): the rules are the storage's, and so is the answer.
//!
//! A preflight is unsigned, as everywhere: it tells nothing but what the rules say of an origin. What a request itself is
//! answered may not have come from the storage, or for a request of another method; the storage is then asked what it
//! would have said of the origin.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN, VARY};
use http::request::Parts;
use http::{HeaderMap, Method, Request as HttpRequest, Response, Uri};

use super::Front;
use super::access::spoken_to_by;
use super::address::Address;
use super::error::Error;
use super::headers::{client_response, to_client};
use super::operations::Scope;
use super::request::{Principal, parse_query};
use crate::upstream::{self, Body};

/// What a browser asks in a preflight.
const ASKED: [&str; 3] = ["origin", METHOD, "access-control-request-headers"];
/// The method that a page would use.
const METHOD: &str = "access-control-request-method";

/// What of a request decides whether its answer may be read by the page that sent it.
pub(super) struct Asking {
    address: Address,
    headers: HeaderMap,
    /// Whose access key it names.
    named: Principal,
}

impl Asking {
    /// None: no browser asks for a page from elsewhere.
    pub(super) fn read<B>(front: &Front, request: &HttpRequest<B>) -> Option<Self> {
        if !request.headers().contains_key(ORIGIN) || request.method() == Method::OPTIONS {
            return None;
        }
        let address = Address::of(&front.settings.domains, request.uri(), request.headers()).ok()?;
        let mut headers = asked(request.headers());
        // Some clients say what they would ask for.
        let method = HeaderValue::from_str(request.method().as_str()).ok()?;
        headers.entry(METHOD).or_insert(method);
        Some(Self { address, headers, named: named(request.uri(), request.headers()) })
    }
}

/// Whose access key a request names; nothing is verified. The same name may be another bucket to another identity at the
/// storage, and all that an identity is told here is what the rules of its bucket say.
fn named(uri: &Uri, headers: &HeaderMap) -> Principal {
    let query = parse_query(uri.query()).unwrap_or_default();
    let value = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.and_then(|text| text.split("Credential=").nth(1)?.split(',').next());
    let scoped = value("X-Amz-Credential").or(header).and_then(|scope| scope.rsplitn(5, '/').nth(4));
    let key = scoped.or(value("AWSAccessKeyId"));
    key.map_or(Principal::Console, |key| Principal::Key(key.to_owned()))
}

fn asked(headers: &HeaderMap) -> HeaderMap {
    ASKED.into_iter().filter_map(|name| Some((HeaderName::from_static(name), headers.get(name)?.clone()))).collect()
}

impl Front {
    /// Answers a preflight as the storage does.
    pub(super) async fn preflight(&self, head: &Parts) -> Result<Response<Body>, Error> {
        let address = Address::of_head(&self.settings.domains, head)?;
        if address.scope == Scope::Service {
            return Err(Error::method_not_allowed("A preflight asks for a bucket or an object."));
        }
        let asking = Asking { address, headers: asked(&head.headers), named: named(&head.uri, &head.headers) };
        let response = self.ask_rules(asking).await?;
        let (head, body) = response.into_parts();
        Ok(client_response(head.status, to_client(&head.headers), body))
    }

    /// Says in an answer what the storage's rules say of the request's origin, where that is not said already.
    pub(super) async fn show_rules(&self, asking: Asking, response: &mut Response<Body>) {
        let said = |headers: &HeaderMap| headers.contains_key("access-control-allow-origin");
        if said(response.headers()) || asking.address.scope == Scope::Service {
            return;
        }
        match self.ask_rules(asking).await {
            Ok(rules) if rules.status().is_success() && said(rules.headers()) => {
                let of_cors = |name: &HeaderName| name.as_str().starts_with("access-control-") || *name == VARY;
                for (name, value) in rules.headers().iter().filter(|(name, _)| of_cors(name)) {
                    response.headers_mut().insert(name.clone(), value.clone());
                }
            }
            // Without them the browser keeps the answer from the page.
            Ok(_) => {}
            Err(error) => tracing::debug!(cause = error.cause(), "rules of CORS cannot be asked for"),
        }
    }

    async fn ask_rules(&self, asking: Asking) -> Result<Response<Body>, Error> {
        let Asking { address, headers, named } = asking;
        let document = self.group.document();
        let place = self.place(&document, &address.bucket)?;
        let upstream = spoken_to_by(&named, &document, &place.upstream)?;
        let key = Some(address.key.as_str()).filter(|key| !key.is_empty());
        let mut request = HttpRequest::new(upstream::empty());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = upstream::uri(&place.bucket, key, &[]);
        *request.headers_mut() = headers;
        self.send(&upstream, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_is_found_where_a_request_names_it() {
        let found = |target: &str, authorization: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())]);
            named(&target.parse().unwrap(), &headers).access_key().to_owned()
        };
        let header = "AWS4-HMAC-SHA256 Credential=AK/20300101/r/s3/aws4_request, SignedHeaders=host, Signature=00";
        assert_eq!(found("/b/k", header), "AK");
        assert_eq!(found("/b/k?X-Amz-Credential=A%2FK%2F20300101%2Fr%2Fs3%2Faws4_request", ""), "A/K");
        assert_eq!(found("/b/k?AWSAccessKeyId=AK&Signature=s", ""), "AK");
        assert_eq!(found("/b/k?X-Amz-Credential=AK", "Credential="), Principal::Console.access_key());
    }
}
