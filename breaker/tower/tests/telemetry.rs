//! Metrics and log records of breakers, as their users get them.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees test functions only, not their helpers"
)]

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tower::breaker_core::policy::GrpcCode;
use breaker_tower::breaker_core::{Attribution, Classification, Feed, Sample, Timestamp};
use breaker_tower::testing::TestBreaker;
use breaker_tower::{
    BreakerHandle, BreakerLayer, BreakerSet, Ending, Mode, OnDrop, Policy, telemetry,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tower::{Layer, ServiceExt, service_fn};
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

/// What the recorder of the crate `metrics` has of a metric: labels and value of each series.
fn recorded(recorder: &DebuggingRecorder, name: &str) -> Vec<(String, DebugValue)> {
    let seen = recorder.snapshotter().snapshot().into_vec();
    let named = seen
        .into_iter()
        .filter(|(key, ..)| key.key().name() == name);
    let mut series: Vec<_> = named
        .map(|(key, _, _, value)| {
            let labels = key.key().labels().map(|label| label.value().to_owned());
            (labels.collect::<Vec<_>>().join(" "), value)
        })
        .collect();
    series.sort_by(|(a, _), (b, _)| a.cmp(b));
    series
}

/// A request through the layer that is answered with `status`.
async fn answered(breaker: &BreakerHandle, status: u16) {
    let service = service_fn(|_: Request<Empty<Bytes>>| {
        let response = Response::builder().status(status);
        ready(Ok::<_, Infallible>(
            response.body(Empty::<Bytes>::new()).unwrap(),
        ))
    });
    let service = BreakerLayer::new(breaker.clone()).layer(service);
    drop(service.oneshot(Request::default()).await.unwrap());
}

#[tokio::test]
async fn failures_are_counted_by_how_requests_failed() {
    let test = TestBreaker::new("pay", Policy::adaptive());
    let end = |ending: Ending| {
        let request = test.handle().try_acquire(OnDrop::Ignored).unwrap();
        test.advance(Duration::from_millis(1));
        request.finish(ending);
    };
    end(Classification::Success.into());
    end(Classification::Failure.into());
    end(Ending::TIMED_OUT);
    end(Ending::TIMED_OUT);
    end(Ending {
        grpc: Some(GrpcCode::UNAVAILABLE),
        ..Classification::Failure.into()
    });
    end(Ending::caused_by(Attribution::Caller));
    for status in [503, 500, 503, 404] {
        answered(test.handle(), status).await;
    }
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || telemetry::record(test.handle()));
    let failures = recorded(&recorder, "breaker.failures");
    let expected = [
        ("pay proxy 500", 1),
        ("pay proxy 503", 2),
        ("pay proxy UNAVAILABLE", 1),
        ("pay proxy _OTHER", 1),
        ("pay proxy timeout", 2),
    ];
    let expected = expected.map(|(labels, count)| (labels.into(), DebugValue::Counter(count)));
    assert_eq!(failures, expected);
    let all = test.handle().snapshot().totals.failure;
    assert_eq!(all, 7);
}

#[tokio::test]
async fn kinds_of_failure_are_bounded() {
    let test = TestBreaker::new("pay", Policy::adaptive());
    test.handle().force(Mode::ForcedClosed);
    for status in 500..550 {
        answered(test.handle(), status).await;
    }
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || telemetry::record(test.handle()));
    let failures = recorded(&recorder, "breaker.failures");
    assert_eq!(failures.len(), 17);
    let rest = test.handle().snapshot().totals.failure - 16;
    let rest = ("pay proxy other".into(), DebugValue::Counter(rest));
    assert_eq!(failures.last(), Some(&rest));
}

#[test]
fn samples_are_counted_by_what_became_of_them() {
    let test = TestBreaker::new("pay", Policy::sensitive());
    test.advance(Duration::from_secs(60));
    let breaker = test.handle();
    let feed = breaker.add_feed(Feed::new("app"));
    let now = breaker.now();
    let sample = |at| Sample::new(Classification::Success, None, at);
    let mut many = sample(now);
    many.count = 5;
    let early = Timestamp::from_millis(1);
    let ahead = now + Duration::from_secs(30);
    let samples = [sample(now), many, sample(early), sample(ahead)];
    breaker.observe(feed, samples, |_| {});
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || telemetry::record(breaker));
    let expected = [
        ("pay app counted", 6),
        ("pay app future", 1),
        ("pay app late", 1),
    ];
    let expected = expected.map(|(labels, count)| (labels.into(), DebugValue::Counter(count)));
    assert_eq!(recorded(&recorder, "breaker.feed.samples"), expected);

    // A feed that is gone is told no more; one that stays keeps its counts.
    breaker.set_feeds([Feed::new("app"), Feed::new("more")]);
    breaker.set_feeds([Feed::new("more")]);
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || telemetry::record(breaker));
    let told = recorded(&recorder, "breaker.feed.samples");
    let told: Vec<_> = told.into_iter().map(|(labels, _)| labels).collect();
    assert_eq!(
        told,
        ["pay more counted", "pay more future", "pay more late"]
    );

    // Under the same labels, a counter must never fall.
    let [app, _] = breaker.set_feeds([Feed::new("app"), Feed::new("more")])[..] else {
        panic!("there are two feeds");
    };
    assert_ne!(app, feed);
    breaker.observe(app, [sample(breaker.now())], |_| {});
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || telemetry::record(breaker));
    let told = recorded(&recorder, "breaker.feed.samples");
    let counted = ("pay app counted".to_owned(), DebugValue::Counter(7));
    assert_eq!(told[0], counted);
}

/// Open for 20 s, then tripped again.
fn was_open() -> TestBreaker {
    let test = used();
    test.handle().force(Mode::ForcedClosed);
    test.handle().force(Mode::Auto);
    test.trip();
    test.advance(Duration::from_secs(20));
    test.handle().force(Mode::ForcedClosed);
    test
}

#[test]
fn the_recorder_of_metrics_gets_how_long_a_breaker_was_open() {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, was_open);
    let durations = recorded(&recorder, "breaker.open.duration");
    let [(labels, DebugValue::Histogram(durations))] = &durations[..] else {
        panic!("{durations:?}");
    };
    assert_eq!(labels, "pay");
    let sum: f64 = durations.iter().map(|seconds| seconds.into_inner()).sum();
    assert_eq!((durations.len(), sum > 0.0), (2, true), "{durations:?}");
}

#[test]
fn a_histogram_gets_how_long_a_breaker_was_open_once_even_if_named_twice() {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    let test = was_open();
    let twice = vec![test.handle().clone(); 2];
    telemetry::register(&provider.meter("breaker"), twice);
    for _ in 0..3 {
        provider.force_flush().unwrap();
    }
    let exported = exporter.get_finished_metrics().unwrap();
    let last = exported.last().unwrap();
    let mut metrics = last.scope_metrics().flat_map(|scope| scope.metrics());
    let durations = metrics.find(|metric| metric.name() == "breaker.open.duration");
    let Some(AggregatedMetrics::F64(MetricData::Histogram(durations))) =
        durations.map(|metric| metric.data())
    else {
        panic!("there is a histogram");
    };
    let counts: Vec<_> = durations.data_points().map(|point| point.count()).collect();
    assert_eq!(counts, [2]);
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
