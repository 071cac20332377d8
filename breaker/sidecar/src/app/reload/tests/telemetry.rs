//! Feeds, over a reload.

use breaker_tower::State;
use breaker_tower::breaker_core::Snapshot;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::Bench;

const LEDGER: &str = "  - { name: pay, upstream: app, policy: sensitive, feeds: [{ name: ledger, span: client }] }\n";

/// Tells of `count` client spans that failed just now.
async fn tell(bench: &Bench, first: u64, count: u64) {
    #[expect(
        clippy::disallowed_methods,
        reason = "telemetry is stamped with wall-clock times"
    )]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let span = |id: u64| Span {
        trace_id: u128::from(id).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        kind: 3,
        start_time_unix_nano: now - 1_000_000,
        end_time_unix_nano: now,
        status: Some(Status {
            code: 2,
            ..Status::default()
        }),
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: (first..first + count).map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    let body = ExportTraceServiceRequest {
        resource_spans: vec![resource],
    }
    .encode_to_vec();
    let mut stream = TcpStream::connect(bench.receives.unwrap()).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

fn failures(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let sources = snapshot.sources.iter().skip(1);
    sources
        .map(|source| (source.name.to_string(), source.failure))
        .collect()
}

#[tokio::test]
async fn a_feed_that_stays_goes_on_counting_and_others_come_and_go() {
    let bench = Bench::start(LEDGER).await;
    tell(&bench, 1, 19).await;
    bench.write("  - { name: pay, upstream: app, policy: sensitive, feeds: [{ name: new, span: server }, { name: ledger, span: client }] }\n");
    assert_eq!(bench.reload().await.updated, ["pay"]);
    let breaker = bench.breaker("pay");
    assert_eq!(
        failures(&breaker.snapshot()),
        [("new".into(), 0), ("ledger".into(), 19)]
    );
    // A batch that is sent again is known, also after the feed has moved.
    tell(&bench, 1, 19).await;
    assert_eq!(breaker.state(), State::Closed);
    tell(&bench, 20, 1).await;
    assert_eq!(breaker.state(), State::Open);
    let metrics = bench.metrics().await;
    for line in [
        "breaker_feed_samples_total{breaker_feed_fate=\"counted\",breaker_name=\"pay\",breaker_source=\"ledger\"} 20",
        "breaker_feed_samples_total{breaker_feed_fate=\"duplicate\",breaker_name=\"pay\",breaker_source=\"ledger\"} 19",
        "breaker_feed_samples_total{breaker_feed_fate=\"counted\",breaker_name=\"pay\",breaker_source=\"new\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    bench.write("  - { name: pay, upstream: app, policy: sensitive, feeds: [{ name: new, span: server }] }\n");
    bench.reload().await;
    assert_eq!(failures(&breaker.snapshot()), [("new".into(), 0)]);
    assert!(!bench.metrics().await.contains("breaker_source=\"ledger\""));
}
