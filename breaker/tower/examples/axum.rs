//! An axum application with a breaker for each route: the one that fails answers 503 with
//! Retry-After, and the other one goes on.
//!
//! `cargo run -p breaker-tower --example axum`

#![expect(clippy::print_stdout, reason = "an example")]

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Request, Response, StatusCode, header};
use axum::{Router, routing::get};
use breaker_tower::{BreakerLayer, BreakerSet, Policy, State};
use tower::ServiceExt;

/// A handful of routes and not a breaker for each path that a caller makes up.
fn route(request: &Request<Body>) -> String {
    let path = request.extensions().get::<MatchedPath>();
    path.map_or_else(String::new, |path| path.as_str().to_owned())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let routes = BreakerSet::new(Policy::sensitive(), 100);
    let layer = BreakerLayer::per_key(routes.clone(), route)
        .answer()
        .wrap_uploads();
    let app = Router::new()
        .route(
            "/pay/{order}",
            get(async || StatusCode::INTERNAL_SERVER_ERROR),
        )
        .route("/orders", get(async || "none"))
        .route_layer(layer);

    let mut failures = 0;
    loop {
        let answer = call(&app, &format!("/pay/{failures}")).await;
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            let retry_after = &answer.headers()[header::RETRY_AFTER];
            println!("open after {failures} failures; Retry-After: {retry_after:?}");
            break;
        }
        failures += 1;
    }
    assert_eq!(failures, 20);
    assert_eq!(call(&app, "/orders").await.status(), StatusCode::OK);
    let state = |route: &str| routes.peek(route).map(|breaker| breaker.state());
    assert_eq!(state("/pay/{order}"), Some(State::Open));
    assert_eq!(state("/orders"), Some(State::Closed));
}

async fn call(app: &Router, path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty());
    let answer = app.clone().oneshot(request.expect("a good request"));
    answer.await.expect("handlers don't fail")
}
