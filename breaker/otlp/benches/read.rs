//! What telemetry in costs: a span and a histogram point read in place, against the tree that prost
//! makes of them.

use std::hint::black_box;

use breaker_otlp::series::{Limits, ScopeId, SeriesTable};
use breaker_otlp::{
    Attributes, HistogramPoint, MetricVisitor, Span, TraceVisitor, json, read_metrics, read_traces,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as SentSpan, Status};
use prost::Message;

const SPANS: u64 = 512;
const POINTS: u64 = 512;
const SECOND: u64 = 1_000_000_000;

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn resource(service: &str) -> Option<Resource> {
    Some(Resource {
        attributes: vec![
            text("service.name", service),
            text(
                "service.instance.id",
                "627cc493-f310-47de-96bd-71410b7dec09",
            ),
            text("service.version", "2.4.1"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.language", "java"),
            text("host.name", "checkout-7d9f8b6c5-x2x7k"),
        ],
        ..Resource::default()
    })
}

/// A server span or a database call, with 8 to 12 attributes.
fn span(n: u64) -> SentSpan {
    let mut attributes = if n.is_multiple_of(2) {
        vec![
            text("http.request.method", "POST"),
            text("url.scheme", "https"),
            text("url.path", "/api/pay/1234567"),
            text("http.route", "/api/pay/{id}"),
            text("server.address", "checkout.example.com"),
            int("server.port", 443),
            int("http.response.status_code", 200),
            text("network.protocol.version", "1.1"),
            text("client.address", "10.12.14.16"),
            text(
                "user_agent.original",
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)",
            ),
        ]
    } else {
        vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", "ledger"),
            text("db.operation.name", "SELECT"),
            text("db.collection.name", "accounts"),
            text(
                "db.query.text",
                "SELECT balance FROM accounts WHERE id = $1 FOR UPDATE",
            ),
            text("server.address", "ledger-db.internal"),
            int("server.port", 5432),
            int("thread.id", 71),
        ]
    };
    if n.is_multiple_of(4) {
        attributes.push(text("thread.name", "http-nio-8080-exec-7"));
        attributes.push(text("error.type", "java.net.SocketTimeoutException"));
    }
    SentSpan {
        trace_id: u128::from(n + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .to_be_bytes()
            .to_vec(),
        span_id: (n + 1).to_be_bytes().to_vec(),
        parent_span_id: (n + 2).to_be_bytes().to_vec(),
        name: "POST /api/pay/{id}".into(),
        kind: 2 + (n % 2) as i32,
        start_time_unix_nano: 1_700_000_000 * SECOND + n,
        end_time_unix_nano: 1_700_000_001 * SECOND + n,
        attributes,
        status: Some(Status::default()),
        flags: 257,
        ..SentSpan::default()
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "io.opentelemetry.tomcat-10.0".into(),
        version: "2.11.0-alpha".into(),
        ..InstrumentationScope::default()
    })
}

fn traces() -> ExportTraceServiceRequest {
    let spans = |spans: std::ops::Range<u64>, service| ResourceSpans {
        resource: resource(service),
        scope_spans: vec![ScopeSpans {
            scope: scope(),
            spans: spans.map(span).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![
            spans(0..SPANS / 2, "checkout"),
            spans(SPANS / 2..SPANS, "ledger"),
        ],
    }
}

/// A cumulative histogram with the conventions' 14 bounds; each round counts one more in each
/// bucket.
fn metrics(round: u64) -> ExportMetricsServiceRequest {
    let bounds = [
        0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    ];
    let point = |n: u64| HistogramDataPoint {
        attributes: vec![
            text("http.request.method", "POST"),
            text("http.route", &format!("/api/{n}/{{id}}")),
            text("url.scheme", "https"),
            int("http.response.status_code", 200),
        ],
        start_time_unix_nano: 2 * SECOND,
        time_unix_nano: (3 + round) * SECOND,
        count: 15 * round,
        sum: Some(round as f64),
        bucket_counts: vec![round; 15],
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource("checkout"),
            scope_metrics: vec![ScopeMetrics {
                scope: scope(),
                metrics: vec![Metric {
                    name: "http.server.request.duration".into(),
                    unit: "s".into(),
                    data: Some(Data::Histogram(Histogram {
                        data_points: (0..POINTS).map(point).collect(),
                        aggregation_temporality: 2,
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn all(attributes: Attributes<'_>) {
    for attribute in attributes.iter() {
        black_box(attribute);
    }
}

/// Looks at every attribute of every span.
struct Everything(u64);

impl TraceVisitor for Everything {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        all(resource);
        true
    }
    fn scope(&mut self, _: &str, _: &str) -> bool {
        true
    }
    fn span(&mut self, span: &Span<'_>) {
        self.0 += 1;
        all(span.attributes);
        black_box(span);
    }
}

/// Looks at no span of any resource, as where no feed names the service.
struct Nothing;

impl TraceVisitor for Nothing {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        black_box(resource.get("service.name"));
        false
    }
    fn scope(&mut self, _: &str, _: &str) -> bool {
        false
    }
    fn span(&mut self, _: &Span<'_>) {}
}

fn spans(criterion: &mut Criterion) {
    let request = traces();
    let bytes = request.encode_to_vec();
    let json = to_json(&request);
    let mut group = criterion.benchmark_group("512 spans");
    group.throughput(Throughput::Elements(SPANS));
    group.bench_function("skimmed, all attributes", |bencher| {
        bencher.iter(|| {
            let mut everything = Everything(0);
            read_traces(black_box(&bytes), &mut everything).expect("well formed");
            assert_eq!(everything.0, SPANS);
        });
    });
    group.bench_function("skimmed, none wanted", |bencher| {
        bencher.iter(|| read_traces(black_box(&bytes), &mut Nothing));
    });
    group.bench_function("decoded by prost", |bencher| {
        bencher.iter(|| ExportTraceServiceRequest::decode(black_box(&bytes[..])));
    });
    group.bench_function("JSON, then skimmed", |bencher| {
        bencher.iter(|| {
            let request = json::traces(black_box(json.as_bytes())).expect("well formed");
            let mut everything = Everything(0);
            read_traces(&request.message, &mut everything).expect("well formed");
            assert_eq!(everything.0, SPANS);
        });
    });
    group.finish();
}

struct Points<'t> {
    table: Option<&'t mut SeriesTable>,
    origin: Option<ScopeId>,
    now: u64,
    seen: u64,
}

impl MetricVisitor for Points<'_> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.origin = self
            .table
            .as_ref()
            .map(|table| table.scope(table.resource(resource), "", ""));
        true
    }
    fn scope(&mut self, _: &str, _: &str) -> bool {
        true
    }
    fn histogram(&mut self, point: &HistogramPoint<'_>) {
        self.seen += 1;
        if let (Some(table), Some(origin)) = (&mut self.table, self.origin) {
            let increase = table.apply(origin, point, self.now);
            black_box(increase.expect("newer than the last").count());
        } else {
            all(point.attributes);
        }
    }
}

fn points(criterion: &mut Criterion) {
    let bytes = metrics(1).encode_to_vec();
    let mut group = criterion.benchmark_group("512 histogram points");
    group.throughput(Throughput::Elements(POINTS));
    group.bench_function("read, all attributes", |bencher| {
        bencher.iter(|| {
            let mut points = Points {
                table: None,
                origin: None,
                now: 0,
                seen: 0,
            };
            read_metrics(black_box(&bytes), &mut points).expect("well formed");
            assert_eq!(points.seen, POINTS);
        });
    });
    group.bench_function("read, increases taken", |bencher| {
        let mut table = SeriesTable::new(Limits::default(), SECOND);
        let mut round = 0;
        bencher.iter_batched(
            || {
                round += 1;
                (metrics(round).encode_to_vec(), (3 + round) * SECOND)
            },
            |(bytes, now)| {
                let mut points = Points {
                    table: Some(&mut table),
                    origin: None,
                    now,
                    seen: 0,
                };
                read_metrics(&bytes, &mut points).expect("well formed");
                assert_eq!(points.seen, POINTS);
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("decoded by prost", |bencher| {
        bencher.iter(|| ExportMetricsServiceRequest::decode(black_box(&bytes[..])));
    });
    group.finish();
}

/// As SDKs write it.
fn to_json(request: &ExportTraceServiceRequest) -> String {
    use serde_json::{Value as Json, json};
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let attributes = |attributes: &[KeyValue]| -> Json {
        let value = |attribute: &KeyValue| match attribute
            .value
            .as_ref()
            .and_then(|any| any.value.as_ref())
        {
            Some(Value::StringValue(text)) => json!({"stringValue": text}),
            Some(Value::IntValue(value)) => json!({"intValue": value.to_string()}),
            _ => json!({}),
        };
        attributes
            .iter()
            .map(|attribute| json!({"key": attribute.key, "value": value(attribute)}))
            .collect()
    };
    let span = |span: &SentSpan| {
        json!({
            "traceId": hex(&span.trace_id),
            "spanId": hex(&span.span_id),
            "parentSpanId": hex(&span.parent_span_id),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": span.start_time_unix_nano.to_string(),
            "endTimeUnixNano": span.end_time_unix_nano.to_string(),
            "attributes": attributes(&span.attributes),
            "status": {},
        })
    };
    let resource_spans = request.resource_spans.iter().map(|resource_spans| {
        let resource = resource_spans
            .resource
            .as_ref()
            .map(|resource| json!({"attributes": attributes(&resource.attributes)}));
        let scope_spans = resource_spans.scope_spans.iter().map(
            |scope_spans| json!({"spans": scope_spans.spans.iter().map(span).collect::<Json>()}),
        );
        json!({"resource": resource, "scopeSpans": scope_spans.collect::<Json>()})
    });
    json!({ "resourceSpans": resource_spans.collect::<Json>() }).to_string()
}

criterion_group!(benches, spans, points);
criterion_main!(benches);
