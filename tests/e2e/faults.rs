//! Upstreams that misbehave: their callers get an honest answer, and the breaker a failure.

use std::time::Duration;

use breaker_tests::{Answer, Script, Setup, Sidecar, Upstream, get, send};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;

use crate::traffic::in_turn;

async fn one_failure(sidecar: &Sidecar) {
    let metrics = sidecar.metrics().await;
    assert_eq!(
        metrics.requests("pay", "failure"),
        1.0,
        "{}",
        metrics.text()
    );
    assert_eq!(metrics.requests("pay", "success"), 0.0);
}

fn has_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let proxy_status = answer.header("proxy-status");
    assert!(
        proxy_status.contains(&format!("error={error}")),
        "{proxy_status}"
    );
}

#[tokio::test]
async fn an_upstream_that_refuses_is_502() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    drop(upstream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    has_error(&get(sidecar.url("/pay/x")).await, 502, "connection_refused");
    one_failure(&sidecar).await;
}

#[tokio::test]
async fn an_upstream_that_resets_is_502() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Reset);
    let sidecar = Setup::of(upstream.address()).start().await;
    has_error(
        &get(sidecar.url("/pay/x")).await,
        502,
        "connection_terminated",
    );
    one_failure(&sidecar).await;
}

#[tokio::test]
async fn an_upstream_that_answers_garbage_is_502() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Garbage);
    let sidecar = Setup::of(upstream.address()).start().await;
    has_error(
        &get(sidecar.url("/pay/x")).await,
        502,
        "http_protocol_error",
    );
    one_failure(&sidecar).await;
}

#[tokio::test]
async fn an_upstream_that_hangs_is_504_after_the_routes_timeout() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Hang);
    let setup = Setup::of(upstream.address()).route("timeout: 300ms");
    let sidecar = setup.start().await;
    has_error(
        &get(sidecar.url("/pay/x")).await,
        504,
        "http_response_timeout",
    );
    one_failure(&sidecar).await;
    breaker_tests::eventually!(upstream.in_flight() == 0, "the service was not told");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_never_a_truncated_success() {
    let upstream = Upstream::start().await;
    upstream.play(Script::CloseMidBody);
    let sidecar = Setup::of(upstream.address()).start().await;
    let request = Request::get(sidecar.url("/pay/x"));
    let answer = send(request.body(Empty::<Bytes>::new()).unwrap()).await;
    assert!(answer.is_err(), "{answer:?}");
    one_failure(&sidecar).await;
}

#[tokio::test]
async fn faults_open_the_breaker_as_errors_do() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Reset);
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 21).await[19..], [502, 503]);
}

#[tokio::test]
async fn a_pooled_connection_that_the_service_closed_fails_no_request() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 3).await, [200; 3]);
    let address = upstream.address();
    drop(upstream);
    let _again = Upstream::start_at(address).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(in_turn(&sidecar, 3).await, [200; 3]);
}
