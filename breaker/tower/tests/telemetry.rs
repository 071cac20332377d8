//! Metrics and log records of breakers, as their users get them.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees test functions only, not their helpers"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tower::breaker_core::Classification;
use breaker_tower::testing::TestBreaker;
use breaker_tower::{BreakerSet, OnDrop, Policy, telemetry};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tracing::field::{Field, Visit};

/// Open, with one success, one failure and one rejection.
fn used() -> TestBreaker {
    let test = TestBreaker::new("pay", Policy::sensitive());
    let request = test.handle().try_acquire(OnDrop::Ignored).unwrap();
    test.advance(Duration::from_millis(20));
    request.finish(Classification::Success);
    test.trip();
    test.handle().try_acquire(OnDrop::Ignored).unwrap_err();
    test
}

#[test]
fn the_recorder_of_metrics_gets_all_numbers() {
    let (test, recorder) = (used(), DebuggingRecorder::new());
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || telemetry::record(test.handle()));
    let mut seen: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key
                .key()
                .labels()
                .map(|label| label.value().to_owned())
                .collect();
            let value = match value {
                DebugValue::Counter(value) => value as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(_) => f64::NAN,
            };
            format!("{} {} {value}", key.key().name(), labels.join(" "))
        })
        .collect();
    seen.sort();
    for expected in [
        "breaker.state pay open 1",
        "breaker.state pay closed 0",
        "breaker.mode pay auto 1",
        "breaker.requests pay success upstream 1",
        "breaker.requests pay failure upstream 1",
        "breaker.requests pay rejected 1",
        "breaker.concurrency pay proxy 0",
    ] {
        assert!(
            seen.iter().any(|line| line == expected),
            "{expected}: {seen:#?}"
        );
    }
    let transition = "breaker.transitions pay closed open consecutive_failures 1";
    assert!(seen.iter().any(|line| line == transition), "{seen:#?}");
}

#[test]
fn alerts_and_evidence_have_the_names_of_the_sidecar() {
    let test = TestBreaker::new("pay", Policy::adaptive());
    for request in 0..40 {
        let admitted = test.handle().try_acquire(OnDrop::Ignored).unwrap();
        let failed = [Classification::Success, Classification::Failure][request % 2];
        test.advance(Duration::from_millis(1));
        admitted.finish(failed);
    }
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || telemetry::record(test.handle()));
    let seen: Vec<_> = snapshotter.snapshot().into_vec();
    let of = |name: &str| -> Vec<_> {
        let named = seen.iter().filter(|(key, ..)| key.key().name() == name);
        named
            .map(|(key, _, _, value)| {
                let labels = key.key().labels().map(|label| label.value().to_owned());
                (labels.collect::<Vec<_>>().join(" "), format!("{value:?}"))
            })
            .collect()
    };
    let snapshot = test.handle().snapshot();
    assert!(!snapshot.alerts.is_empty());
    for name in ["breaker.alerts", "breaker.alerting"] {
        assert_eq!(of(name).len(), snapshot.alerts.len(), "{name}");
    }
    let scores = of("breaker.anomaly.score");
    let errors = scores
        .iter()
        .find(|(labels, _)| labels == "pay proxy errors");
    let score = snapshot.sources[0].anomalies[0].score();
    assert!(score > 0.0);
    assert_eq!(
        errors.unwrap().1,
        format!("{:?}", DebugValue::Gauge(score.into()))
    );
}

#[test]
fn instruments_observe_the_breakers_of_a_set_with_those_to_come() {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let hosts = BreakerSet::<String>::new(Policy::sensitive(), 10);
    telemetry::register(&provider.meter("breaker"), hosts.clone());
    for host in ["a", "b"] {
        let request = hosts.get(host.into()).try_acquire(OnDrop::Ignored);
        request.unwrap().finish(Classification::Success);
    }
    provider.force_flush().unwrap();
    let exported = exporter.get_finished_metrics().unwrap();
    let metrics: Vec<_> = exported
        .iter()
        .flat_map(|resource| resource.scope_metrics())
        .flat_map(|scope| scope.metrics())
        .collect();
    let names: Vec<_> = metrics.iter().map(|metric| metric.name()).collect();
    for name in [
        "breaker.state",
        "breaker.mode",
        "breaker.requests",
        "breaker.latency",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let requests = metrics
        .iter()
        .find(|metric| metric.name() == "breaker.requests");
    let AggregatedMetrics::U64(MetricData::Sum(requests)) = requests.unwrap().data() else {
        panic!("requests are counted");
    };
    let mut succeeded: Vec<_> = requests
        .data_points()
        .filter(|point| point.value() == 1)
        .map(|point| {
            let name = |pair: &&opentelemetry::KeyValue| pair.key.as_str() == "breaker.name";
            point.attributes().find(name).unwrap().value.to_string()
        })
        .collect();
    succeeded.sort();
    assert_eq!(succeeded, ["a", "b"]);
    provider.shutdown().unwrap();
}

/// Keeps the fields of events with the target `breaker`.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Kept {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "breaker"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

#[test]
fn a_breaker_logs_what_it_does() {
    let kept = Kept::default();
    tracing::subscriber::with_default(kept.clone(), || {
        let test = used();
        test.advance(Duration::from_secs(30));
    });
    let lines = kept.0.lock().unwrap();
    let has = |parts: &[&str]| {
        let all = |line: &&String| parts.iter().all(|part| line.contains(part));
        lines.iter().any(|line| all(&line))
    };
    let opened = [
        "WARN",
        r#"breaker.name="pay""#,
        r#"breaker.transition.to="open""#,
    ];
    assert!(has(&opened), "{lines:#?}");
    let half_open = ["INFO", r#"breaker.transition.to="half_open""#];
    assert!(has(&half_open), "{lines:#?}");
}

#[test]
fn a_snapshot_is_a_document_and_a_policy_is_read_from_one() {
    let test = used();
    let snapshot = serde_json::to_value(test.handle().snapshot()).unwrap();
    assert_eq!(snapshot["state"], "open");
    assert_eq!(snapshot["totals"]["rejected"], 1);
    assert_eq!(snapshot["sources"][0]["name"], "proxy");
    assert!(
        snapshot["open_remaining"]
            .as_f64()
            .is_some_and(|left| left >= 10.0)
    );

    #[derive(serde::Deserialize)]
    struct Settings {
        policy: Policy,
    }

    let text = r#"{ "policy": { "name": "strict", "base": "sensitive", "min_requests": 5 } }"#;
    let settings: Settings = serde_json::from_str(text).unwrap();
    assert_eq!(settings.policy.min_requests(), 5);
    let text = r#"{ "policy": { "name": "strict", "trip": [] } }"#;
    let error = serde_json::from_str::<Settings>(text)
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("trip: "), "{error}");
}
