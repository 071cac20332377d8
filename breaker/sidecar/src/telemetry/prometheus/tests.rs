use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::TraceId;
use http::{Method, StatusCode, Version};

use crate::telemetry::tests::{breakers, tripped};
use crate::telemetry::{
    Catalog, Environment, ExportSettings, Exposition, Finished, Histograms, Telemetry,
};

const TRACE: u128 = 0x1234_5678_9012_3456_7890_1234_5678_9012;

fn scrape(histograms: Histograms, millis: &[u64]) -> String {
    scrape_as(Exposition::Prometheus, histograms, millis, None)
}

fn scrape_as(
    format: Exposition,
    histograms: Histograms,
    millis: &[u64],
    trace: Option<TraceId>,
) -> String {
    let mut settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
    settings.histograms = histograms;
    let (telemetry, _) = Telemetry::start(settings, breakers([("pay", tripped())])).unwrap();
    let recorder = telemetry.recorder(Arc::new(Catalog {
        routes: vec!["pa\"y".into()],
        endpoints: Vec::new(),
    }));
    for millis in millis {
        recorder.record(&Finished {
            method: &Method::GET,
            https: false,
            version: Version::HTTP_2,
            route: Some(0),
            status: Some(StatusCode::OK),
            error: None,
            duration: Duration::from_millis(*millis),
            trace,
        });
    }
    telemetry.exposition(format).1
}

/// The value of the line that starts with `name` and has all of `labels`.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    text.lines()
        .filter(|line| line.starts_with(&format!("{name}{{")))
        .find(|line| labels.iter().all(|label| line.contains(label)))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn numbers_of_a_breaker_are_those_of_its_snapshot() {
    let text = scrape(Histograms::default(), &[]);
    for (name, labels, expected) in [
        ("breaker_state", &["breaker_state=\"open\""][..], 1.0),
        ("breaker_state", &["breaker_state=\"closed\""], 0.0),
        ("breaker_mode", &["breaker_mode=\"auto\""], 1.0),
        ("breaker_mode", &["breaker_mode=\"forced_open\""], 0.0),
        ("breaker_mode", &["breaker_mode=\"forced_closed\""], 0.0),
        ("breaker_mode", &["breaker_mode=\"shadow\""], 0.0),
        ("breaker_requests_total", &["\"ignored\""], 0.0),
        ("breaker_requests_total", &["\"failure\""], 20.0),
        ("breaker_requests_total", &["\"rejected\""], 1.0),
        (
            "breaker_transitions_total",
            &["from=\"closed\"", "to=\"open\"", "reason=\"error_rate\""],
            1.0,
        ),
        (
            "breaker_transitions_total",
            &["from=\"closed\"", "to=\"open\"", "reason=\"slow_rate\""],
            0.0,
        ),
        (
            "breaker_transitions_total",
            &["from=\"half_open\"", "reason=\"probes_failed\""],
            0.0,
        ),
        (
            "breaker_transitions_total",
            &["from=\"half_open\"", "to=\"closed\""],
            0.0,
        ),
        ("breaker_concurrency", &["breaker_source=\"proxy\""], 0.0),
        (
            "breaker_alerts_total",
            &["breaker_source=\"proxy\"", "breaker_signal=\"p99\""],
            0.0,
        ),
    ] {
        assert_eq!(value(&text, name, labels), Some(expected), "{name} {text}");
    }
    assert!(value(&text, "target_info", &["service_name=\"breaker\""]).is_some());
}

#[test]
fn classic_buckets_count_exactly_what_is_at_most_their_bound() {
    for spread in [
        &[3, 700, 900, 1_100, 40_000, 100_000][..],
        &[700, 900, 1_100],
    ] {
        let text = scrape(Histograms::Exponential, spread);
        let bucket = |bound: &str| {
            let name = "http_server_request_duration_seconds_bucket";
            value(&text, name, &[&format!("le=\"{bound}\"")])
        };
        let at_most = |limit: u64| spread.iter().filter(|millis| **millis <= limit).count();
        assert_eq!(bucket("0.5"), Some(at_most(500) as f64));
        assert_eq!(bucket("1"), Some(at_most(1_000) as f64));
        assert_eq!(bucket("2"), Some(at_most(2_000) as f64));
        assert_eq!(bucket("64"), Some(at_most(64_000) as f64));
        assert_eq!(bucket("+Inf"), Some(spread.len() as f64));
    }
}

#[test]
fn explicit_histograms_are_shown_with_their_own_bounds() {
    let text = scrape(Histograms::Explicit, &[3, 700, 20_000]);
    let name = "http_server_request_duration_seconds_bucket";
    assert_eq!(value(&text, name, &["le=\"0.005\""]), Some(1.0));
    assert_eq!(value(&text, name, &["le=\"0.75\""]), Some(2.0));
    assert_eq!(value(&text, name, &["le=\"+Inf\""]), Some(3.0));
}

#[test]
fn label_values_are_escaped() {
    let text = scrape(Histograms::default(), &[5]);
    assert!(text.contains(r#"http_route="pa\"y""#), "{text}");
}

#[test]
fn openmetrics_names_families_without_their_endings_and_ends() {
    let text = scrape_as(Exposition::OpenMetrics, Histograms::default(), &[5], None);
    for line in [
        "# TYPE target info",
        "# TYPE breaker_build info",
        "# TYPE breaker_requests counter",
        "# TYPE breaker_state gauge",
        "# TYPE http_server_request_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("\nbreaker_requests_total{"));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&text, "breaker_build_info", &[&version]), Some(1.0));
    let name = "http_server_request_duration_seconds_bucket";
    assert_eq!(value(&text, name, &["le=\"1.0\""]), Some(1.0));
    assert!(text.ends_with("\n# EOF\n"));
    assert!(!text.contains("trace_id"));
}

#[test]
fn a_bucket_has_the_trace_that_fell_into_it_last() {
    for (histograms, bound) in [
        (Histograms::Exponential, "le=\"0.0078125\""),
        (Histograms::Explicit, "le=\"0.01\""),
    ] {
        let trace = TraceId::new(TRACE);
        let scrape = |format| scrape_as(format, histograms, &[6, 70_000], trace);
        let text = scrape(Exposition::OpenMetrics);
        let with = |label: &str| {
            let mut lines = text.lines();
            let line = lines.find(|line| line.contains("_bucket{") && line.contains(label));
            let (_, exemplar) = line?.split_once(" # ")?;
            let (exemplar, at) = exemplar.rsplit_once(' ')?;
            assert!(at.parse::<f64>().unwrap() > 1e9, "{at}");
            Some(exemplar.to_owned())
        };
        let id = "{trace_id=\"12345678901234567890123456789012\"}";
        assert_eq!(with(bound), Some(format!("{id} 0.006")));
        assert_eq!(with("le=\"+Inf\""), Some(format!("{id} 70")));
        assert_eq!(with("le=\"1.0\""), None);
        assert!(!scrape(Exposition::Prometheus).contains("trace_id"));
    }
}
