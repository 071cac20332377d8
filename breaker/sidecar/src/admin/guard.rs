//! What a browser may and may not do with the admin port.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};

use crate::hosts;

/// Answers only requests that were meant for this machine. A page of another site can point a name
/// of its own at 127.0.0.1 (DNS rebinding) and would then read what is here; but its requests carry
/// that name. Browsers speak HTTP/2 over TLS only, where such a name has no certificate; other
/// clients call a server by names of their own: Envoy by that of the cluster.
pub(super) async fn refuse_foreign_hosts(request: Request, next: Next) -> Response {
    let host = hosts::named(request.uri(), request.headers());
    if request.version() == Version::HTTP_2 || host.is_some_and(|host| hosts::is_local(host.host()))
    {
        next.run(request).await
    } else {
        let text = "this port answers only to localhost\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    }
}

/// Adds what keeps answers from being cached, framed, sniffed or read by other sites, where they
/// don't say otherwise themselves.
pub(super) async fn secure(mut response: Response) -> Response {
    for (name, value) in SECURITY {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

const SECURITY: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
];
