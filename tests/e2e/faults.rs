//! Upstreams that misbehave: their callers get an honest answer, and the breaker a failure.

use breaker_tests::{Script, Setup, Upstream, eventually, get, send};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;

use crate::traffic::in_turn;

#[tokio::test]
async fn faults_are_answered_and_open_the_breaker_as_errors_do() {
    for (script, status, error) in [
        (Script::Reset, 502, "connection_terminated"),
        (Script::Garbage, 502, "http_protocol_error"),
        (Script::Hang, 504, "http_response_timeout"),
    ] {
        let upstream = Upstream::start().await;
        upstream.play(script.clone());
        let setup = Setup::of(upstream.address()).route("timeout: 50ms");
        let sidecar = setup.start().await;
        let answer = get(sidecar.url("/pay/x")).await;
        assert_eq!(answer.status, status, "{script:?}: {answer:?}");
        let proxy_status = answer.header("proxy-status");
        assert!(
            proxy_status.contains(&format!("error={error}")),
            "{script:?}: {proxy_status}"
        );
        assert_eq!(
            in_turn(&sidecar, 20).await[18..],
            [status, 503],
            "{script:?}"
        );
        let failures = sidecar.metrics().await.requests("pay", "failure");
        assert_eq!(failures, 20.0, "{script:?}");
        eventually!(upstream.in_flight() == 0, "the service was not told");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_502() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    let sidecar = Setup::of(address).start().await;
    drop(upstream);
    eventually!(tokio::net::TcpStream::connect(address).await.is_err());
    let answer = get(sidecar.url("/pay/x")).await;
    assert_eq!(answer.status, 502);
    assert!(
        answer
            .header("proxy-status")
            .contains("error=connection_refused")
    );
    assert_eq!(in_turn(&sidecar, 20).await[18..], [502, 503]);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_never_a_truncated_success() {
    let upstream = Upstream::start().await;
    upstream.play(Script::CloseMidBody);
    let sidecar = Setup::of(upstream.address()).start().await;
    let request = Request::get(sidecar.url("/pay/x"));
    let answer = send(request.body(Empty::<Bytes>::new()).unwrap()).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(sidecar.metrics().await.requests("pay", "failure"), 1.0);
}

#[tokio::test]
async fn a_pooled_connection_that_the_service_closed_fails_no_request() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 3).await, [200; 3]);
    let address = upstream.address();
    drop(upstream);
    let _again = Upstream::start_at(address).await;
    assert_eq!(in_turn(&sidecar, 3).await, [200; 3]);
}
