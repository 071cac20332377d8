use std::sync::atomic::Ordering;

use breaker_tower::breaker_core::Feed;
use breaker_tower::{BreakerHandle, Policy, State};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tokio::time::Instant;

use super::*;
use crate::findings::Findings;
use breaker_otlp::SpanKind;
use breaker_otlp::matching::{FeedMatcher, Pattern, Takes, Test};

const CLIENT: i32 = 3;
const ERROR: i32 = 2;
const HOUR: u64 = 3_600_000_000_000;

/// A breaker with a feed, and the sampler that tells it.
struct Bench {
    breaker: BreakerHandle,
    told: Arc<SampleCounts>,
    sampler: FeedSampler,
    spans: u64,
}

impl Bench {
    fn new(takes: Takes) -> Self {
        let breaker = BreakerHandle::new("pay", Policy::sensitive());
        let fed = fed(&breaker, "ledger-db", takes);
        Self {
            told: fed.told.clone(),
            sampler: FeedSampler::new(vec![fed]),
            breaker,
            spans: 0,
        }
    }

    fn of_spans() -> Self {
        Self::new(spans())
    }

    /// Client spans that failed, each another, that ended at `ended`.
    fn failed(&mut self, count: u64, ended: u64) -> Vec<Span> {
        let first = self.spans + 1;
        self.spans += count;
        (first..=self.spans)
            .map(|id| Span {
                trace_id: u128::from(id).to_be_bytes().to_vec(),
                span_id: id.to_be_bytes().to_vec(),
                kind: CLIENT,
                start_time_unix_nano: ended.saturating_sub(3_000_000),
                end_time_unix_nano: ended,
                attributes: vec![text("db.system.name", "postgresql")],
                status: Some(Status {
                    code: ERROR,
                    ..Status::default()
                }),
                ..Span::default()
            })
            .collect()
    }

    fn send(&self, spans: Vec<Span>) -> Result<Accepted, Malformed> {
        self.sampler
            .sample(Signal::Traces, Encoding::Protobuf, &request(spans))
    }

    fn fates(&self) -> Vec<(SampleDisposition, u64)> {
        let fates = SampleDisposition::ALL.map(|fate| (fate, self.told.of(fate)));
        fates.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

fn fed(breaker: &BreakerHandle, name: &str, takes: Takes) -> FeedBinding {
    let matcher = FeedMatcher {
        takes,
        resource: vec![("service.name".to_owned(), equal("checkout"))],
        scope: None,
        attributes: Vec::new(),
    };
    let source = breaker.add_feed(Feed::new(name));
    FeedBinding::new(breaker.clone(), source, name.into(), matcher, None)
}

fn equal(text: &str) -> Pattern {
    Pattern::any([Test::equal(text)])
}

fn spans() -> Takes {
    Takes::Spans([SpanKind::Client].into_iter().collect())
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn checkout() -> Option<Resource> {
    Some(Resource {
        attributes: vec![text("service.name", "checkout")],
        ..Resource::default()
    })
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: checkout(),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

/// A point of a histogram with bounds at 0.5 s and 1 s.
fn points(start: u64, time: u64, counts: [u64; 3], temporality: i32) -> Vec<u8> {
    let point = HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: counts.iter().sum(),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![0.5, 1.0],
        ..HistogramDataPoint::default()
    };
    let metric = Metric {
        name: "http.server.request.duration".to_owned(),
        unit: "s".to_owned(),
        data: Some(metric::Data::Histogram(Histogram {
            data_points: vec![point],
            aggregation_temporality: temporality,
        })),
        ..Metric::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: checkout(),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    request.encode_to_vec()
}

#[test]
fn spans_that_fail_open_the_breaker_of_their_feed() {
    let mut bench = Bench::of_spans();
    let spans = bench.failed(20, now());
    assert_eq!(bench.send(spans).unwrap().items, 20);
    assert_eq!(bench.breaker.state(), State::Open);
    let reason = bench.breaker.snapshot().reason.to_string();
    assert_eq!(
        reason,
        "error rate 100% ≥ 8%, 20 requests in 10s (source ledger-db)"
    );
    assert_eq!(bench.fates(), [(SampleDisposition::Counted, 20)]);
}

#[test]
fn other_services_and_kinds_are_not_counted() {
    let mut bench = Bench::of_spans();
    let mut spans = bench.failed(40, now());
    for span in &mut spans {
        span.kind = 2;
    }
    bench.send(spans).unwrap();
    assert_eq!(bench.fates(), []);
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn a_span_that_two_feeds_take_counts_for_each() {
    let one = BreakerHandle::new("one", Policy::sensitive());
    let two = BreakerHandle::new("two", Policy::sensitive());
    let feeds = vec![fed(&one, "db", spans()), fed(&two, "db", spans())];
    let sampler = FeedSampler::new(feeds);
    let failed = Bench::of_spans().failed(20, now());
    sampler
        .sample(Signal::Traces, Encoding::Protobuf, &request(failed))
        .unwrap();
    assert_eq!([one.state(), two.state()], [State::Open, State::Open]);
}

#[test]
fn a_batch_that_is_sent_again_counts_once() {
    let mut bench = Bench::of_spans();
    let spans = bench.failed(19, now());
    bench.send(spans.clone()).unwrap();
    bench.send(spans).unwrap();
    assert_eq!(
        bench.fates(),
        [
            (SampleDisposition::Counted, 19),
            (SampleDisposition::Duplicate, 19)
        ]
    );
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn a_malformed_batch_counts_nothing_of_itself() {
    let mut bench = Bench::of_spans();
    let mut bytes = request(bench.failed(40, now()));
    // A field that is longer than what is left.
    bytes.extend([0x0a, 0x7f]);
    let sent = bench
        .sampler
        .sample(Signal::Traces, Encoding::Protobuf, &bytes);
    assert!(sent.is_err());
    assert_eq!(bench.fates(), []);
    let mut bytes = points(now() - 1, now(), [0, 0, 40], 1);
    bytes.extend([0x0a, 0x7f]);
    let sent = bench
        .sampler
        .sample(Signal::Metrics, Encoding::Protobuf, &bytes);
    assert!(sent.is_err());
}

#[test]
fn a_clock_that_is_an_hour_off_counts_nothing() {
    let mut bench = Bench::of_spans();
    let (early, late) = (
        bench.failed(20, now() + HOUR),
        bench.failed(20, now() - HOUR),
    );
    bench.send(early).unwrap();
    bench.send(late).unwrap();
    assert_eq!(
        bench.fates(),
        [
            (SampleDisposition::Late, 20),
            (SampleDisposition::Future, 20)
        ]
    );
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn a_span_whose_times_cannot_be_is_invalid_and_costs_no_other() {
    const DAY: u64 = 24 * HOUR;
    let end = now();
    let table = [
        ("no begin", 0, end),
        ("no end", end, 0),
        ("neither", 0, 0),
        ("an end before the begin", end, end - 1),
        ("a begin in nanoseconds of 1970", 1, end),
        ("a begin in microseconds", end / 1_000, end),
        ("a begin eight days ago", end - 8 * DAY, end),
        ("an end at the end of time", 0, u64::MAX),
        ("all of time", 1, u64::MAX),
    ];
    for (what, start, end) in table {
        let mut bench = Bench::of_spans();
        let mut spans = bench.failed(2, end);
        spans[0].start_time_unix_nano = start;
        spans[0].end_time_unix_nano = end;
        spans[1] = bench.failed(1, now()).remove(0);
        bench.send(spans).unwrap();
        let fates = [
            (SampleDisposition::Counted, 1),
            (SampleDisposition::Invalid, 1),
        ];
        assert_eq!(bench.fates(), fates, "{what}");
    }
    let mut bench = Bench::of_spans();
    let ahead = bench.failed(1, end + HOUR);
    bench.send(ahead).unwrap();
    assert_eq!(bench.fates(), [(SampleDisposition::Future, 1)]);
}

#[test]
fn a_bad_span_of_a_json_batch_is_told_and_the_others_count() {
    let bench = Bench::of_spans();
    let now = now();
    let span = |id: u64, start: &str| {
        format!(
            r#"{{"traceId":"{id:032x}","spanId":"{id:016x}","kind":3,"name":"\ud83d",
                "startTimeUnixNano":{start},"endTimeUnixNano":"{now}","status":{{"code":2}}}}"#
        )
    };
    let (good, bad) = (format!("{}", now - 1_000_000), "\"soon\"");
    let body = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"checkout"}}}}]}},
            "scopeSpans":[{{"spans":[{},{},{}]}}]}}]}}"#,
        span(1, &good),
        span(2, bad),
        span(3, &good),
    );
    let accepted = bench
        .sampler
        .sample(Signal::Traces, Encoding::Json, body.as_bytes());
    let wanted = Accepted {
        items: 3,
        rejected: 1,
        message: r#""soon" is no value of startTimeUnixNano"#.to_owned(),
    };
    assert_eq!(accepted, Ok(wanted));
    assert_eq!(bench.fates(), [(SampleDisposition::Counted, 2)]);
}

#[test]
fn a_span_that_ends_before_it_begins_is_invalid() {
    let mut bench = Bench::of_spans();
    let mut spans = bench.failed(20, now());
    for span in &mut spans {
        span.start_time_unix_nano = span.end_time_unix_nano + 1;
    }
    bench.send(spans).unwrap();
    assert_eq!(bench.fates(), [(SampleDisposition::Invalid, 20)]);
}

#[test]
fn json_counts_as_protobuf_does() {
    let bench = Bench::of_spans();
    let ended = now();
    let spans: Vec<_> = (1..=20)
        .map(|id| {
            format!(
                r#"{{"traceId": "{id:032X}", "spanId": "{id:016x}", "kind": 3, "startTimeUnixNano": "{}",
                "endTimeUnixNano": {ended}, "status": {{"code": 2}}}}"#,
                ended - 5
            )
        })
        .collect();
    let json = format!(
        r#"{{"resourceSpans": [{{"resource": {{"attributes": [{{"key": "service.name", "value": {{"stringValue": "checkout"}}}}]}},
        "scopeSpans": [{{"spans": [{}]}}]}}]}}"#,
        spans.join(",")
    );
    bench
        .sampler
        .sample(Signal::Traces, Encoding::Json, json.as_bytes())
        .unwrap();
    assert_eq!(bench.fates(), [(SampleDisposition::Counted, 20)]);
    assert_eq!(bench.breaker.state(), State::Open);
    let sent = bench
        .sampler
        .sample(Signal::Traces, Encoding::Json, b"{\"resourceSpans\": 7}");
    assert!(sent.is_err());
}

#[test]
fn a_slow_share_above_a_bound_of_the_buckets_opens() {
    let histogram = || Takes::Histogram(equal("http.server.request.duration"));
    let send = |bench: &Bench, counts| {
        let bytes = points(now() - 1_000_000, now(), counts, 1);
        bench
            .sampler
            .sample(Signal::Metrics, Encoding::Protobuf, &bytes)
            .unwrap();
        bench.breaker.state()
    };
    // `sensitive` opens when half of the requests take a second.
    let bench = Bench::new(histogram());
    assert_eq!(send(&bench, [10, 11, 20]), State::Closed);
    assert_eq!(bench.fates(), [(SampleDisposition::Counted, 41)]);
    let bench = Bench::new(histogram());
    assert_eq!(send(&bench, [10, 10, 20]), State::Open);
    let reason = bench.breaker.snapshot().reason.to_string();
    assert!(reason.ends_with("(source ledger-db)"), "{reason}");
}

#[test]
fn a_cumulative_histogram_counts_what_is_new_in_it() {
    let histogram = Takes::Histogram(equal("http.server.request.duration"));
    let bench = Bench::new(histogram);
    let (start, ended) = (now() - HOUR, now());
    for (time, counts) in [
        (ended - 3, [1000, 0, 500]),
        (ended - 2, [1000, 0, 510]),
        (ended - 2, [1000, 0, 510]),
        (ended - 1, [1002, 0, 510]),
    ] {
        let bytes = points(start, time, counts, 2);
        bench
            .sampler
            .sample(Signal::Metrics, Encoding::Protobuf, &bytes)
            .unwrap();
    }
    assert_eq!(
        bench.fates(),
        [
            (SampleDisposition::Counted, 12),
            (SampleDisposition::Duplicate, 1),
            (SampleDisposition::Baseline, 1)
        ]
    );
}

/// On a machine that has much to do a thread may miss the whole of a batch, but not of all.
#[test]
fn requests_of_the_route_have_their_turn_while_a_large_batch_is_told() {
    let end = Instant::now() + std::time::Duration::from_secs(60);
    while turns_in_a_large_batch() == 0 {
        let is_over = Instant::now() > end;
        assert!(!is_over, "each batch was told at once");
    }
}

/// How often another thread has its turn while a batch is told.
fn turns_in_a_large_batch() -> u32 {
    const COUNT: u64 = 60_000;
    let mut bench = Bench::of_spans();
    let spans = bench.failed(COUNT, now()).into_iter();
    let spans = spans.map(|span| Span {
        status: None,
        ..span
    });
    let spans = spans.collect();
    let is_told = std::sync::atomic::AtomicBool::new(false);
    // Else the batch may be over before the thread has begun.
    let both_run = std::sync::Barrier::new(2);
    let breaker = bench.breaker.clone();
    let turns = std::thread::scope(|scope| {
        let turns = scope.spawn(|| {
            let mut turns = 0;
            both_run.wait();
            while !is_told.load(Ordering::Acquire) {
                let counted = breaker.snapshot().sources[1].totals.success;
                turns += u32::from((1..COUNT).contains(&counted));
            }
            turns
        });
        both_run.wait();
        bench.send(spans).unwrap();
        is_told.store(true, Ordering::Release);
        turns.join().unwrap()
    });
    let fates = bench.fates();
    let all: u64 = fates.iter().map(|(_, count)| count).sum();
    assert_eq!(all, COUNT, "{fates:?}");
    match fates[..] {
        [(SampleDisposition::Counted, _)] => turns,
        // It took so long to make them that some were late, which nobody was told of.
        [.., (SampleDisposition::Late, _)] => 0,
        _ => panic!("{fates:?}"),
    }
}

fn named(service: &str) -> Option<Resource> {
    Some(Resource {
        attributes: vec![text("service.name", service)],
        ..Resource::default()
    })
}

fn of_service(service: &str, scope: &str, spans: Vec<Span>) -> Vec<u8> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: named(service),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: scope.to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

thread_local! {
    static CLOCK: std::cell::Cell<u64> = std::cell::Cell::new(now());
}

/// A sampler whose clock stands, with a feed of client spans of checkout to PostgreSQL.
struct Idle {
    findings: Arc<Findings>,
    sampler: FeedSampler,
    spans: Bench,
}

impl Idle {
    fn new() -> Self {
        let breaker = BreakerHandle::new("pay", Policy::sensitive());
        let findings = Arc::<Findings>::default();
        let mut fed = fed(&breaker, "db", spans()).with_findings(findings.clone());
        fed.matcher.scope = Some(equal("jdbc"));
        fed.matcher.attributes = vec![("db.system.name".to_owned(), equal("mysql"))];
        Self {
            findings,
            sampler: FeedSampler::with_clock(vec![fed], || CLOCK.get()),
            spans: Bench::of_spans(),
        }
    }

    fn pass(seconds: u64) {
        CLOCK.set(CLOCK.get() + seconds * 1_000_000_000);
    }

    /// Sends a span a second later.
    fn send(&mut self, service: &str, scope: &str, change: impl FnOnce(&mut Span)) {
        Self::pass(1);
        let mut spans = self.spans.failed(1, CLOCK.get());
        change(&mut spans[0]);
        let message = of_service(service, scope, spans);
        let sent = self
            .sampler
            .sample(Signal::Traces, Encoding::Protobuf, &message);
        sent.unwrap();
    }

    fn told(&self) -> Option<String> {
        self.findings
            .unmatched("db")
            .map(|unmatched| unmatched.detail)
    }
}

#[test]
fn a_feed_that_matches_nothing_says_what_arrives() {
    let mut idle = Idle::new();
    let told = |idle: &Idle, expected: &str| {
        let told = idle.told().unwrap();
        let told = told.strip_prefix("nothing that arrived matches: it asks for ");
        assert_eq!(told, Some(expected));
    };
    assert_eq!(idle.told().as_deref(), Some("no telemetry has arrived yet"));
    idle.send("check-out", "jdbc", |_| {});
    let expected = "service.name checkout, which arrives as check-out (did you mean check-out?)";
    told(&idle, expected);
    idle.send("cart", "jdbc", |_| {});
    let expected =
        "service.name checkout, which arrives as check-out, cart (did you mean check-out?)";
    told(&idle, expected);
    // What comes further says more.
    idle.send("checkout", "http", |_| {});
    told(&idle, "scope jdbc, which arrives as http");
    idle.send("checkout", "jdbc", |span| span.kind = 2);
    let expected = "kind client, which arrives as server; it asks for db.system.name mysql, \
                    which arrives as postgresql";
    told(&idle, expected);
    // Once it matches, there is nothing to say.
    let matching = |span: &mut Span| span.attributes = vec![text("db.system.name", "mysql")];
    idle.send("checkout", "jdbc", matching);
    assert_eq!(idle.told(), None);
    idle.send("check-out", "jdbc", |_| {});
    assert_eq!(idle.told(), None);
    // When that is long ago, there is.
    Idle::pass(61);
    idle.send("check-out", "jdbc", |_| {});
    let expected = "service.name checkout, which arrives as check-out (did you mean check-out?)";
    told(&idle, expected);
}

#[test]
fn telemetry_of_the_other_signal_is_told() {
    let mut idle = Idle::new();
    let metrics = points(1, 2, [1, 0, 0], 1);
    let sent = |idle: &Idle| {
        let sampler = &idle.sampler;
        sampler
            .sample(Signal::Metrics, Encoding::Protobuf, &metrics)
            .unwrap();
    };
    sent(&idle);
    let told = idle.told().unwrap();
    assert!(
        told.ends_with("it asks for signal traces, which arrives as metrics"),
        "{told}"
    );
    idle.send("other", "jdbc", |_| {});
    assert_eq!(idle.told(), Some(told));
}

#[test]
fn texts_of_others_take_no_more_than_a_little_memory() {
    let mut idle = Idle::new();
    for number in 0..100 {
        let service = format!("\u{1b}]0;{number}\u{7}{}", "x".repeat(100_000));
        idle.send(&service, "jdbc", |_| {});
    }
    let unmatched = idle.findings.unmatched("db").unwrap();
    let [miss] = &*unmatched.misses else {
        panic!("{unmatched:?}");
    };
    assert_eq!((miss.arrived.len(), miss.more), (8, true));
    assert!(unmatched.detail.len() < 2_000);
    assert!(!unmatched.detail.contains(char::is_control));
}

#[test]
fn no_more_than_one_batch_a_second_is_looked_at() {
    let mut idle = Idle::new();
    idle.send("one", "jdbc", |_| {});
    let message = of_service("two", "jdbc", idle.spans.failed(1, CLOCK.get()));
    for _ in 0..3 {
        let sent = idle
            .sampler
            .sample(Signal::Traces, Encoding::Protobuf, &message);
        sent.unwrap();
    }
    let miss = idle.findings.unmatched("db").unwrap().misses.remove(0);
    assert_eq!(miss.arrived, ["one"]);
}

#[test]
fn how_requests_of_a_feed_failed_is_noted_of_those_that_count() {
    let breaker = BreakerHandle::new("pay", Policy::sensitive());
    let findings = Arc::<Findings>::default();
    let fed = fed(&breaker, "db", spans()).with_findings(findings.clone());
    let sampler = FeedSampler::new(vec![fed]);
    let mut bench = Bench::of_spans();
    let mut spans = bench.failed(5, now());
    spans[1].attributes = vec![text("error.type", "timeout")];
    spans[2].attributes = vec![
        text("error.type", "timeout"),
        text("server.address", "db-1"),
    ];
    spans[3].attributes = vec![text("http.response.status_code", "200")];
    spans[4].end_time_unix_nano = now() - HOUR;
    spans[4].start_time_unix_nano = now() - HOUR;
    // What is told again counts once.
    for _ in 0..2 {
        let message = request(spans.clone());
        sampler
            .sample(Signal::Traces, Encoding::Protobuf, &message)
            .unwrap();
    }
    let kinds = findings.failures("db", Instant::now()).into_iter();
    let kinds: Vec<_> = kinds
        .map(|kind| (kind.kind, kind.endpoint, kind.recent, kind.trace.is_some()))
        .collect();
    let of = |kind: &str, endpoint: Option<&str>| {
        (kind.to_owned(), endpoint.map(str::to_owned), 1, true)
    };
    let expected = [
        of("_OTHER", None),
        of("timeout", None),
        of("timeout", Some("db-1")),
    ];
    assert_eq!(kinds, expected);
}
