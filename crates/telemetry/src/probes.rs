//! `/metrics`, `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

/// Is the service ready for work, and if not, why not; asked at each `/readyz`, so it must be cheap.
pub type Health = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

#[derive(Clone)]
struct Shared {
    registry: Arc<Registry>,
    ready: Health,
}

/// The three routes. `/healthz` says that the process answers; `/readyz` is 503 with the reason while it cannot work.
pub fn router(registry: Arc<Registry>, ready: Health) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(Shared { registry, ready })
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let mut text = String::with_capacity(16 * 1024);
    match prometheus_text::encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded\n").into_response()
        }
    }
}

async fn readiness(State(shared): State<Shared>) -> Response {
    match (shared.ready)() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::http::Request;
    use prometheus_client::metrics::counter::Counter;
    use tower::ServiceExt;

    async fn get(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(axum::body::Body::empty()).expect("a legal request");
        let response = router.clone().oneshot(request).await.expect("the router answers");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a small body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_service_that_is_not_ready_says_why() {
        let router = router(Arc::new(crate::registry()), Arc::new(|| Err("no database".to_owned())));
        assert_eq!(get(&router, "/healthz").await.0, StatusCode::OK);
        let (status, text) = get(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("no database"), "{text}");
    }

    #[tokio::test]
    async fn a_counter_is_shown_under_its_whole_name() {
        let mut registry = crate::registry();
        let counter = Counter::<u64>::default();
        counter.inc_by(3);
        registry.register("reports", "Reports merged", counter);
        let (_, text) = get(&router(Arc::new(registry), Arc::new(|| Ok(()))), "/metrics").await;
        assert!(text.contains("# TYPE sealgate_reports_total counter\nsealgate_reports_total 3\n"), "{text}");
    }
}
