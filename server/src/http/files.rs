//! A folder of files at `/`, such as the demo page. Paths cannot lead out of it.

use std::path::Path;

use axum::Router;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use tower::ServiceBuilder;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

use super::Edge;

/// Serves `folder` for everything that no route has. Browsers ask again each time and get 304 while
/// a file is as it was, so that a new build shows at the next reload.
pub(super) fn under(router: Router<Edge>, folder: &Path) -> Router<Edge> {
    let fixed = |name: HeaderName, value| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    let files = ServiceBuilder::new()
        .layer(fixed(CACHE_CONTROL, "no-cache"))
        .layer(fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .service(ServeDir::new(folder).precompressed_gzip());
    router.fallback_service(files)
}
