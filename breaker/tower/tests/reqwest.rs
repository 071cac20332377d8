//! `reqwest::Client` behind a breaker, against servers on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees test functions only, not their helpers"
)]

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Redirect;
use axum::{Router, routing::get};
use breaker_tower::breaker_core::policy::{Condition, TripEntry};
use breaker_tower::{BreakerHandle, BreakerLayer, CallError, Policy, State, rejection};
use reqwest::{Client, Method, Request, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

/// Opens at the third failure in a row.
fn breaker() -> BreakerHandle {
    let entry = TripEntry::open([Condition::ConsecutiveFailures(3)]);
    BreakerHandle::new(
        "pay",
        Policy::builder("third").trip([entry]).build().unwrap(),
    )
}

fn counted(breaker: &BreakerHandle) -> (u64, u64, u64) {
    let totals = breaker.snapshot().totals;
    (totals.success, totals.failure, totals.ignored)
}

/// The base of the URLs of a server.
async fn serving() -> Url {
    let app = Router::new()
        .route("/good", get(async || "paid"))
        .route("/missing", get(async || StatusCode::NOT_FOUND))
        .route("/bad", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route("/slow", get(std::future::pending::<&str>))
        .route("/moved", get(async || Redirect::to("/good")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url.parse().unwrap()
}

#[tokio::test]
async fn an_answer_keeps_its_url_and_counts_when_its_body_ends() {
    let (breaker, url) = (breaker(), serving().await);
    let client = Client::new();
    let moved = client.get(url.join("moved").unwrap());
    let answer = breaker.send(moved).await.unwrap();
    assert_eq!(answer.url(), &url.join("good").unwrap());
    assert_eq!(answer.content_length(), Some(4));
    assert_eq!(breaker.snapshot().in_flight, 1);
    assert_eq!(answer.text().await.unwrap(), "paid");
    assert_eq!(counted(&breaker), (1, 0, 0));
    assert_eq!(breaker.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_missing_page_is_a_success_and_three_errors_open() {
    let (breaker, url) = (breaker(), serving().await);
    let client = Client::new();
    let get = |path| client.get(url.join(path).unwrap());
    let missing = breaker.send(get("missing")).await.unwrap();
    assert_eq!(missing.status(), 404);
    for _ in 0..3 {
        drop(breaker.send(get("bad")).await.unwrap());
    }
    assert_eq!(counted(&breaker), (1, 3, 0));
    let rejected = breaker.send(get("good")).await.unwrap_err();
    assert!(matches!(rejected, CallError::Rejected(_)));
}

#[tokio::test]
async fn a_refused_connection_and_a_timeout_are_failures_and_a_bad_request_is_nothing() {
    let (breaker, url) = (breaker(), serving().await);
    let client = Client::new();
    let refused = breaker.send(client.get("http://127.0.0.1:1/")).await;
    assert!(matches!(refused, Err(CallError::Failed(error)) if error.is_connect()));
    let slow = client.get(url.join("slow").unwrap());
    let slow = breaker.send(slow.timeout(Duration::from_millis(20))).await;
    assert!(matches!(slow, Err(CallError::Failed(error)) if error.is_timeout()));
    assert_eq!(counted(&breaker), (0, 2, 0));
    let unbuilt = breaker.send(client.get("no url")).await;
    assert!(matches!(unbuilt, Err(CallError::Failed(error)) if error.is_builder()));
    assert_eq!(counted(&breaker), (0, 2, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure() {
    let breaker = breaker();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    });
    let answer = breaker.send(Client::new().get(url)).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 1, 0));
}

#[tokio::test]
async fn the_layer_takes_the_client_as_it_is() {
    let (breaker, url) = (breaker(), serving().await);
    let service = BreakerLayer::new(breaker.clone()).layer(Client::new());
    let request = |path| Request::new(Method::GET, url.join(path).unwrap());
    let answer = service.clone().oneshot(request("moved")).await.unwrap();
    assert_eq!(answer.url(), &url.join("good").unwrap());
    assert_eq!(answer.text().await.unwrap(), "paid");
    for _ in 0..3 {
        drop(service.clone().oneshot(request("bad")).await.unwrap());
    }
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::Open, (1, 3, 0))
    );
    let error = service.oneshot(request("good")).await.unwrap_err();
    assert!(rejection(&*error).is_some());
}
