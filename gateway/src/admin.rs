//! The admin listener: REST with its `OpenAPI` document.
//!
//! ```text
//! request ─▶ guard: token or session ─▶ kms │ buckets │ credentials │ info │ overview │ log │ settings │ session
//!                                        │ objects ─▶ s3/console, as any client's
//!                                          │ a change: Group::edit, durable before the answer
//!                                          ▼
//!                               Keys::configure, so that it holds here at once
//! ```
//! Everything that the console and the command line do, they do here. One file for each noun; refusals in [`problem`].

mod buckets;
mod credentials;
mod guard;
mod info;
mod kms;
mod log;
mod objects;
mod overview;
pub mod problem;
mod session;
mod sessions;
mod settings;
mod transfers;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Floor;
use crate::console;
use crate::group::{Document, Group, GroupError, Refusal};
use crate::keys::Keys;
use crate::s3::Front;
use crate::scan::Scan;
use crate::snapshot::Policies;
use crate::state::ledger::Ledger;
use crate::stats::Recent;
use crate::uplink::Uplink;
use crate::upstream::{Upstream, Upstreams};
use problem::Problem;
pub use sessions::Sessions;
pub use transfers::Transfers;

/// The longest body of a request, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// Generating a large RSA key takes tens of seconds.
const DEADLINE: Duration = Duration::from_mins(2);

/// What the handlers work with.
pub struct Admin {
    /// The group document.
    pub group: Arc<Group>,
    /// KEKs and the KMS behind them.
    pub keys: Keys,
    /// The backends.
    pub upstreams: Arc<Upstreams>,
    /// What is known about stored objects.
    pub ledger: Ledger,
    /// The policy set of Central.
    pub policies: Policies,
    /// The floor of this gateway's configuration.
    pub floor: Floor,
    /// How things stand with Central.
    pub uplink: Uplink,
    /// What is done without being asked.
    pub scan: Arc<Scan>,
    /// Why the start before this one came to nothing.
    pub failed_start: Option<FailedStart>,
    /// Who is logged in.
    pub sessions: Sessions,
    /// What serves clients: requests of the console go the same way.
    pub front: Arc<Front>,
    /// Long bodies.
    pub transfers: Transfers,
    /// The figures of the last two days.
    pub recent: Arc<Recent>,
    /// The newest lines of the log.
    pub log: telemetry::recent::Recent,
}

/// A start that came to nothing: told by the next one that succeeds, since nobody may have seen the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailedStart {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Why.
    pub message: String,
}

type Shared = State<Arc<Admin>>;

/// Set where an answer has none of its own: nothing of the interface is to be shown as a page, framed, or kept.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The routes under `/api/v1`, `/healthz` and `/readyz`, and their `OpenAPI` document.
pub fn router(admin: Arc<Admin>) -> (Router, OpenApi) {
    let (api, document) = described();
    let served = document.clone();
    let mut router = api
        .route("/api/v1/openapi.json", get(|| async move { axum::Json(served) }))
        .route("/api/{*rest}", get(unknown).post(unknown).put(unknown).delete(unknown))
        .route("/healthz", get(info::healthz))
        .route("/readyz", get(info::readyz))
        .fallback(console::fallback)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(Extension(Arc::clone(&admin)))
        .layer(CatchPanicLayer::custom(|_| Problem::internal(&"a handler panicked").into_response()))
        .with_state(admin);
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        router = router.layer(SetResponseHeaderLayer::if_not_present(name, value));
    }
    (router, document)
}

/// The routes under `/api/v1` and their document.
fn described() -> (Router<Arc<Admin>>, OpenApi) {
    let deadline = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, DEADLINE);
    let open = OpenApiRouter::new().routes(routes!(session::log_in)).layer(from_fn(guard::same_origin));
    // What streams has bounds of its own.
    let guarded = guarded().layer(deadline).merge(streams()).layer(from_fn(guard::authenticate));
    let all = open.layer(deadline).merge(guarded);
    let (router, mut document) = OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", all).split_for_parts();
    name_operations(&mut document);
    (router, document)
}

/// Names each operation by its noun too: the name must be unique in the document, and handlers of several nouns are
/// called `list`.
fn name_operations(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let noun = operation.tags.as_ref().and_then(|tags| tags.first());
            if let (Some(noun), Some(name)) = (noun, &operation.operation_id) {
                operation.operation_id = Some(format!("{noun}.{name}"));
            }
        }
    }
}

/// Every route that needs a token or a session.
fn guarded() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(session::who, session::log_out))
        .routes(routes!(info::info))
        .routes(routes!(info::policies))
        .routes(routes!(info::central))
        .routes(routes!(overview::overview))
        .routes(routes!(overview::series))
        .routes(routes!(overview::backends))
        .routes(routes!(log::lines))
        .routes(routes!(kms::list, kms::add))
        .routes(routes!(kms::generate))
        .routes(routes!(kms::flush))
        .routes(routes!(kms::show, kms::remove))
        .routes(routes!(kms::activate))
        .routes(routes!(kms::rotate))
        .routes(routes!(kms::probe))
        .routes(routes!(kms::remove_key))
        .routes(routes!(kms::copies::copy))
        .routes(routes!(kms::copies::backup))
        .routes(routes!(buckets::list, buckets::create))
        .routes(routes!(buckets::show, buckets::remove))
        .routes(routes!(buckets::encryption))
        .routes(routes!(buckets::settings))
        .routes(routes!(credentials::list, credentials::add))
        .routes(routes!(credentials::change, credentials::remove))
        .routes(routes!(credentials::list_tokens, credentials::add_token))
        .routes(routes!(credentials::remove_token))
        .routes(routes!(objects::path))
        .routes(routes!(objects::list))
        .routes(routes!(objects::status))
        .routes(routes!(settings::show))
        .routes(routes!(settings::set_floor))
        .routes(routes!(settings::set_former_places))
}

/// The same, of those whose bodies may take longer than any deadline: see [`transfers`].
fn streams() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(objects::download, objects::upload, objects::delete))
        .routes(routes!(log::events))
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Sealgate gateway", description = "Administration of a gateway group"),
    modifiers(&Schemes),
    security(("token" = []), ("session" = []))
)]
struct Api;

struct Schemes;

impl utoipa::Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let about = "The cookie that POST /session sets; behind a port, its name ends in _PORT. A request that changes \
                     something needs the header X-Sealgate-Request too.";
        let session = ApiKeyValue::with_description("sealgate_gateway_session", about);
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", token);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

async fn unknown() -> Problem {
    Problem::not_found("there is no such route; /api/v1/openapi.json lists all")
}

impl Admin {
    /// Changes the group document; the change holds at this member when the answer is sent.
    async fn edit<T>(&self, edit: impl Fn(&mut Document) -> Result<T, Refusal>) -> Result<T, GroupError> {
        let result = self.group.edit(edit).await?;
        self.keys.configure(&self.group.document()).await;
        Ok(result)
    }

    /// Where a bucket that clients see lies: the backend and the bucket's name there.
    fn place(&self, bucket: &str) -> Result<(&Upstream, String), Problem> {
        let system = self.group.system().bucket();
        let (upstream, backing) = match self.group.document().bucket(bucket).mapping {
            None => (self.upstreams.home(), bucket.to_owned()),
            Some(mapping) => {
                let backend = self.upstreams.get(&mapping.backend);
                let missing = || Problem::conflict(format!("this gateway has no backend {}", mapping.backend));
                (backend.ok_or_else(missing)?, mapping.backing_bucket)
            }
        };
        if backing == system && upstream.name() == self.upstreams.home().name() {
            return Err(Problem::not_found(format!("there is no bucket {bucket}")));
        }
        Ok((upstream, backing))
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
fn rfc3339(unix_ms: u64) -> String {
    let nanoseconds = i128::from(unix_ms) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|moment| moment.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
