//! The web consoles, embedded: one single-page application for each service.
//!
//! ```text
//! dashboards/console/dist/{central,gateway} ──at compile time──▶ CENTRAL, GATEWAY
//! GET path ──▶ Console::answer ──▶ a file (hashed name: kept for ever; .br or .gz as the browser takes it)
//!                              ──▶ any other path that is no file: index.html, whose script reads the path
//!                              ──▶ none: not ours, the service answers
//! ```
//! Everything comes from the binary: no other origin is named, and the content security policy lets none pass. A build
//! without `make console` embeds nothing; then [`Console::is_built`] is false, and nothing is answered.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../../dashboards/console/dist/central"]
#[allow_missing = true]
struct CentralFiles;

#[derive(RustEmbed)]
#[folder = "../../dashboards/console/dist/gateway"]
#[allow_missing = true]
struct GatewayFiles;

/// Central's console.
pub static CENTRAL: Console = Console { find: CentralFiles::get };

/// The gateway's console.
pub static GATEWAY: Console = Console { find: GatewayFiles::get };

/// The page of every view.
const INDEX: &str = "index.html";

/// Stands in [`INDEX`] where the nonce goes.
const NONCE: &str = "__CSP_NONCE__";

/// Paths below this are the service's interface.
const INTERFACE: &str = "api";

/// Folder of the files whose names carry a digest of their content.
const ASSETS: &str = "assets/";

/// An application and its files.
pub struct Console {
    find: fn(&str) -> Option<EmbeddedFile>,
}

impl Console {
    /// Whether this build has it.
    pub fn is_built(&self) -> bool {
        (self.find)(INDEX).is_some()
    }

    /// The answer to a request that no route of the service takes; none where it is not for the console: another method
    /// than GET and HEAD, the interface's paths, an asset that does not exist, a build without console.
    pub fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let path = path.trim_start_matches('/');
        if path == INTERFACE || path.strip_prefix(INTERFACE).is_some_and(|rest| rest.starts_with('/')) {
            return None;
        }
        if path.is_empty() || path == INDEX {
            return self.index();
        }
        match (self.find)(path) {
            Some(file) => Some(self.file(path, file, headers)),
            // A script of an older version: saying 404 lets the page know that it has to be loaded anew.
            None if path.starts_with(ASSETS) => None,
            None => self.index(),
        }
    }

    /// The page, with a nonce of its own.
    fn index(&self) -> Option<Response<Bytes>> {
        let page = (self.find)(INDEX)?;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let page = String::from_utf8_lossy(&page.data).replace(NONCE, &nonce);
        let mut response = Response::new(Bytes::from(page));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, policy(&nonce));
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
        Some(response)
    }

    /// A file as the browser takes it.
    fn file(&self, path: &str, plain: EmbeddedFile, asked: &HeaderMap) -> Response<Bytes> {
        let packed = ["br", "gzip"].into_iter().find_map(|coding| {
            let ending = if coding == "gzip" { "gz" } else { coding };
            let file = takes(asked, coding).then(|| (self.find)(&format!("{path}.{ending}"))).flatten()?;
            Some((coding, file))
        });
        let (coding, file) = packed.map_or((None, plain), |(coding, file)| (Some(coding), file));
        let etag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
        let known = asked.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
        let mut response = if known {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(bytes_of(file.data))
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(path)));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let keep = if path.starts_with(ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(ETAG, HeaderValue::try_from(etag).expect("hexadecimal digits are legal in a header"));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    }
}

/// Scripts come from here alone. Styles that the component library makes at run time carry the nonce; script has none.
fn policy(nonce: &str) -> HeaderValue {
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(text).expect("a UUID is legal in a header")
}

/// Whether the browser takes the coding (RFC 9110, 12.5.3). `*` is not heeded: it never has to be.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
            let refused = parts
                .filter_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
            named && !refused
        })
}

/// What the build makes; anything else is bytes that no browser executes.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn bytes_of(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    }
}

#[cfg(test)]
mod tests;
