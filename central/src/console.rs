//! What a browser gets where no route of the interface is: the console, or where it can be had.

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};

use crate::error::{Error, Kind};

const NO_CONSOLE: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Sealgate Central</title></head>
<body>
<h1>Sealgate Central</h1>
<p>This build has no web console (<code>make build</code> has). Use the command line (<code>sealgate policy</code>,
<code>sealgate gateway</code>, <code>sealgate stats</code>) or the interface described at
<a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>
</body>
</html>
";

/// The console's files and views; for everything else that there is no such route.
pub async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(response) = ::console::CENTRAL.answer(&method, uri.path(), &headers) {
        return response.map(Body::from);
    }
    if method == Method::GET && uri.path() == "/" {
        let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        return ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy)], NO_CONSOLE)
            .into_response();
    }
    Error::new(Kind::NotFound, "There is no such route. See /api/v1/openapi.json.").into_response()
}
