use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{Breaker, Event, Outcome, Policy, Timestamp};
use http::{Method, StatusCode, Version};
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::collector::{Collector, Received};
use super::{breakers, tripped};
use crate::telemetry::{
    Catalog, Environment, ExportSettings, Exporting, Exposition, Finished, Sent, Telemetry,
};

pub(super) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn start(address: SocketAddr, variables: &[(&str, &str)]) -> (Telemetry, Exporting) {
    let endpoint = format!("http://{address}");
    let environment: Environment = variables
        .iter()
        .copied()
        .chain([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
            ("OTEL_SERVICE_NAME", "shop"),
        ])
        .collect();
    let settings = ExportSettings::resolve(None, &environment).unwrap();
    Telemetry::start(settings, breakers([("pay", tripped())])).unwrap()
}

/// One request that failed at the upstream.
pub(super) fn traffic(telemetry: &Telemetry) {
    let recorder = telemetry.recorder(Arc::new(Catalog {
        routes: vec!["/pay/{id}".into()],
        endpoints: vec![("ledger".into(), Some(9001))],
    }));
    recorder.record(&Finished {
        method: &Method::POST,
        https: false,
        version: Version::HTTP_11,
        route: Some(0),
        status: Some(StatusCode::BAD_GATEWAY),
        error: Some("connection_refused"),
        duration: Duration::from_millis(12),
        trace: None,
    });
    recorder.sent(&Sent {
        method: &Method::POST,
        endpoint: Some(0),
        https: false,
        version: Version::HTTP_2,
        status: None,
        error: Some("connection_refused"),
        resends: 7,
        duration: Duration::from_millis(11),
    });
}

/// The first export that has what `traffic` recorded last: one may be under way before that.
pub(super) async fn after_traffic(collector: &mut Collector) -> Received {
    loop {
        let received = collector.next().await;
        if received.metric("http.client.request.duration").is_some() {
            return received;
        }
    }
}

pub(super) fn assert_complete(received: &Received) {
    let value = |name: &str, attributes: &[(&str, &str)]| received.value(name, attributes);
    let pay = ("breaker.name", "pay");
    assert_eq!(received.resource("service.name").as_deref(), Some("shop"));
    assert!(received.resource("service.instance.id").is_some());
    for (state, holds) in [("closed", 0.0), ("open", 1.0), ("half_open", 0.0)] {
        let attributes = [pay, ("breaker.state", state)];
        assert_eq!(value("breaker.state", &attributes), Some(holds));
    }
    for (outcome, count) in [("success", 0.0), ("failure", 20.0), ("rejected", 1.0)] {
        let attributes = [pay, ("breaker.outcome", outcome)];
        assert_eq!(value("breaker.requests", &attributes), Some(count));
    }
    let opened = [
        pay,
        ("breaker.transition.from", "closed"),
        ("breaker.transition.to", "open"),
        ("breaker.transition.reason", "error_rate"),
    ];
    assert_eq!(value("breaker.transitions", &opened), Some(1.0));
    let source = ("breaker.source", "proxy");
    assert_eq!(value("breaker.concurrency", &[pay, source]), Some(0.0));
    let alerts = [pay, source, ("breaker.signal", "p99")];
    assert_eq!(value("breaker.alerts", &alerts), Some(0.0));

    let server = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "502"),
        ("http.route", "/pay/{id}"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("error.type", "connection_refused"),
    ];
    assert_eq!(value("http.server.request.duration", &server), Some(1.0));
    let client = [
        ("http.request.method", "POST"),
        ("server.address", "ledger"),
        ("server.port", "9001"),
        ("network.protocol.version", "2"),
        ("error.type", "connection_refused"),
        ("http.request.resend_count", "5"),
    ];
    assert_eq!(value("http.client.request.duration", &client), Some(1.0));
    let duration = received.metric("http.server.request.duration").unwrap();
    assert_eq!(duration.unit, "s");
    let Some(Data::ExponentialHistogram(histogram)) = &duration.data else {
        panic!("{duration:?}");
    };
    let sum = histogram.data_points[0].sum.unwrap();
    assert!((sum - 0.012).abs() < 1e-9);
}

#[tokio::test]
async fn grpc_collectors_get_everything() {
    let mut collector = Collector::grpc(ANY).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let (telemetry, exporting) = start(collector.address, &variables);
    traffic(&telemetry);
    let received = after_traffic(&mut collector).await;
    assert_complete(&received);
    assert_eq!(received.headers["authorization"], "Basic YTpi");
    assert_eq!(received.headers["grpc-encoding"], "gzip");
    exporting.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn http_collectors_get_everything() {
    let mut collector = Collector::http(ANY).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let (telemetry, exporting) = start(collector.address, &variables);
    traffic(&telemetry);
    let received = after_traffic(&mut collector).await;
    assert_complete(&received);
    assert_eq!(received.headers["authorization"], "Basic YTpi");
    assert_eq!(received.headers["content-encoding"], "gzip");
    exporting.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_collector_that_was_dead_gets_the_totals_when_it_lives() {
    for protocol in ["grpc", "http/protobuf"] {
        // A port that nobody listens on, until the collector does.
        let address = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
        let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let (telemetry, exporting) = start(address, &variables);
        traffic(&telemetry);
        while !telemetry
            .exposition(Exposition::Prometheus)
            .1
            .contains(FAILED_TWICE)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        let mut collector = match protocol {
            "grpc" => Collector::grpc(address).await,
            _ => Collector::http(address).await,
        };
        let received = after_traffic(&mut collector).await;
        assert_complete(&received);
        let failures = [
            ("breaker.telemetry.outcome", "failure"),
            ("breaker.telemetry.signal", "metrics"),
        ];
        let failures = received.value("breaker.telemetry.exports", &failures);
        assert!(failures.unwrap() >= 2.0);
        exporting.shutdown(Duration::from_secs(5)).await;
    }
}

pub(super) const FAILED_TWICE: &str = "breaker_telemetry_exports_total{breaker_telemetry_outcome=\"failure\",breaker_telemetry_signal=\"metrics\"} 2";

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_not_repeated() {
    let mut collector = Collector::http(ANY).await;
    collector.refuse(true);
    let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let (_telemetry, exporting) = start(collector.address, &variables);
    collector.next().await;
    collector.refuse(false);
    let received = collector.next().await;
    let failures = [
        ("breaker.telemetry.outcome", "failure"),
        ("breaker.telemetry.signal", "metrics"),
    ];
    assert_eq!(
        received.value("breaker.telemetry.exports", &failures),
        Some(1.0)
    );
    exporting.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn shutdown_exports_what_the_interval_has_not() {
    let mut collector = Collector::grpc(ANY).await;
    let configured = crate::collector::Configured {
        endpoint: Some(format!("http://{}", collector.address)),
        interval: Some(Duration::from_secs(3600)),
        ..Default::default()
    };
    let settings = ExportSettings::resolve(Some(&configured), &Environment::default()).unwrap();
    let (telemetry, exporting) =
        Telemetry::start(settings, breakers([("pay", tripped())])).unwrap();
    traffic(&telemetry);
    exporting.shutdown(Duration::from_secs(5)).await;
    assert!(
        collector
            .next()
            .await
            .metric("http.server.request.duration")
            .is_some()
    );
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_collector_that_hangs() {
    let hanging = TcpListener::bind(ANY).unwrap();
    let (_telemetry, exporting) = start(hanging.local_addr().unwrap(), &[]);
    let asked = tokio::time::Instant::now();
    exporting.shutdown(Duration::from_millis(200)).await;
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn delta_exports_tell_each_request_once_and_prometheus_all() {
    let mut collector = Collector::grpc(ANY).await;
    let preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let (telemetry, exporting) = start(collector.address, &[(preference, "delta")]);
    traffic(&telemetry);
    let name = "http.server.request.duration";
    let mut counted = 0.0;
    for _ in 0..3 {
        let received = collector.next().await;
        let Some(metric) = received.metric(name) else {
            continue;
        };
        let Some(Data::ExponentialHistogram(histogram)) = &metric.data else {
            panic!("{metric:?}");
        };
        assert_eq!(
            histogram.aggregation_temporality(),
            AggregationTemporality::Delta
        );
        counted += received.value(name, &[]).unwrap_or(0.0);
    }
    assert_eq!(counted, 1.0);
    let text = telemetry.exposition(Exposition::Prometheus).1;
    let total = text
        .lines()
        .find(|line| line.starts_with("http_server_request_duration_seconds_count"));
    assert!(total.unwrap().ends_with(" 1"), "{text}");
    exporting.shutdown(Duration::from_secs(5)).await;
}

#[test]
fn the_time_that_a_breaker_was_open_is_recorded_when_it_ends() {
    let settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
    let (telemetry, _) = Telemetry::start(settings, breakers([])).unwrap();
    let route = Arc::from("pay");

    let mut breaker = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
    for request in 0..20 {
        let now = Timestamp::from_millis(request);
        let permit = breaker.try_acquire(now).unwrap();
        breaker.record(permit, Outcome::failure(Duration::from_millis(1)), now);
    }
    breaker.handle_timeout(breaker.poll_timeout().unwrap() + Duration::from_secs(30));
    let events: Vec<Event> = std::iter::from_fn(|| breaker.poll_event()).collect();
    assert_eq!(events.len(), 2, "{events:?}");
    for event in &events {
        telemetry.event(&route, event);
    }
    let text = telemetry.exposition(Exposition::Prometheus).1;
    assert!(
        text.contains("breaker_open_duration_seconds_count{breaker_name=\"pay\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_none_is_an_error_and_no_panic() {
    for on in [
        "OTEL_METRICS_EXPORTER",
        "OTEL_TRACES_EXPORTER",
        "OTEL_LOGS_EXPORTER",
    ] {
        let environment: Environment = [
            (on, "otlp"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4317"),
            (
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ),
        ]
        .into_iter()
        .collect();
        let settings = ExportSettings::resolve(None, &environment).unwrap();
        let error = Telemetry::start(settings, breakers([])).unwrap_err();
        assert!(
            error.to_string().ends_with("no certificate in it"),
            "{error}"
        );
    }
}
