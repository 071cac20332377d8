//! Traces of an application.

use std::fs;

use breaker_tests::{Upstream, eventually};

use super::{BAD, REQUESTS, backtest, now};
use crate::shop::{Shop, variable};

/// OpenTelemetry's SDK for Python sends OTLP/JSON: each body is what the Collector's file exporter
/// has as a line.
#[tokio::test]
async fn otlp_json_of_an_sdk() {
    let collector = Upstream::start().await;
    let endpoint = format!("http://{}", collector.address());
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_TRACES_EXPORTER", "otlp_json_http"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "http"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ];
    let environment = environment.map(|(name, value)| variable(name, value));
    let began = now();
    let shop = Shop::start(environment.into(), 1).await;
    for number in 1..=REQUESTS {
        let status = if number.is_multiple_of(REQUESTS / BAD) {
            503
        } else {
            200
        };
        assert_eq!(shop.get(&format!("/answer/{status}")).await, status);
    }
    let mut lines = String::new();
    eventually!(
        {
            lines.clear();
            for sent in collector.seen() {
                lines += &String::from_utf8_lossy(&sent.body);
                lines += "\n";
            }
            lines.matches("\"spanId\"").count() >= REQUESTS
        },
        "{lines}"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("traces.jsonl");
    fs::write(&file, lines).unwrap();
    backtest(&file, "otlp", REQUESTS, Some(began));
}
