//! Several endpoints of one upstream: what one of them does, and what the route makes of it.

use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Route};
use breaker_sidecar::upstream::Endpoint;
use breaker_tower::breaker_core::Balance;
use breaker_tower::{BreakerHandle, Mode, Policy, State};

use crate::harness::{GET, Origin, Sidecar, patient, status};

/// A sidecar before these endpoints, used in turn, with a policy that opens at 8 % of 20 requests.
fn sidecar(origins: &[&Origin]) -> (Sidecar, BreakerHandle) {
    let endpoints = origins
        .iter()
        .map(|origin| Endpoint::Address(origin.address));
    let mut upstream = patient(endpoints.collect());
    upstream.balancing.balance = Balance::RoundRobin;
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    let route = Route::new(breaker.clone(), Arc::new(upstream));
    let limits = Limits::default();
    let sidecar = Sidecar::with_routes(vec![route], breaker.clone(), limits, Duration::ZERO);
    (sidecar, breaker)
}

async fn failing() -> Origin {
    let answer = "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno";
    Origin::answering(move |_, _| answer.to_owned()).await
}

/// Asks until the answers have long been good, which takes a few tenths of a second: that long an
/// endpoint must be worse than the others.
async fn ask_until_good(sidecar: &Sidecar) {
    let mut good = 0;
    for _ in 0..100_000 {
        good = match status(&sidecar.ask(GET).await) {
            "200" => good + 1,
            _ => 0,
        };
        if good == 50 {
            return;
        }
    }
    panic!("the endpoint is still in");
}

#[tokio::test]
async fn one_of_three_that_fails_is_out_and_does_not_open_the_route() {
    let (good, fine, bad) = (Origin::ok().await, Origin::ok().await, failing().await);
    let (sidecar, breaker) = sidecar(&[&good, &bad, &fine]);
    ask_until_good(&sidecar).await;
    assert_eq!(breaker.state(), State::Closed);
    let (_, failures, ignored) = sidecar.totals();
    assert!(failures <= 1, "{failures}");
    assert_eq!(failures + ignored, bad.heads().len() as u64);
}

#[tokio::test]
async fn an_upstream_all_of_whose_endpoints_fail_opens_the_route() {
    let (one, two, three) = (failing().await, failing().await, failing().await);
    let (sidecar, breaker) = sidecar(&[&one, &two, &three]);
    for _ in 0..40 {
        sidecar.ask(GET).await;
    }
    assert_eq!(breaker.state(), State::Open);
    let (_, failures, _) = sidecar.totals();
    assert!(failures >= 15, "{failures}");
}

#[tokio::test]
async fn an_endpoint_that_closes_without_an_answer_does_not_open_the_route_either() {
    let (good, fine) = (Origin::ok().await, Origin::ok().await);
    let closing = Origin::raw(|mut stream| async move {
        crate::harness::read_head(&mut stream).await;
    });
    let closing = closing.await;
    let (sidecar, breaker) = sidecar(&[&good, &closing, &fine]);
    ask_until_good(&sidecar).await;
    assert_eq!(breaker.state(), State::Closed);
    let (_, failures, _) = sidecar.totals();
    assert!(failures <= 1, "{failures}");
}

#[tokio::test]
async fn an_endpoint_that_leads_back_to_us_or_answers_more_than_we_take_is_ejected() {
    let loops = "HTTP/1.1 508 No\r\nProxy-Status: b; error=proxy_loop_detected\r\n\
                 Content-Length: 0\r\n\r\n";
    let fields = "a: b\r\n".repeat(400);
    let much = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    for answer in [loops.to_owned(), much] {
        let (good, fine) = (Origin::ok().await, Origin::ok().await);
        let bad = Origin::answering(move |_, _| answer.clone()).await;
        let (sidecar, breaker) = sidecar(&[&good, &bad, &fine]);
        ask_until_good(&sidecar).await;
        assert_eq!(breaker.state(), State::Closed);
        let (_, failures, _) = sidecar.totals();
        assert_eq!(failures, 0);
    }
}

#[tokio::test]
async fn an_endpoint_whose_calls_end_without_a_status_is_ejected() {
    let answer = |fields: &'static str| {
        Origin::answering(move |_, _| {
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n{fields}")
        })
    };
    let good = "grpc-status: 0\r\nContent-Length: 0\r\n\r\n";
    let without = "Content-Length: 2\r\n\r\nno";
    let (good, fine, bad) = (
        answer(good).await,
        answer(good).await,
        answer(without).await,
    );
    let (sidecar, breaker) = sidecar(&[&good, &bad, &fine]);
    // At the end of an answer it is too late to call it one endpoint's matter.
    breaker.force(Mode::ForcedClosed);
    let mut since_bad = 0;
    for _ in 0..10_000 {
        let before = bad.heads().len();
        assert_eq!(status(&sidecar.ask(GET).await), "200");
        since_bad = match bad.heads().len() == before {
            true => since_bad + 1,
            false => 0,
        };
        if since_bad == 50 {
            return;
        }
    }
    panic!("the endpoint is still in");
}
