//! What a browser gets at the admin listener where no route of the interface is: the console, or where it can be had.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse as _, Response};

use crate::admin::problem::Problem;

const NO_CONSOLE: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Sealgate gateway</title></head>
<body>
<h1>Sealgate gateway</h1>
<p>This build has no web console (<code>make build</code> has). Use the command line (<code>sealgate kms</code>,
<code>sealgate bucket</code>) or the interface described at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>
</body>
</html>
";

/// The console's files and views; for everything else that there is no such route.
pub(crate) async fn fallback(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(response) = ::console::GATEWAY.answer(&method, uri.path(), &headers) {
        response.map(Body::from)
    } else if method == Method::GET && uri.path() == "/" {
        ([(CONTENT_TYPE, "text/html; charset=utf-8")], NO_CONSOLE).into_response()
    } else {
        Problem::not_found("there is no such route; /api/v1/openapi.json lists all").into_response()
    }
}
