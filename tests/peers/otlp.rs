//! What we export, as a collector that is not ours received it.

use breaker_tests::{Script, Setup, Sidecar, Upstream, eventually, get};

use crate::rotel::{Collector, Item};

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

#[tokio::test]
async fn a_collector_receives_our_spans_and_events() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let sidecar = Setup::of(upstream.address())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_TRACES_EXPORTER", "otlp")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "100")
        .start()
        .await;
    trip(&sidecar, &upstream).await;
    eventually!(
        collector.spans().len() == 38,
        "{} spans",
        collector.spans().len()
    );
    let spans = collector.spans();
    let with = |key: &str, value: &str| {
        let has = |span: &&Item| span.get(key).is_some_and(|found| found == value);
        spans.iter().filter(has).count()
    };
    assert_eq!(with("Name", "GET pay"), 38);
    assert_eq!(with("Kind", "SPAN_KIND_SERVER"), 38);
    assert_eq!(with("breaker.outcome", "success"), 30);
    assert_eq!(with("breaker.outcome", "failure"), 3);
    assert_eq!(with("breaker.outcome", "rejected"), 5);
    assert_eq!(with("Status code", "STATUS_CODE_ERROR"), 8);
    for seen in upstream.seen() {
        let parent = seen.headers["traceparent"].to_str().unwrap();
        let ids: Vec<_> = parent.split('-').collect();
        let is_named = |span: &Item| span["Trace ID"] == ids[1] && span["ID"] == ids[2];
        assert!(spans.iter().any(is_named), "{parent}");
    }

    eventually!(!collector.records().is_empty(), "no log record");
    let record = &collector.records()[0];
    for (key, value) in [
        ("EventName", "breaker.transition"),
        ("breaker.name", "pay"),
        ("breaker.transition.from", "closed"),
        ("breaker.transition.to", "open"),
        ("breaker.transition.reason", "error_rate"),
        ("breaker.samples", "33"),
        ("breaker.threshold", "0.08"),
    ] {
        assert_eq!(record.get(key).map(String::as_str), Some(value), "{key}");
    }
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
