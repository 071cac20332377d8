//! Events of breakers, from traffic to a collector's log records.

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::Mode;
use breaker_tower::breaker_core::{
    Breaker, Candidate, EndpointEvent, EndpointId, EndpointSettings, Endpoints, Event, Outcome,
    Policy, Readmission, Timestamp, TraceId,
};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_sdk::Resource;

use super::collector::{Collector, attribute};
use super::export::ANY;
use super::sidecar::{Sidecar, exchange};
use crate::telemetry::log::otlp::Logger;
use crate::telemetry::queue::Queue;
use crate::telemetry::settings::Batches;
use crate::upstream::{Discovered, Endpoint, Happened, Occurrence};

fn assert_attributes(record: &LogRecord, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        let found = attribute(&record.attributes, key);
        assert_eq!(found.as_deref(), Some(*value), "{key} of {record:#?}");
    }
}

#[tokio::test]
async fn each_transition_and_mode_change_is_a_record_with_its_numbers() {
    for protocol in ["grpc", "http/protobuf"] {
        let mut collector = match protocol {
            "grpc" => Collector::grpc(ANY).await,
            _ => Collector::http(ANY).await,
        };
        let endpoint = format!("http://{}", collector.address);
        let sidecar = Sidecar::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
            ("OTEL_SERVICE_NAME", "shop"),
        ])
        .await;
        sidecar.answer(500);
        for status in [500, 500, 503] {
            assert_eq!(sidecar.send("GET /pay/7", &[]).await, status);
        }
        let received = collector.logs().await;
        assert_eq!(received.headers["authorization"], "Basic YTpi");
        assert_eq!(received.resource("service.name").as_deref(), Some("shop"));
        let record = received.records().next().unwrap();
        assert_eq!(record.event_name, "breaker.transition");
        assert_eq!(
            (record.severity_number, &*record.severity_text),
            (13, "WARN")
        );
        assert!(record.time_unix_nano > 0);
        let body = format!("{:?}", record.body);
        assert!(body.contains("error rate 100% ≥ 8%, 2 requests"), "{body}");
        assert_attributes(
            record,
            &[
                ("breaker.name", "pay"),
                ("breaker.transition.from", "closed"),
                ("breaker.transition.to", "open"),
                ("breaker.transition.reason", "error_rate"),
                ("breaker.source", "proxy"),
                ("breaker.observed", "DoubleValue(1.0)"),
                ("breaker.threshold", "DoubleValue(0.08)"),
                ("breaker.samples", "2"),
                ("breaker.window", "DoubleValue(10.0)"),
            ],
        );
        let open_for = attribute(&record.attributes, "breaker.open_for");
        assert!(open_for.is_some(), "{record:?}");

        sidecar.breaker.force(Mode::Shadow);
        let received = collector.logs().await;
        let mut records = received.records();
        let record = records.find(|record| record.event_name == "breaker.mode_changed");
        let modes = [
            ("breaker.name", "pay"),
            ("breaker.mode.from", "auto"),
            ("breaker.mode.to", "shadow"),
        ];
        assert_attributes(record.unwrap(), &modes);
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn what_an_operator_changes_is_a_record() {
    let mut collector = Collector::grpc(ANY).await;
    let endpoint = format!("http://{}", collector.address);
    let sidecar = Sidecar::start(&[
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &endpoint),
        ("OTEL_BLRP_SCHEDULE_DELAY", "20"),
    ])
    .await;
    let request = "PUT /api/v1/breakers/pay/mode HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                   Content-Length: 50\r\n\r\n{\"mode\":\"shadow\",\"for\":9.5,\"reason\":\"game day #4\"}";
    let answer = exchange(sidecar.admin, request).await;
    assert!(answer.contains(" 200 "), "{answer}");
    let record = loop {
        let received = collector.logs().await;
        let mut records = received.records();
        if let Some(record) = records.find(|record| record.event_name == "breaker.control") {
            break record.clone();
        }
    };
    let expected = [
        ("breaker.name", "pay"),
        ("breaker.control.action", "set_mode"),
        ("breaker.control.before", "auto"),
        ("breaker.control.after", "shadow for 9.5s"),
        ("breaker.control.reason", "game day #4"),
        ("client.address", "127.0.0.1"),
    ];
    assert_attributes(&record, &expected);
    sidecar.stop().await;
}

#[tokio::test]
async fn shutdown_sends_the_records_that_still_wait() {
    let mut collector = Collector::grpc(ANY).await;
    let endpoint = format!("http://{}", collector.address);
    let sidecar = Sidecar::start(&[
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", &endpoint),
        ("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
    ])
    .await;
    // A request is answered after the events are followed.
    assert_eq!(sidecar.send("GET /pay/7", &[]).await, 200);
    sidecar.breaker.force(Mode::ForcedOpen);
    assert_eq!(sidecar.send("GET /pay/7", &[]).await, 503);
    sidecar.stop().await;
    let received = collector.logs().await;
    let names: Vec<_> = received
        .records()
        .map(|record| &*record.event_name)
        .collect();
    assert!(names.contains(&"breaker.mode_changed"), "{names:?}");
}

/// What `log` logs, without a collector.
fn logged(log: impl FnOnce(&Logger)) -> Vec<String> {
    let meter = NoopMeterProvider::new().meter("test");
    let dropped = meter.u64_counter("dropped").build().bind(&[]);
    let delay = Duration::from_secs(1);
    let batches = Batches {
        delay,
        queue: 10,
        size: 10,
    };
    let queue = Arc::new(Queue::new(batches, dropped));
    let logger = Logger::new(Resource::builder_empty().build(), queue.clone());
    log(&logger);
    let records = queue.take().into_iter();
    records.map(|record| format!("{record:?}")).collect()
}

/// What the events of `breaker` are as records.
fn records(breaker: &mut Breaker) -> Vec<String> {
    logged(|logger| {
        while let Some(event) = breaker.poll_event() {
            assert!(!matches!(event, Event::RampStarted { .. }));
            logger.event(&"pay".into(), &event);
        }
    })
}

/// What the upstream `pay` tells whose second endpoint fails.
fn ejected() -> Happened {
    let mut endpoints = Endpoints::new(EndpointSettings::default(), 1, Timestamp::ZERO).unwrap();
    let ids = [1, 2, 3].map(|id| (EndpointId(id), 1));
    endpoints.replace(ids, Timestamp::ZERO);
    for request in 0.. {
        let now = Timestamp::from_millis(request * 10);
        let pick = endpoints.pick(now, request, |_| Candidate::Fresh).unwrap();
        let outcome = match pick.id() {
            EndpointId(2) => Outcome::failure(Duration::from_millis(1)),
            _ => Outcome::success(Duration::from_millis(1)),
        };
        let attempt = endpoints.begin(pick, now);
        endpoints.end(attempt, outcome, now);
        if let Some(event) = endpoints.poll_event() {
            return happened(Occurrence::Endpoints(event));
        }
    }
    unreachable!("it fails always");
}

fn happened(what: Occurrence) -> Happened {
    let is_of_one = matches!(what, Occurrence::Endpoints(_));
    Happened {
        upstream: "pay".into(),
        endpoint: is_of_one.then(|| Endpoint::new("10.0.0.2", 9001)),
        what,
    }
}

#[test]
fn an_ejection_is_a_record_with_the_numbers_that_justify_it() {
    let records = logged(|logger| logger.happened(&ejected()));
    for part in [
        "breaker.endpoint.ejected",
        "Warn",
        "10.0.0.2:9001 is out for",
        "breaker.upstream",
        "server.address",
        "server.port",
        "breaker.endpoint.reason",
        "breaker.endpoint.out_for",
        "breaker.observed",
        "breaker.observed.low",
        "breaker.threshold",
        "breaker.samples",
        "breaker.anomaly.evidence",
        "breaker.anomaly.line",
    ] {
        assert!(records[0].contains(part), "{part}: {}", records[0]);
    }
}

#[test]
fn what_else_happens_to_endpoints_is_a_record_too() {
    let (at, id) = (Timestamp::from_millis(1), EndpointId(2));
    let readmitted = EndpointEvent::Readmitted {
        at,
        id,
        after: Duration::from_secs(5),
        by: Readmission::Probes(2),
    };
    let panic = EndpointEvent::Panic {
        at,
        bad: 2,
        most: 1,
        endpoints: 3,
        by_checks: false,
    };
    let found = Discovered {
        found: 40,
        used: 16,
        added: 3,
        removed: 1,
        why: None,
    };
    for (what, parts) in [
        (
            Occurrence::Endpoints(readmitted),
            [
                "breaker.endpoint.readmitted",
                "Info",
                "breaker.endpoint.out\"",
            ],
        ),
        (
            Occurrence::Endpoints(panic),
            ["breaker.upstream.panic", "Warn", "breaker.upstream.bad"],
        ),
        (
            Occurrence::Discovered(found),
            [
                "breaker.upstream.discovered",
                "Info",
                "breaker.upstream.used",
            ],
        ),
    ] {
        let records = logged(|logger| logger.happened(&happened(what)));
        for part in parts {
            assert!(records[0].contains(part), "{part}: {}", records[0]);
        }
    }
}

fn failed(policy: Policy) -> Breaker {
    after(20, Outcome::failure(Duration::from_millis(1)), policy)
}

/// A breaker after so many requests that ended so.
fn after(requests: u64, outcome: Outcome, policy: Policy) -> Breaker {
    let mut breaker = Breaker::new(policy, 1, Timestamp::ZERO);
    for request in 0..requests {
        let now = Timestamp::from_millis(request);
        let permit = breaker.try_acquire(now).unwrap();
        let trace = TraceId::new(u128::from(request));
        breaker.record(permit, outcome.traced(trace), now);
    }
    breaker
}

#[test]
fn a_transition_names_five_of_the_traces_it_is_about() {
    let mut breaker = failed(Policy::sensitive());
    let [record] = &records(&mut breaker)[..] else {
        panic!("one record");
    };
    for id in 15..=19 {
        assert!(record.contains(&format!("\"{id:032x}\"")), "{record}");
    }
    assert!(!record.contains(&format!("{:032x}", 14)), "{record}");
}

#[test]
fn what_is_about_no_trace_names_none() {
    let mut breaker = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
    breaker.force(Mode::ForcedOpen, Timestamp::ZERO);
    assert!(!records(&mut breaker)[0].contains("breaker.traces"));
}

#[test]
fn shedding_is_a_warning_with_its_limit_and_its_end_has_the_counts() {
    let yaml = "name: shed\nmin_requests: 10\ntrip:\n  - { p50: 1ms, action: shed }\n";
    let policy = breaker_tower::breaker_core::policy::yaml::parse(yaml, None).unwrap();
    let slow = Outcome::success(Duration::from_millis(5));
    let mut breaker = after(90, slow, policy);
    breaker.handle_timeout(Timestamp::from_millis(100));
    breaker.handle_timeout(Timestamp::from_millis(60_000));
    let records = records(&mut breaker);
    let [started, ended] = &records[..] else {
        panic!("{records:?}");
    };
    for part in [
        "breaker.shedding_started",
        "Warn",
        "breaker.limit",
        "p50 5ms ≥ 1ms",
    ] {
        assert!(started.contains(part), "{part} in {started}");
    }
    for part in [
        "breaker.shedding_ended",
        "Info",
        "0 of 0 requests were rejected",
    ] {
        assert!(ended.contains(part), "{part} in {ended}");
    }
}

#[test]
fn an_alert_is_a_warning_with_its_numbers() {
    let yaml = "name: watch\nmin_requests: 10\ntrip:\n  - { error_rate: 50%, action: alert }\n";
    let policy = breaker_tower::breaker_core::policy::yaml::parse(yaml, None).unwrap();
    let records = records(&mut failed(policy));
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    for part in [
        "breaker.alert",
        "Warn",
        "error_rate",
        "Double(0.5)",
        "error rate 100% ≥ 50%",
    ] {
        assert!(record.contains(part), "{part} in {record}");
    }
}

#[test]
fn an_alert_of_a_detector_has_rate_interval_baseline_and_evidence_against_its_line() {
    let mut breaker = Breaker::new(Policy::adaptive(), 1, Timestamp::ZERO);
    for request in 0..3000_u64 {
        let now = Timestamp::from_millis(request * 10);
        let permit = breaker.try_acquire(now).unwrap();
        let latency = Duration::from_millis(1);
        let outcome = match request % 10 {
            0 if request > 1000 => Outcome::failure(latency),
            _ => Outcome::success(latency),
        };
        breaker.record(permit, outcome, now);
    }
    let records = records(&mut breaker);
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    for part in [
        "breaker.signal",
        "errors",
        "breaker.observed.low",
        "breaker.observed.high",
        "breaker.threshold",
        "breaker.anomaly.evidence",
        "breaker.anomaly.line",
        "of the requests fail (",
        "is normal",
        "alarm at",
    ] {
        assert!(record.contains(part), "{part} in {record}");
    }
}

#[test]
fn a_reset_is_a_record() {
    let mut breaker = failed(Policy::sensitive());
    breaker.reset(Timestamp::from_millis(20));
    let records = records(&mut breaker);
    assert!(
        records
            .iter()
            .any(|record| record.contains("reset while open")),
        "{records:?}"
    );
}
