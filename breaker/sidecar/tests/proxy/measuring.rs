//! What is sent to endpoints is told to telemetry, attempt by attempt and however it ends.

use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Route};
use breaker_sidecar::upstream::{Endpoint, Protocol, Upstream};
use breaker_tower::breaker_core::Balance;
use breaker_tower::{BreakerHandle, Policy};
use tokio::io::AsyncWriteExt;

use crate::harness::{
    GET, OK, Options, Origin, Sidecar, eventually, nobody, patient, read_head, status,
};

async fn told(sidecar: &Sidecar, expected: &[&str]) {
    eventually(&format!("{expected:?}"), || {
        *sidecar.sent.lock().unwrap() == expected
    })
    .await;
}

#[tokio::test]
async fn a_response_is_told_with_its_status_whatever_that_is() {
    let origin = Origin::answering(|head, _| match head {
        head if head.starts_with("HEAD") => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        head if head.starts_with("PUT") => {
            "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n".to_owned()
        }
        _ => OK.to_owned(),
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar.ask(GET).await;
    sidecar.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    sidecar.exchange(put).await;
    let expected = [
        "0 HTTP/1.1 GET 200 None",
        "0 HTTP/1.1 HEAD 204 None",
        "0 HTTP/1.1 PUT 500 None",
    ];
    told(&sidecar, &expected).await;
}

#[tokio::test]
async fn an_endpoint_that_is_passed_over_is_told_too() {
    let good = Origin::ok().await;
    let dead = nobody();
    let endpoints = [dead, good.address].map(Endpoint::Address).to_vec();
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    let mut upstream = patient(endpoints);
    upstream.balancing.balance = Balance::RoundRobin;
    let route = Route::new(breaker.clone(), Arc::new(upstream));
    let sidecar = Sidecar::with_routes(vec![route], breaker, Limits::default(), Duration::ZERO);
    // In turn, from either on.
    for _ in 0..2 {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
    }
    eventually("both are told", || {
        let sent = sidecar.sent.lock().unwrap();
        let told = |one: &str| sent.iter().filter(|sent| *sent == one).count();
        let passed_over = told("0 HTTP/1.1 GET 0 Some(ConnectRefused)");
        passed_over > 0 && told("1 HTTP/1.1 GET 200 None") == 2 && sent.len() == 2 + passed_over
    })
    .await;
}

#[tokio::test]
async fn a_response_that_breaks_off_is_told_with_its_status_and_the_error() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        stream.write_all(half.as_bytes()).await.unwrap();
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar.exchange(GET).await;
    told(&sidecar, &["0 HTTP/1.1 GET 200 Some(ResponseIncomplete)"]).await;
}

#[tokio::test]
async fn a_hung_endpoint_is_told_when_the_request_times_out() {
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sidecar = Sidecar::start(
        origin.address,
        Options {
            route: |route| Route {
                timeout: Some(Duration::from_millis(50)),
                ..route
            },
            ..Options::default()
        },
    );
    assert_eq!(status(&sidecar.ask(GET).await), "504");
    told(&sidecar, &["0 HTTP/1.1 GET 0 Some(ResponseTimeout)"]).await;
}

#[tokio::test]
async fn an_attempt_that_the_caller_gave_up_is_told_so() {
    let origin = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    eventually("it is sent", || origin.connections() == 1).await;
    drop(client);
    told(&sidecar, &["0 HTTP/1.1 GET 0 Some(ClientGone)"]).await;
}

#[tokio::test]
async fn an_http_2_upstream_is_told_by_its_version() {
    let origin = Origin::raw(|_closed_at_once| async {}).await;
    let sidecar = Sidecar::start(
        origin.address,
        Options {
            upstream: |upstream| Upstream {
                protocol: Protocol::H2c,
                ..upstream
            },
            ..Options::default()
        },
    );
    assert_eq!(status(&sidecar.ask(GET).await), "502");
    // What is closed before it took anything is tried over another connection, once.
    eventually("one attempt or two", || {
        let sent = sidecar.sent.lock().unwrap();
        let is_told = |line: &String| line.starts_with("0 HTTP/2.0 GET 0 Some(");
        (1..=2).contains(&sent.len()) && sent.iter().all(is_told)
    })
    .await;
}

#[tokio::test]
async fn what_the_breaker_rejects_was_not_sent() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar.breaker.force(breaker_tower::Mode::ForcedOpen);
    assert_eq!(status(&sidecar.ask(GET).await), "503");
    sidecar.breaker.force(breaker_tower::Mode::Auto);
    sidecar.ask(GET).await;
    told(&sidecar, &["0 HTTP/1.1 GET 200 None"]).await;
}
