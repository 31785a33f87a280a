//! What the door says of itself: the OpenAPI document for programs, a page made from it for people. Both are open to all, like the
//! contract that they tell, and need nothing from outside of the service.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

/// Each file with its path and media type.
const FILES: [(&str, &str, &str); 5] = [
    ("/openapi.json", "application/json", include_str!("../../docs/openapi.json")),
    ("/docs", "text/html; charset=utf-8", include_str!("docs/page.html")),
    ("/docs/page.css", "text/css; charset=utf-8", include_str!("docs/page.css")),
    ("/docs/page.js", "text/javascript; charset=utf-8", include_str!("docs/page.js")),
    ("/docs/icon.svg", "image/svg+xml", include_str!("docs/icon.svg")),
];

/// The page loads its own files and calls nobody else; nobody else may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

pub(super) fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| router.route(path, get(async move || file(kind, text))))
}

/// The paths, each to get.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().map(|(path, ..)| path)
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, kind),
        // Another version of the service has another page under the same path.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}
