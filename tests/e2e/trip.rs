//! What opens a breaker, and what its callers then see.

use std::time::Duration;

use breaker_tests::{Script, Setup, Sidecar, Upstream, calmly, eventually, get};
use http::Response;
use tokio::time::Instant;

use crate::traffic::{at_once, count, in_turn};

#[tokio::test]
async fn opens_at_eight_percent_of_at_least_twenty_requests() {
    let upstream = Upstream::start().await;
    let sidecar = Sidecar::in_front_of(&upstream, "sensitive").await;
    assert_eq!(in_turn(&sidecar, 23).await, [200; 23]);
    upstream.play(Script::Status(500));
    // 1 of 24 is less than 8 %, 2 of 25 are just that.
    assert_eq!(in_turn(&sidecar, 3).await, [500, 500, 503]);
    assert_eq!(
        upstream.count(),
        25,
        "a rejected request reached the service"
    );
}

#[tokio::test]
async fn nineteen_failures_are_too_few_to_judge() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 20).await, [500; 20]);
    assert_eq!(in_turn(&sidecar, 1).await, [503]);
}

#[tokio::test]
async fn tells_callers_why_and_for_how_long() {
    calmly(async || {
        let upstream = Upstream::start().await;
        upstream.play(Script::Status(500));
        let sidecar = Setup::of(upstream.address()).start().await;
        in_turn(&sidecar, 20).await;
        let answer = get(sidecar.url("/pay/x")).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        let proxy_status = answer.header("proxy-status");
        assert!(
            proxy_status.contains("; error=destination_unavailable; details=\""),
            "{proxy_status}"
        );
        let retry_after: u64 = answer.header("retry-after").parse().unwrap();
        assert!(
            (7..=30).contains(&retry_after),
            "{retry_after} s, of 10 s ± 20 %, spread"
        );
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["retry_after"], retry_after);
        assert_eq!(problem["breaker"], "pay");
        assert_eq!(problem["state"], "open");
        assert!(
            problem["reason"].as_str().unwrap().contains("error_rate"),
            "{problem}"
        );
    })
    .await;
}

#[tokio::test]
async fn rejects_with_the_status_and_body_of_the_policy() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let policy = "{ base: sensitive, reject: { status: 429, body: later } }";
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    in_turn(&sidecar, 20).await;
    let answer = get(sidecar.url("/pay/x")).await;
    assert_eq!((answer.status, &*answer.body), (429, &b"later"[..]));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn opens_when_the_p99_is_reached() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Delay(Duration::from_millis(150)));
    let policy = "{ base: sensitive, trip: [{ p99: 100ms }] }";
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    assert_eq!(at_once(&sidecar, 25).join_all().await, [200; 25]);
    eventually!(get(sidecar.url("/pay/x")).await.status == 503);
}

#[tokio::test]
async fn opens_when_too_many_requests_are_in_flight() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Hang);
    let policy = "{ base: sensitive, trip: [{ concurrency: 10 }] }";
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    // The tenth is the one too many: it is rejected.
    let _hanging = at_once(&sidecar, 10);
    eventually!(upstream.in_flight() == 9);
    eventually!(sidecar.metrics().await.state("pay") == "open");
    assert_eq!(get(sidecar.url("/pay/x")).await.status, 503);
}

#[tokio::test]
async fn a_service_that_never_answers_opens_it_about_one_threshold_later() {
    calmly(async || {
        let upstream = Upstream::start().await;
        upstream.play(Script::Hang);
        let sidecar = Setup::of(upstream.address()).start().await;
        let start = Instant::now();
        let _hanging = at_once(&sidecar, 20);
        eventually!(upstream.in_flight() == 20);
        eventually!(sidecar.metrics().await.state("pay") == "open");
        let waited = start.elapsed();
        // The slow threshold of `sensitive` is 1 s.
        assert!((1.0..3.0).contains(&waited.as_secs_f64()), "{waited:?}");
        assert_eq!(get(sidecar.url("/pay/x")).await.status, 503);
        assert_eq!(upstream.count(), 20);
    })
    .await;
}

#[tokio::test]
async fn opens_for_as_long_as_the_service_asks() {
    calmly(async || {
        let upstream = Upstream::start().await;
        upstream.play(Script::answer(|_| {
            let response = Response::builder().status(503).header("retry-after", "7");
            response.body("wait".into()).unwrap()
        }));
        let policy = "{ base: sensitive, honour_retry_after: true }";
        let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
        assert_eq!(get(sidecar.url("/pay/x")).await.text(), "wait");
        let rejected = get(sidecar.url("/pay/x")).await;
        assert_eq!(rejected.header("content-type"), "application/problem+json");
        let retry_after: u64 = rejected.header("retry-after").parse().unwrap();
        assert!((6..=20).contains(&retry_after), "{retry_after} s");
    })
    .await;
}

#[tokio::test]
async fn an_alert_rejects_nothing() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let policy = "{ base: sensitive, trip: [{ error_rate: 8%, action: alert }] }";
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    assert_eq!(count(&in_turn(&sidecar, 40).await, 500), 40);
    assert_eq!(sidecar.metrics().await.state("pay"), "closed");
}
