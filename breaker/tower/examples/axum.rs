//! An axum application behind a breaker: it answers 503 with Retry-After while the handler fails.
//!
//! `cargo run -p breaker-tower --example axum`

#![expect(clippy::print_stdout, reason = "an example")]

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::{Router, routing::get};
use breaker_tower::{BreakerHandle, BreakerLayer, Policy, State};
use tower::ServiceExt;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let breaker = BreakerHandle::new("pay", Policy::sensitive());
    let app = Router::new()
        .route("/pay", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route_layer(BreakerLayer::server(breaker.clone()));

    let mut failures = 0;
    loop {
        let request = Request::get("/pay")
            .body(Body::empty())
            .expect("a good request");
        let answer = app
            .clone()
            .oneshot(request)
            .await
            .expect("handlers don't fail");
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            let retry_after = &answer.headers()[header::RETRY_AFTER];
            println!("open after {failures} failures; Retry-After: {retry_after:?}");
            break;
        }
        failures += 1;
    }
    assert_eq!((breaker.state(), failures), (State::Open, 20));
}
