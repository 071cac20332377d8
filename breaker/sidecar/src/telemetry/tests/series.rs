use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::Classification;
use breaker_tower::{BreakerHandle, OnDrop, Policy};
use http::{Method, StatusCode, Version};

use super::breakers;
use crate::findings::{Failed, Findings};
use crate::registry::{Breakers, RegisteredBreaker, Registry, Watched};
use crate::telemetry::{
    Catalog, Environment, ExportSettings, Exposition, Finished, Recorder, Telemetry,
};

fn telemetry() -> (Telemetry, Recorder) {
    let settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
    let (telemetry, _) = Telemetry::start(settings, breakers([])).unwrap();
    let recorder = telemetry.recorder(Arc::new(Catalog {
        routes: vec!["pay".into()],
        endpoints: Vec::new(),
    }));
    (telemetry, recorder)
}

fn record(recorder: &Recorder, route: Option<u16>, method: &Method, status: u16) {
    recorder.record(&Finished {
        method,
        https: false,
        version: Version::HTTP_11,
        route,
        status: Some(StatusCode::from_u16(status).unwrap()),
        error: None,
        duration: Duration::from_millis(1),
        trace: None,
    });
}

fn counts(telemetry: &Telemetry) -> Vec<(String, u64)> {
    let text = telemetry.exposition(Exposition::Prometheus).1;
    text.lines()
        .filter_map(|line| line.strip_prefix("http_server_request_duration_seconds_count{"))
        .map(|line| {
            let (labels, count) = line.rsplit_once("} ").unwrap();
            (labels.to_owned(), count.parse().unwrap())
        })
        .collect()
}

#[test]
fn a_method_that_nobody_knows_is_other_and_no_route_is_no_attribute() {
    let (telemetry, recorder) = telemetry();
    record(&recorder, None, &Method::from_bytes(b"BREW").unwrap(), 404);
    record(&recorder, None, &Method::from_bytes(b"STEAM").unwrap(), 404);
    assert_eq!(
        counts(&telemetry),
        [(
            "http_request_method=\"_OTHER\",http_response_status_code=\"404\",\
             network_protocol_version=\"1.1\",url_scheme=\"http\""
                .to_owned(),
            2
        )]
    );
}

#[test]
fn a_status_from_500_on_is_an_error_of_the_server() {
    let (telemetry, recorder) = telemetry();
    record(&recorder, Some(0), &Method::GET, 499);
    record(&recorder, Some(0), &Method::GET, 503);
    let counts = counts(&telemetry);
    assert!(
        !counts
            .iter()
            .any(|(labels, _)| labels.contains("error_type=\"499\""))
    );
    assert!(
        counts
            .iter()
            .any(|(labels, _)| labels.contains("error_type=\"503\""))
    );
}

#[test]
fn series_are_capped_and_no_request_is_lost() {
    let (telemetry, recorder) = telemetry();
    let methods = [Method::GET, Method::PUT, Method::POST, Method::HEAD];
    for _ in 0..2 {
        for status in 100..=999 {
            for method in &methods {
                record(&recorder, Some(0), method, status);
            }
        }
    }
    let counts = counts(&telemetry);
    assert_eq!(counts.len(), 2_001);
    assert!(
        counts
            .iter()
            .any(|(labels, _)| labels.contains("otel_metric_overflow"))
    );
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(total, 2 * 900 * methods.len() as u64);
}

#[test]
fn workers_share_the_series() {
    let (telemetry, recorder) = telemetry();
    let other = recorder.clone();
    record(&recorder, Some(0), &Method::GET, 200);
    record(&other, Some(0), &Method::GET, 200);
    let counts = counts(&telemetry);
    assert_eq!(counts.len(), 1);
    assert_eq!(counts[0].1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_limit_in_force_has_a_gauge() {
    let yaml = "name: shed\nmin_requests: 1\ntrip:\n  - { p50: 10ms, action: shed }\n";
    let policy = breaker_tower::breaker_core::policy::yaml::parse(yaml, None).unwrap();
    let sheds = BreakerHandle::new("pay", policy);
    let idle = BreakerHandle::new("other", Policy::adaptive());
    for breaker in [&sheds, &idle] {
        let request = breaker.try_acquire(OnDrop::Ignored).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        request.finish(Classification::Success);
    }
    let breakers = [&sheds, &idle]
        .into_iter()
        .map(|breaker| Watched::from(&RegisteredBreaker::from(breaker)));
    let settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
    let (telemetry, _) = Telemetry::start(settings, Breakers::from_iter(breakers)).unwrap();
    let text = telemetry.exposition(Exposition::Prometheus).1;
    let limits = text
        .lines()
        .filter(|line| line.starts_with("breaker_concurrency_limit{"));
    let limits: Vec<_> = limits.collect();
    assert_eq!(
        limits,
        ["breaker_concurrency_limit{breaker_name=\"pay\"} 1"]
    );
}

#[test]
fn each_detector_of_a_source_has_a_score() {
    let adaptive = BreakerHandle::new("pay", Policy::adaptive());
    let sensitive = BreakerHandle::new("other", Policy::sensitive());
    for breaker in [&adaptive, &sensitive] {
        drop(breaker.try_acquire(OnDrop::Ignored));
    }
    let breakers = [&adaptive, &sensitive]
        .into_iter()
        .map(|breaker| Watched::from(&RegisteredBreaker::from(breaker)));
    let settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
    let (telemetry, _) = Telemetry::start(settings, Breakers::from_iter(breakers)).unwrap();
    let text = telemetry.exposition(Exposition::Prometheus).1;
    let scores = text
        .lines()
        .filter(|line| line.starts_with("breaker_anomaly_score_ratio{"));
    let labels: Vec<_> = scores.filter_map(|line| line.split(' ').next()).collect();
    let expected = ["deadline", "errors", "latency"].map(|signal| {
        format!(
            "breaker_anomaly_score_ratio{{breaker_name=\"pay\",breaker_signal=\"{signal}\",breaker_source=\"proxy\"}}"
        )
    });
    assert_eq!(labels, expected);
}

#[test]
fn how_requests_failed_is_counted_by_source_kind_and_endpoint_until_the_route_is_gone() {
    let findings = Arc::<Findings>::default();
    let now = tokio::time::Instant::now();
    for (kind, endpoint) in [
        ("503", Some("10.0.0.7:80")),
        ("503", Some("[::1]:80")),
        ("connection_refused", Some("unix:/run/pay.sock")),
        ("timeout", None),
    ] {
        let (trace, count) = (None, 2);
        let failed = Failed {
            kind,
            endpoint,
            trace,
            count,
        };
        findings.failed("proxy", failed, now);
    }
    let pay = RegisteredBreaker::from(&BreakerHandle::new("pay", Policy::sensitive()));
    let registry: Registry = [pay.with_findings(findings)].into_iter().collect();
    let settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
    let (telemetry, _) = Telemetry::start(settings, registry.watched()).unwrap();
    let series = || -> Vec<String> {
        let text = telemetry.exposition(Exposition::Prometheus).1;
        let lines = text.lines();
        let lines = lines.filter_map(|line| line.strip_prefix("breaker_failures_total"));
        lines.map(str::to_owned).collect()
    };
    let of = |error: &str, more: &str| {
        format!("{{breaker_name=\"pay\",breaker_source=\"proxy\",error_type=\"{error}\"{more}}} 2")
    };
    assert_eq!(
        series(),
        [
            of("503", ",server_address=\"10.0.0.7\",server_port=\"80\""),
            of("503", ",server_address=\"::1\",server_port=\"80\""),
            of(
                "connection_refused",
                ",server_address=\"unix:/run/pay.sock\""
            ),
            of("timeout", ""),
        ]
    );
    registry.replace([], crate::config::Policies::default());
    assert_eq!(series(), [""; 0]);
}
