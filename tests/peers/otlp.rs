//! What we export, as a collector that is not ours received it.

use breaker_tests::{Script, Setup, Sidecar, Upstream, eventually, get};

use crate::rotel::Collector;

#[tokio::test]
async fn a_collector_receives_our_metrics_by_grpc() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let export = format!(
        "telemetry:\n  export: {{ endpoint: \"{}\", protocol: grpc, interval: 1s }}",
        collector.grpc()
    );
    let sidecar = Setup::of(upstream.address()).more(&export).start().await;
    trip(&sidecar, &upstream).await;
    has_received_what_the_traffic_implies(&collector).await;
}

#[tokio::test]
async fn a_collector_receives_our_metrics_by_http() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let sidecar = Setup::of(upstream.address())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http())
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        .start()
        .await;
    trip(&sidecar, &upstream).await;
    has_received_what_the_traffic_implies(&collector).await;
}

/// 30 good requests, then 3 failures of 33, the first share of 8 % or more; then 5 are rejected.
async fn trip(sidecar: &Sidecar, upstream: &Upstream) {
    for (status, times) in [(200, 30), (500, 3)] {
        upstream.play(Script::Status(status));
        for _ in 0..times {
            assert_eq!(get(sidecar.url("/pay/x")).await.status, status);
        }
    }
    for _ in 0..5 {
        assert_eq!(get(sidecar.url("/pay/x")).await.status, 503);
    }
    assert_eq!(
        upstream.count(),
        33,
        "a rejected request reached the service"
    );
}

async fn has_received_what_the_traffic_implies(collector: &Collector) {
    let name = ("breaker.name", "pay");
    for (metric, attributes, value) in [
        (
            "breaker.requests",
            vec![name, ("breaker.outcome", "success")],
            30.0,
        ),
        (
            "breaker.requests",
            vec![name, ("breaker.outcome", "failure")],
            3.0,
        ),
        (
            "breaker.requests",
            vec![name, ("breaker.outcome", "rejected")],
            5.0,
        ),
        (
            "breaker.transitions",
            vec![
                name,
                ("breaker.transition.from", "closed"),
                ("breaker.transition.to", "open"),
            ],
            1.0,
        ),
        ("breaker.state", vec![name, ("breaker.state", "open")], 1.0),
        (
            "breaker.state",
            vec![name, ("breaker.state", "closed")],
            0.0,
        ),
        (
            "http.server.request.duration",
            vec![("http.route", "pay"), ("http.response.status_code", "200")],
            30.0,
        ),
        (
            "http.server.request.duration",
            vec![("http.route", "pay"), ("http.response.status_code", "503")],
            5.0,
        ),
    ] {
        let received = || collector.sum(metric, &attributes);
        eventually!(
            received() == Some(value),
            "{metric} {attributes:?} is {:?}, not {value}",
            received()
        );
    }
}
