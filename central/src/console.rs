//! What a browser gets at `/`: until the console is embedded, a page that says where the interface is.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Sealgate Central</title></head>
<body>
<h1>Sealgate Central</h1>
<p>This build has no web console. Use the command line (<code>sealgate policy</code>, <code>sealgate gateway</code>,
<code>sealgate stats</code>) or the interface described at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>
</body>
</html>
";

/// The page.
pub async fn page() -> Response {
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)], PAGE).into_response()
}
