//! Who is calling, and from where: before any handler.
//!
//! ```text
//! Authorization: Bearer TOKEN ──────────────▶ a token of the group document ─┐
//! cookie ─▶ changes something? own page only ─▶ a session of this gateway ───┴─▶ Caller ─▶ handler
//! ```
//! A credential that is presented and does not hold is refused, never passed over for another one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Admin;
use super::problem::Problem;
use super::sessions::{Session, Way, cookie_name};

/// Header that a page of another site cannot send without asking first, which it is not allowed.
pub(super) const OWN_HEADER: &str = "x-sealgate-request";

/// Who was let in.
#[derive(Clone)]
pub(super) struct Caller {
    /// Name of the token, for people.
    pub(super) name: String,
    /// Public ID of the token.
    token: String,
    /// The session, where a cookie and not the token itself was presented.
    pub(super) session: Option<Session>,
}

impl Caller {
    /// Whether the token may have copies of keys that were made in place.
    pub(super) fn may_copy_keys(&self, admin: &Admin) -> bool {
        admin.group.document().tokens.get(&self.token).is_some_and(|token| token.may_copy_keys)
    }

    /// Whether what let the caller in still does.
    pub(super) fn still_holds(&self, admin: &Admin) -> bool {
        match &self.session {
            Some(session) => admin.sessions.holds(session, &admin.group.document(), Instant::now()),
            None => admin.group.document().tokens.contains_key(&self.token),
        }
    }
}

/// Lets through who presents a token of the group document, or the cookie of a session; tells what was changed by whom.
pub(super) async fn authenticate(
    Extension(admin): Extension<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match caller(&admin, &request) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if request.method().is_safe() {
        request.extensions_mut().insert(caller);
        return next.run(request).await;
    }
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>();
    // The template of the route: what fills it may name an object.
    let route = matched.map_or_else(String::new, |path| path.as_str().to_owned());
    let (actor, via) = (caller.name.clone(), if caller.session.is_some() { "session" } else { "token" });
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::info!(actor, via, %method, route, status, "administration request is answered");
    response
}

/// Refuses what a page of another site sends; for the route that needs no caller.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    match own_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn caller(admin: &Admin, request: &Request) -> Result<Caller, Problem> {
    let headers = request.headers();
    let document = admin.group.document();
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (from, now) = (address(request), Instant::now());
        admin.sessions.attempts().admit(from, Way::Bearer, now)?;
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let Some(id) = token.and_then(|token| document.token(token)) else {
            admin.sessions.attempts().failed(from, Way::Bearer, now);
            return Err(Problem::unauthorized());
        };
        let name = document.tokens.get(id).map(|token| token.name.clone()).unwrap_or_default();
        return Ok(Caller { name, token: id.to_owned(), session: None });
    }
    let Some(cookie) = session_cookie(headers) else { return Err(Problem::unauthorized()) };
    if !request.method().is_safe() {
        own_page(headers)?;
    }
    let over = || Problem::unauthorized().coded("session-over", "the session is over; log in again");
    let session = admin.sessions.find(cookie, &document, Instant::now()).ok_or_else(over)?;
    let name = document.tokens.get(session.token()).map(|token| token.name.clone()).unwrap_or_default();
    Ok(Caller { name, token: session.token().to_owned(), session: Some(session) })
}

/// A request with a cookie that changes something must come from the console's own page.
fn own_page(headers: &HeaderMap) -> Result<(), Problem> {
    own_origin(headers)?;
    if headers.contains_key(OWN_HEADER) {
        Ok(())
    } else {
        Err(Problem::cross_site("with a cookie, a request that changes something needs the header X-Sealgate-Request"))
    }
}

/// An `Origin`, where one is sent, must be that of the console: a proxy before the gateway keeps `Host` as it is.
fn own_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let same = origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && !host(headers).is_empty() && authority.eq_ignore_ascii_case(host(headers))
    });
    if same { Ok(()) } else { Err(Problem::cross_site("the request comes from a page of another site")) }
}

/// Where the browser believes to be; empty where it does not say.
pub(super) fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let wanted = cookie_name(host(headers));
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

/// Where a request comes from: an IPv4 address, or the network of an IPv6 address, which whoever has it has wholly.
pub(super) fn address(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    match peer.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}
