//! Every REST route, one line each, with the permission it needs.
//!
//! ```text
//! request ─▶ limits, panics caught ─▶ guard: who is calling, from where, with what right ─▶ Permit ─▶ handler
//!         ◀─ headers, every refusal an RFC 9457 problem ◀─ (creates: idempotency key) ◀──────────────────┘
//! ```
//! The `OpenAPI` document is made from the same lines, so that a route cannot be served and not described.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::app::App;
use crate::caller::Permission;
use crate::policies::Policies;
use crate::rpc::Services;
use crate::{audit, config, console, enrolment, gateways, live, notifications, operators, overview, policies, stats};

mod guard;
mod idempotency;
mod problems;

/// Where the interface is.
pub const BASE: &str = "/api/v1";

/// Longest body of a request: the largest text with several policies, and its frame.
const BODY_BYTES: usize = policy::limits::MAX_TEXT_BYTES + 64 * 1024;

/// Longest time of a request; an export may take longer once it has begun to answer.
const REQUEST: Duration = Duration::from_mins(1);

/// Every route of the interface.
fn table(table: Table) -> Table {
    use Permission as P;
    table
        .open(routes!(operators::rest::log_in))
        .needs(P::OwnSession, routes!(operators::rest::who))
        .needs(P::OwnSession, routes!(operators::rest::log_out))
        .needs(P::OwnSession, routes!(operators::rest::own_password))
        .needs(P::ManageOperators, routes!(operators::rest::list))
        .creates(P::ManageOperators, routes!(operators::rest::create))
        .needs(P::ManageOperators, routes!(operators::rest::change))
        .needs(P::ManageOperators, routes!(operators::rest::tokens))
        .creates(P::ManageOperators, routes!(operators::rest::create_token))
        .needs(P::ManageOperators, routes!(operators::rest::revoke_token))
        .needs(P::ReadPolicies, routes!(policies::rest::list))
        .needs(P::ReadPolicies, routes!(policies::rest::get))
        .needs(P::EditPolicies, routes!(policies::rest::put))
        .needs(P::EditPolicies, routes!(policies::rest::delete))
        .needs(P::ReadPolicies, routes!(policies::rest::set))
        .needs(P::EditPolicies, routes!(policies::rest::apply))
        .needs(P::EditPolicies, routes!(policies::rest::roll_back))
        .needs(P::ManageFleet, routes!(policies::rest::begin_lineage))
        .needs(P::ReadPolicies, routes!(policies::rest::check))
        .needs(P::ReadPolicies, routes!(policies::rest::explain))
        .needs(P::ReadPolicies, routes!(policies::rest::explain_draft))
        .needs(P::ReadPolicies, routes!(policies::rest::history))
        .needs(P::ReadPolicies, routes!(policies::rest::revision))
        .needs(P::ReadPolicies, routes!(policies::rest::diff))
        .needs(P::ReadPolicies, routes!(policies::rest::schema))
        .needs(P::ReadOverview, routes!(overview::rest::overview))
        .needs(P::ReadOverview, routes!(overview::rest::series))
        .needs(P::ReadOverview, routes!(notifications::rest::list))
        .needs(P::ReadOverview, routes!(live::rest::events))
        .needs(P::ReadGateways, routes!(stats::rest::convergence))
        .needs(P::ReadGateways, routes!(stats::rest::figures))
        .needs(P::ReadGateways, routes!(stats::rest::kms))
        .needs(P::ReadGateways, routes!(stats::rest::inventories))
        .needs(P::ReadGateways, routes!(stats::rest::coverage))
        .needs(P::ReadOverview, routes!(gateways::rest::list))
        .needs(P::ReadGateways, routes!(gateways::rest::get))
        .needs(P::ReadGateways, routes!(gateways::detail::happened))
        .needs(P::ReadGateways, routes!(gateways::detail::figures))
        .needs(P::ManageGateways, routes!(gateways::rest::relabel))
        .needs(P::ManageGateways, routes!(gateways::rest::suspend))
        .needs(P::ManageGateways, routes!(gateways::rest::resume))
        .needs(P::ManageGateways, routes!(gateways::rest::retire))
        .needs(P::ManageGateways, routes!(gateways::rest::release))
        .needs(P::ManageGateways, routes!(enrolment::rest::list))
        .creates(P::ManageGateways, routes!(enrolment::rest::create))
        .needs(P::ManageGateways, routes!(enrolment::rest::revoke))
        .needs(P::ReadAudit, routes!(audit::rest::list))
        .needs(P::ReadAudit, routes!(audit::rest::export))
        .needs(P::ManageFleet, routes!(config::rest::settings))
}

/// The document of the interface.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sealgate Central",
        description = "The control plane. Refusals are RFC 9457 problems with a stable `code`.",
        version = "1"
    ),
    components(schemas(crate::error::Problem, crate::error::Issue))
)]
struct Document;

/// Routes with their needs, as they are collected.
struct Table {
    router: OpenApiRouter<App>,
    app: App,
}

impl Table {
    /// For everybody.
    fn open(self, (schemas, paths, methods): UtoipaMethodRouter<App>) -> Self {
        let methods = methods.route_layer(middleware::from_fn_with_state(self.app.clone(), guard::same_origin));
        Self { router: self.router.routes((schemas, paths, methods)), ..self }
    }

    /// For those whose role has the permission.
    fn needs(self, permission: Permission, (schemas, paths, methods): UtoipaMethodRouter<App>) -> Self {
        let guard = guard::Guard { app: self.app.clone(), permission };
        let methods = methods.route_layer(middleware::from_fn_with_state(guard, guard::permit));
        Self { router: self.router.routes((schemas, paths, methods)), ..self }
    }

    /// The same, and an idempotency key is heeded.
    fn creates(self, permission: Permission, (schemas, paths, methods): UtoipaMethodRouter<App>) -> Self {
        let methods = methods.route_layer(middleware::from_fn_with_state(self.app.clone(), idempotency::once));
        self.needs(permission, (schemas, paths, methods))
    }
}

/// The routes and their document.
fn collect(app: App) -> (Router<App>, utoipa::openapi::OpenApi) {
    let router = OpenApiRouter::with_openapi(Document::openapi());
    let inner = table(Table { router: OpenApiRouter::new(), app });
    let (router, mut document) = router.nest(BASE, inner.router).split_for_parts();
    name_operations(&mut document);
    (router, document)
}

/// Names each operation by its noun too: the name must be unique in the document, and handlers of several nouns are
/// called `list`.
fn name_operations(document: &mut utoipa::openapi::OpenApi) {
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

/// Everything that the console's listener serves.
pub fn router(app: App) -> Router {
    let (router, document) = collect(app.clone());
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    router
        .route(&format!("{BASE}/openapi.json"), get(async move || Json(document)))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route(&format!("{BASE}/healthz"), get(async || "ok\n"))
        .route(&format!("{BASE}/readyz"), get(ready))
        .fallback(console::fallback)
        .with_state(app)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(problems::only_problems))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST))
        .layer(CatchPanicLayer::custom(problems::after_panic))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed(header::X_FRAME_OPTIONS, "DENY"))
        .layer(fixed(header::CACHE_CONTROL, "no-store"))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
}

async fn ready(axum::extract::State(app): axum::extract::State<App>) -> impl IntoResponse {
    match app.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

impl FromRef<App> for Services {
    fn from_ref(app: &App) -> Self {
        app.services.clone()
    }
}

impl FromRef<App> for Policies {
    fn from_ref(app: &App) -> Self {
        app.policies.clone()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
