//! What a reload means for requests and breakers.

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::policy::{LatencyMeasure, Signal};
use breaker_tower::breaker_core::{Baseline, LatencyBounds, SignalBaseline, SourceBaseline};
use breaker_tower::{Mode, OnDrop, Policy, State};

use super::bench::{Bench, PAY, eventually};

const SLOW: &str =
    "  - { name: slow, upstream: app, match: { path: /slow }, max_in_flight: 1, timeout: 15s }\n";
const SLOWER: &str =
    "  - { name: slow, upstream: app, match: { path: /slow }, max_in_flight: 1, timeout: 16s }\n";

fn trip(bench: &Bench) {
    for _ in 0..20 {
        let request = bench.breaker("pay").try_acquire(OnDrop::Ignored).unwrap();
        request.finish(breaker_tower::breaker_core::Classification::Failure);
    }
    assert_eq!(bench.breaker("pay").state(), State::Open);
}

#[tokio::test]
async fn an_open_breaker_stays_open_for_the_time_that_remains() {
    let bench = Bench::start(PAY).await;
    trip(&bench);
    let before = bench.breaker("pay").snapshot();
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, policy: conservative }\n");
    bench.reload().await;
    let after = bench.breaker("pay").snapshot();
    assert_eq!(bench.breaker("pay").policy().name(), "conservative");
    let (remained, remains) = (
        before.open_remaining.unwrap(),
        after.open_remaining.unwrap(),
    );
    assert!(remains <= remained && remains > Duration::ZERO);
    assert!(after.lasted >= before.lasted);
    assert_eq!(after.totals.failure, 20);
    assert_eq!(bench.get("/pay").await, 503);
}

#[tokio::test]
async fn a_route_that_is_added_answers_and_one_that_is_removed_does_not() {
    let bench = Bench::start(PAY).await;
    trip(&bench);
    let name = "breaker_name=\"pay\"";
    assert!(bench.metrics().await.contains(name));
    let breaker = bench.breaker("pay");
    let mut events = breaker.subscribe();
    bench.write("  - { name: new, upstream: app, match: { path: /new } }\n");
    bench.reload().await;
    assert_eq!(
        (bench.get("/new").await, bench.get("/pay").await),
        (200, 404)
    );
    let metrics = bench.metrics().await;
    assert!(metrics.contains("breaker_name=\"new\""));
    assert!(!metrics.contains(name), "{metrics}");
    // Workers have let go of it, and telemetry no longer follows: this handle is the last.
    drop(breaker);
    let gone = tokio::time::timeout(super::bench::PATIENCE, events.recv());
    assert_eq!(gone.await.expect("an end of events"), None);

    bench.write(PAY);
    bench.reload().await;
    assert_eq!(
        bench.breaker("pay").state(),
        State::Closed,
        "it begins anew"
    );
    assert_eq!(bench.get("/pay").await, 200);
}

#[tokio::test]
async fn requests_under_way_end_as_they_began() {
    let bench = Bench::start(SLOW).await;
    let request = bench.begin("/slow");
    let breaker = bench.breaker("slow");
    eventually("request", || breaker.snapshot().in_flight == 1).await;
    bench.write(PAY);
    bench.reload().await;
    assert_eq!(bench.get("/slow").await, 404);
    bench.gate.add_permits(1);
    assert_eq!(request.await.unwrap(), 200);
    eventually("end", || breaker.snapshot().in_flight == 0).await;
    assert_eq!(breaker.snapshot().totals.success, 1);
}

#[tokio::test]
async fn the_limit_of_a_route_that_stays_counts_requests_from_before() {
    let bench = Bench::start(SLOW).await;
    // One worker has it or the other, so both are filled.
    let mut requests = Vec::new();
    while bench.breaker("slow").snapshot().in_flight < 2 {
        requests.push(bench.begin("/slow"));
        let busy = requests.len();
        eventually("request", || {
            let done = requests
                .iter()
                .filter(|request| request.is_finished())
                .count();
            bench.breaker("slow").snapshot().in_flight as usize + done >= busy
        })
        .await;
    }
    bench.write(SLOWER);
    assert_eq!(bench.reload().await.updated, ["slow"]);
    assert_eq!(bench.get("/slow").await, 429);
    bench.gate.add_permits(100);
    eventually("end", || bench.breaker("slow").snapshot().in_flight == 0).await;
    assert_eq!(bench.get("/slow").await, 200);
}

#[tokio::test]
async fn a_policy_that_an_operator_has_put_in_place_stays() {
    let bench = Bench::start(PAY).await;
    let adaptive = Arc::new(Policy::adaptive());
    bench.registry.set_override("pay", Some(adaptive)).unwrap();
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, policy: conservative }\n");
    bench.reload().await;
    assert_eq!(bench.breaker("pay").policy().name(), "adaptive");
    bench.registry.set_override("pay", None).unwrap();
    assert_eq!(bench.breaker("pay").policy().name(), "conservative");
}

#[tokio::test]
async fn another_version_of_a_route_forgets_what_was_usual_and_a_reload_alone_does_not() {
    let route = |more: &str| {
        format!(
            "  - {{ name: pay, upstream: app, match: {{ path: /pay }}, policy: adaptive, {more} }}\n"
        )
    };
    let bench = Bench::start(&route("version: v1")).await;
    let breaker = bench.breaker("pay");
    let bounds = LatencyBounds {
        deadline: Duration::from_secs(1),
        measure: LatencyMeasure::Head,
    };
    let signal = |signal| SignalBaseline::new(signal, 5000.0, 50.0).unwrap();
    let proxy = SourceBaseline::new("proxy", bounds, Signal::ALL.map(signal), vec![100; 60]);
    let learned = Baseline::new([proxy.unwrap()]);
    breaker.restore_baseline(&learned);
    assert_eq!(breaker.baseline(), learned);
    bench.write(&route("version: v1, timeout: 1s"));
    bench.reload().await;
    assert_eq!(breaker.baseline(), learned);
    bench.write(&route("version: v2, timeout: 1s"));
    bench.reload().await;
    assert_ne!(breaker.baseline(), learned);
}

#[tokio::test]
async fn a_mode_is_set_by_the_file_only_where_that_changes() {
    let bench = Bench::start(PAY).await;
    bench.breaker("pay").force(Mode::Shadow);
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, timeout: 1s }\n");
    bench.reload().await;
    assert_eq!(bench.breaker("pay").mode(), Mode::Shadow);
    bench.write("  - { name: pay, upstream: app, match: { path: /pay }, mode: forced_open }\n");
    bench.reload().await;
    assert_eq!(bench.get("/pay").await, 503);
    bench.stop().await;
}
