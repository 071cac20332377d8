//! The rows of feeds in the table of `docs/outcomes.md`: what one span or point counts as, sent as
//! OTLP to a receiver. The document and these are compared both ways, and so are the words of
//! `docs/feeds.md`.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;

use breaker_otlp::SpanKind;
use breaker_otlp::convention::{CALLER_GONE, CALLERS_DEADLINE};
use breaker_otlp::matching::{FeedMatcher, Pattern, Takes, Test};
use breaker_sidecar::ingest::{FeedBinding, FeedSampler, Receiver, Signal};
use breaker_tower::breaker_core::Feed;
use breaker_tower::{BreakerHandle, Policy};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use crate::client::export;
use crate::harness::settings;

/// The signal that tells of a request.
#[derive(Clone, Copy, Debug)]
enum By {
    Client,
    Server,
    /// A point of a histogram.
    Point,
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    Int(i64),
    Text(&'static str),
}

use Sent::{Int, Text};

/// What is told: by whom, the number of the span's status, and attributes.
type Told = (By, i32, &'static [(&'static str, Sent)]);

struct Row {
    ending: &'static str,
    outcome: &'static str,
    latency: &'static str,
    /// Each of them has this ending.
    told: &'static [Told],
}

macro_rules! rows {
    ($($ending:literal, $outcome:literal, $latency:literal, $told:expr;)*) => {
        &[$(Row { ending: $ending, outcome: $outcome, latency: $latency, told: &$told }),*]
    };
}

const HTTP: &str = "http.response.status_code";
const OLD_HTTP: &str = "http.status_code";
const RPC: &str = "rpc.response.status_code";
const GRPC: &str = "rpc.grpc.status_code";
const ERROR_TYPE: &str = "error.type";
const EXCEPTION: &str = "exception.type";
const FLAGS: &str = "response_flags";

const UNSET: i32 = 0;
const OK: i32 = 1;
const ERROR: i32 = 2;

use By::{Client, Point, Server};

#[rustfmt::skip]
const ROWS: &[Row] = rows![
    "HTTP 200", "success", "yes", [
        (Client, UNSET, &[(HTTP, Int(200))]),
        (Server, UNSET, &[(OLD_HTTP, Text("200"))]),
        (Point, UNSET, &[(HTTP, Int(200))]),
    ];
    "HTTP 404", "success", "yes", [
        (Client, ERROR, &[(HTTP, Int(404)), (ERROR_TYPE, Text("404"))]),
        (Server, UNSET, &[(HTTP, Int(404))]),
        (Point, UNSET, &[(HTTP, Int(404)), (ERROR_TYPE, Text("404"))]),
    ];
    "HTTP 500", "failure", "yes", [
        (Client, ERROR, &[(HTTP, Int(500))]),
        (Server, ERROR, &[(HTTP, Int(500))]),
        (Server, OK, &[(HTTP, Int(500))]),
        (Point, UNSET, &[(HTTP, Int(500))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("500"))]),
    ];
    "HTTP 499", "ignored", "no", [
        (Client, ERROR, &[(HTTP, Int(499))]),
        (Server, UNSET, &[(HTTP, Int(499))]),
        (Point, UNSET, &[(HTTP, Int(499))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("499"))]),
    ];
    "HTTP status 0 or 9999, and nothing else", "success", "yes", [
        (Client, UNSET, &[(HTTP, Int(0))]),
        (Server, UNSET, &[(HTTP, Int(9999))]),
        (Server, UNSET, &[(HTTP, Text("9999"))]),
        (Point, UNSET, &[(HTTP, Int(9999))]),
    ];
    "HTTP status 0 or 9999, and another attribute that means failure", "failure", "yes", [
        (Client, ERROR, &[(HTTP, Int(0))]),
        (Server, ERROR, &[(HTTP, Int(9999))]),
        (Server, UNSET, &[(HTTP, Int(9999)), (OLD_HTTP, Int(500))]),
        (Server, UNSET, &[(RPC, Int(9999)), (GRPC, Int(14))]),
        (Server, UNSET, &[(RPC, Int(9999)), (HTTP, Int(500))]),
        (Client, UNSET, &[(HTTP, Int(0)), (ERROR_TYPE, Text("java.net.ConnectException"))]),
        (Point, UNSET, &[(HTTP, Int(0)), (ERROR_TYPE, Text("timeout"))]),
    ];
    "HTTP status 0 or 9999, and the caller gave up", "ignored", "no", [
        (Client, ERROR, &[(HTTP, Int(0)), (ERROR_TYPE, Text("AbortError"))]),
        (Server, ERROR, &[(HTTP, Int(9999)), (ERROR_TYPE, Text("context canceled"))]),
        (Server, ERROR, &[(HTTP, Int(9999)), (GRPC, Int(1))]),
        (Server, UNSET, &[(OLD_HTTP, Text("0")), (FLAGS, Text("DC"))]),
        (Point, UNSET, &[(HTTP, Int(9999)), (ERROR_TYPE, Text("ClientDisconnect"))]),
    ];
    "gRPC OK", "success", "yes", [
        (Client, UNSET, &[(GRPC, Int(0))]),
        (Server, UNSET, &[(RPC, Text("OK"))]),
        (Point, UNSET, &[(RPC, Text("OK"))]),
    ];
    "gRPC UNAVAILABLE", "failure", "yes", [
        (Client, ERROR, &[(GRPC, Int(14))]),
        (Server, ERROR, &[(RPC, Text("UNAVAILABLE"))]),
        (Server, UNSET, &[(HTTP, Int(200)), (GRPC, Int(14))]),
        (Point, UNSET, &[(RPC, Text("UNAVAILABLE"))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("UNAVAILABLE"))]),
    ];
    "gRPC CANCELLED", "ignored", "no", [
        (Client, ERROR, &[(GRPC, Int(1))]),
        (Server, UNSET, &[(RPC, Text("canceled"))]),
        (Point, UNSET, &[(RPC, Text("CANCELLED"))]),
    ];
    "gRPC DEADLINE_EXCEEDED", "ignored", "no", [
        (Client, ERROR, &[(GRPC, Int(4))]),
        (Server, ERROR, &[(GRPC, Int(4))]),
        (Server, ERROR, &[(RPC, Text("DEADLINE_EXCEEDED"))]),
        (Point, UNSET, &[(RPC, Text("DEADLINE_EXCEEDED"))]),
    ];
    "gRPC status 9999, which means UNKNOWN in gRPC", "failure", "yes", [
        (Client, UNSET, &[(GRPC, Int(9999))]),
        (Point, UNSET, &[(GRPC, Int(9999))]),
    ];
    "no status at all", "success", "yes", [
        (Client, UNSET, &[]),
        (Server, UNSET, &[]),
        (Server, 9999, &[]),
        (Point, UNSET, &[]),
    ];
    "the span's status ERROR alone", "failure", "yes", [
        (Client, ERROR, &[]),
        (Server, ERROR, &[]),
    ];
    "the span's status OK, and an error.type", "success", "yes", [
        (Client, OK, &[(ERROR_TYPE, Text("java.io.IOException"))]),
        (Server, OK, &[(ERROR_TYPE, Text("AbortError"))]),
    ];
    "error.type: the caller gave up", "ignored", "no", [
        (Server, ERROR, &[(ERROR_TYPE, Text("context canceled"))]),
        (Server, ERROR, &[(ERROR_TYPE, Text("context.Canceled"))]),
        (Server, ERROR, &[(ERROR_TYPE, Text("asyncio.CancelledError"))]),
        (Server, ERROR, &[(ERROR_TYPE, Text("asyncio.exceptions.CancelledError"))]),
        (Server, ERROR, &[(ERROR_TYPE, Text("starlette.requests.ClientDisconnect"))]),
        (Server, ERROR, &[(EXCEPTION, Text("System.OperationCanceledException"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("System.Threading.Tasks.TaskCanceledException"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("TaskCanceledException"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("AbortError"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("java.util.concurrent.CancellationException"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("kotlinx.coroutines.JobCancellationException"))]),
        (Server, ERROR, &[(EXCEPTION, Text("org.apache.catalina.ClientAbortException"))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("AbortError"))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("asyncio.CancelledError"))]),
    ];
    "error.type: the caller's deadline passed", "ignored", "no", [
        (Client, ERROR, &[(ERROR_TYPE, Text("context deadline exceeded"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("context.deadlineExceededError"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("google.api_core.exceptions.DeadlineExceeded"))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("deadline_exceeded"))]),
    ];
    "error.type: anything else", "failure", "yes", [
        (Client, ERROR, &[(ERROR_TYPE, Text("timeout"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("TimeoutError"))]),
        (Client, ERROR, &[(ERROR_TYPE, Text("java.net.SocketTimeoutException"))]),
        (Client, UNSET, &[(ERROR_TYPE, Text("_OTHER"))]),
        (Server, ERROR, &[(EXCEPTION, Text("NotCanceledError"))]),
        (Server, ERROR, &[(EXCEPTION, Text("canceled.Order"))]),
        (Point, UNSET, &[(ERROR_TYPE, Text("java.io.IOException"))]),
    ];
    "Envoy: 503 with the flag DC: the caller closed at its head", "failure", "yes", [
        (Server, UNSET, &[(OLD_HTTP, Text("503")), (FLAGS, Text("DC"))]),
        (Server, UNSET, &[(FLAGS, Text("DC")), (OLD_HTTP, Text("503"))]),
        (Server, UNSET, &[(OLD_HTTP, Text("200")), (GRPC, Int(14)), (FLAGS, Text("DC"))]),
        (Server, UNSET, &[(OLD_HTTP, Text("503")), (FLAGS, Text("UF,DC"))]),
        (Server, UNSET, &[(OLD_HTTP, Text("503")), (FLAGS, Text("UF"))]),
    ];
    "Envoy: 200 with the flag DC", "success", "yes", [
        (Server, UNSET, &[(OLD_HTTP, Text("200")), (FLAGS, Text("DC"))]),
    ];
    "Envoy: no status with the flag DC", "ignored", "no", [
        (Server, UNSET, &[(OLD_HTTP, Text("0")), (FLAGS, Text("DC"))]),
        (Server, UNSET, &[(OLD_HTTP, Text("0")), (FLAGS, Text("UT,DC"))]),
    ];
];

/// A receiver of its own for what is `told`, and what the breaker makes of it.
async fn run((by, status, attributes): Told) -> [&'static str; 2] {
    let takes = match by {
        Point => Takes::Histogram(Pattern::any([Test::equal("duration")])),
        Client => Takes::Spans([SpanKind::Client].into_iter().collect()),
        Server => Takes::Spans([SpanKind::Server].into_iter().collect()),
    };
    let matcher = FeedMatcher {
        takes,
        resource: Vec::new(),
        scope: None,
        attributes: Vec::new(),
    };
    let breaker = BreakerHandle::new("pay", Policy::sensitive());
    let source = breaker.add_feed(Feed::new("feed"));
    let fed = FeedBinding::new(breaker.clone(), source, "feed".into(), matcher, None);
    let receiver = Receiver::bind(settings()).unwrap();
    let address = receiver.addresses().grpc.unwrap();
    let sampler = Arc::new(FeedSampler::new(vec![fed]));
    let running = tokio::spawn(receiver.run(sampler, pending()));
    let attributes: Vec<_> = attributes.iter().map(attribute).collect();
    let (signal, batch) = match by {
        Point => (Signal::Metrics, point(attributes)),
        Client => (Signal::Traces, span(3, status, attributes)),
        Server => (Signal::Traces, span(2, status, attributes)),
    };
    let answer = export(address, signal, "", &batch).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (200, 0));
    running.abort();
    let snapshot = breaker.snapshot();
    let feed = &snapshot.sources[1];
    let outcome = match (feed.success, feed.failure, feed.ignored) {
        (1, 0, 0) => "success",
        (0, 1, 0) => "failure",
        (0, 0, 1) => "ignored",
        _ => "not counted once",
    };
    let latency = match feed.latency {
        Some(_) => "yes",
        None => "no",
    };
    [outcome, latency]
}

fn attribute((name, value): &(&str, Sent)) -> KeyValue {
    let value = match *value {
        Int(number) => Value::IntValue(number),
        Text(text) => Value::StringValue(text.to_owned()),
    };
    KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A batch with one span, which has just ended.
fn span(kind: i32, status: i32, attributes: Vec<KeyValue>) -> Vec<u8> {
    let now = now();
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        kind,
        start_time_unix_nano: now - MILLISECOND,
        end_time_unix_nano: now,
        attributes,
        status: (status != UNSET).then(|| Status {
            code: status,
            ..Status::default()
        }),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// A batch with one point of a histogram, of one request.
fn point(attributes: Vec<KeyValue>) -> Vec<u8> {
    let now = now();
    let point = HistogramDataPoint {
        attributes,
        start_time_unix_nano: now - MILLISECOND,
        time_unix_nano: now,
        count: 1,
        bucket_counts: vec![0, 1, 0],
        explicit_bounds: vec![0.001, 0.01],
        ..HistogramDataPoint::default()
    };
    let metric = Metric {
        name: "duration".to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram {
            data_points: vec![point],
            aggregation_temporality: 1,
        })),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    }];
    let resource_metrics = vec![ResourceMetrics {
        scope_metrics,
        ..ResourceMetrics::default()
    }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

#[tokio::test]
async fn each_ending_counts_as_the_table_says() {
    let mut wrong = Vec::new();
    for row in ROWS {
        for told in row.told {
            let found = run(*told).await;
            let expected = [row.outcome, row.latency];
            if found != expected {
                wrong.push(format!(
                    "{}: {told:?} {found:?}, not {expected:?}",
                    row.ending
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_document_has_these_rows_and_no_others() {
    let text = include_str!("../../../../docs/outcomes.md");
    let documented = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect::<Vec<_>>())
        .filter(|row| row.get(1) == Some(&"feed"))
        .collect::<BTreeSet<_>>();
    let rows = ROWS.iter().map(|row| {
        // A feed tells not of who caused an ending; what it ignores is a caller's doing.
        let by = match row.outcome {
            "ignored" => "caller",
            _ => "upstream",
        };
        vec![row.ending, "feed", by, row.outcome, row.latency, "-"]
    });
    assert_eq!(documented, rows.collect());
}

#[test]
fn the_document_has_these_words_and_no_others() {
    let text = include_str!("../../../../docs/feeds.md");
    for (row, words) in [
        ("| the caller went away | ", &CALLER_GONE[..]),
        ("| its deadline passed | ", &CALLERS_DEADLINE[..]),
    ] {
        let documented = text.lines().find_map(|line| line.strip_prefix(row));
        let documented = documented.unwrap().trim_end_matches(" |").split(", ");
        let documented: Vec<_> = documented.map(|word| word.trim_matches('`')).collect();
        assert_eq!(documented, words);
    }
}

/// Telemetry is stamped with wall-clock times, in nanoseconds since 1970.
fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

const MILLISECOND: u64 = 1_000_000;
