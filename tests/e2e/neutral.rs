//! What must not open a breaker.

use std::time::Duration;

use breaker_tests::{Script, Setup, Upstream, eventually, get};
use tokio::time::sleep;

use crate::traffic::{at_once, count, in_turn};

#[tokio::test]
async fn answers_of_the_4xx_kind_are_successes_of_the_service() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(404));
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 100).await, [404; 100]);
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.state("pay"), "closed");
    assert_eq!(metrics.requests("pay", "success"), 100.0);
}

#[tokio::test]
async fn callers_that_go_away_while_others_are_answered_count_for_nothing() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    for number in 1..=30 {
        upstream.play(Script::Hang);
        let leaving = at_once(&sidecar, 1);
        eventually!(upstream.in_flight() == 1);
        upstream.play(Script::Status(200));
        assert_eq!(in_turn(&sidecar, 1).await, [200]);
        drop(leaving);
        eventually!(sidecar.metrics().await.requests("pay", "ignored") == f64::from(number));
    }
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.requests("pay", "failure"), 0.0);
    assert_eq!(metrics.requests("pay", "success"), 30.0);
    assert_eq!(metrics.state("pay"), "closed");
    eventually!(upstream.in_flight() == 0, "the service was not told");
}

#[tokio::test]
async fn a_service_that_answers_nobody_opens_though_its_callers_are_impatient() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&sidecar, 5).await, [200; 5]);
    upstream.play(Script::Hang);
    // Their patience of 150 ms is less than the slow threshold of a second.
    let mut metrics;
    eventually!({
        let leaving = at_once(&sidecar, 10);
        sleep(Duration::from_millis(150)).await;
        drop(leaving);
        metrics = sidecar.metrics().await;
        metrics.state("pay") == "open"
    });
    assert_eq!(metrics.requests("pay", "failure"), 0.0);
}

#[tokio::test]
async fn rejections_of_a_breaker_further_in_do_not_count() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let inner = Setup::of(upstream.address()).start().await;
    assert_eq!(in_turn(&inner, 20).await, [500; 20]);
    let outer = Setup::of(inner.address()).start().await;
    assert_eq!(in_turn(&outer, 30).await, [503; 30]);
    let metrics = outer.metrics().await;
    assert_eq!(metrics.state("pay"), "closed");
    assert_eq!(metrics.requests("pay", "failure"), 0.0);
    assert_eq!(metrics.requests("pay", "rejected"), 0.0);
}

#[tokio::test]
async fn unknown_paths_make_no_series() {
    let upstream = Upstream::start().await;
    let yaml = Setup::of(upstream.address()).yaml();
    let sidecar = breaker_tests::Sidecar::start(yaml.replace("/{*rest}", "/pay/{*rest}")).await;
    get(sidecar.url("/nowhere/0")).await;
    let series = sidecar.metrics().await.text().lines().count();
    for number in 1..200 {
        let path = format!("/nowhere/{number}");
        assert_eq!(get(sidecar.url(&path)).await.status, 404);
    }
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.text().lines().count(), series, "{}", metrics.text());
    assert!(!metrics.text().contains("nowhere"), "{}", metrics.text());
}

#[tokio::test]
async fn one_failing_request_in_a_quiet_time_does_not_open() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let policy = "{ base: sensitive, window: 1s }";
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    for _ in 0..10 {
        // 10 failures in each window of 1 s, of which 20 would be judged.
        sleep(Duration::from_millis(110)).await;
        assert_eq!(count(&in_turn(&sidecar, 1).await, 500), 1);
    }
    assert_eq!(sidecar.metrics().await.state("pay"), "closed");
}
