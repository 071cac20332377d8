//! A line of the OpenTelemetry Collector's file exporter: one `ExportTraceServiceRequest`, whose
//! server spans are requests.

use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;

use super::Reader;
use super::span::{Sides, invalid, route};
use crate::backtest::line::{Ending, Line, MOST_ROUTE};
use crate::backtest::loss::Bad;
use breaker_otlp::convention::Facts;
use breaker_otlp::{Attributes, Span, SpanKind, TraceVisitor, Value, json, read_traces};

#[derive(Default)]
struct Otlp {
    sides: Sides,
    /// Lines of metrics or logs.
    other_signals: u64,
}

struct Visitor<'a> {
    take: &'a mut dyn FnMut(&Line<'_>),
    sides: &'a mut Sides,
    invalid: u64,
}

pub(super) fn reader() -> Box<dyn Reader> {
    Box::new(Otlp::default())
}

/// The request in `record`: the whole record, or the value of its `result`. A gRPC gateway wraps
/// each message of a stream in a `result`.
pub(super) fn request(record: &[u8]) -> &[u8] {
    let inner = || {
        let fields = record.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?;
        let value = fields.trim_ascii_start().strip_prefix(b"\"result\"")?;
        value.trim_ascii_start().strip_prefix(b":")
    };
    inner().unwrap_or(record)
}

impl Reader for Otlp {
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad> {
        let record = request(record);
        let start = record
            .trim_ascii_start()
            .strip_prefix(b"{")
            .unwrap_or_default();
        let start = start.trim_ascii_start();
        let is_other =
            start.starts_with(b"\"resourceMetrics") || start.starts_with(b"\"resourceLogs");
        self.other_signals += u64::from(is_other);
        let message = json::traces(record)
            .map_err(|error| Bad::syntax(error.to_string()))?
            .message;
        let mut visitor = Visitor {
            take,
            sides: &mut self.sides,
            invalid: 0,
        };
        read_traces(&message, &mut visitor).map_err(|error| Bad::syntax(error.to_string()))?;
        invalid(visitor.invalid)
    }

    fn nothing(&self) -> Option<String> {
        let no_traces = "it has metrics or logs, and no traces: a backtest needs server spans";
        let is_other = self.other_signals > 0 && self.sides.other + self.sides.server == 0;
        is_other
            .then(|| no_traces.to_owned())
            .or_else(|| self.sides.nothing("kind 2"))
    }
}

impl TraceVisitor for Visitor<'_> {
    fn resource(&mut self, _: Attributes<'_>) -> bool {
        true
    }

    fn scope(&mut self, _: &str, _: &str) -> bool {
        true
    }

    fn span(&mut self, span: &Span<'_>) {
        if span.kind != SpanKind::Server {
            self.sides.other += 1;
            return;
        }
        self.sides.server += 1;
        let route = route(span.name, |key| match span.attributes.get(key) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        });
        let is_route = (1..=MOST_ROUTE).contains(&route.len());
        if !is_route || span.start == 0 || span.end < span.start {
            return self.invalid_span();
        }
        (self.take)(&Line::began(
            Timestamp::from_nanos(span.start),
            Duration::from_nanos(span.end - span.start),
            route,
            Ending::Span(Facts::of(span.attributes), span.status),
        ));
    }

    fn invalid_span(&mut self) {
        self.invalid += 1;
    }
}

#[cfg(test)]
mod tests {
    use breaker_tower::Policy;
    use breaker_tower::breaker_core::Classification;

    use super::*;

    /// As the Collector's file exporter writes it, with a client span, which is not a request here.
    const LINE: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}}]},"scopeSpans":[{"scope":{"name":"io"},"spans":[
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /pay","kind":2,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712660250000000","attributes":[{"key":"http.route","value":{"stringValue":"/pay/{id}"}},{"key":"http.response.status_code","value":{"intValue":"503"}}],"status":{"code":2}},
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","name":"SELECT","kind":3,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712660250000000"},
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b176","name":"grpc.Pay/Get","kind":2,"startTimeUnixNano":"1544712661000000000","endTimeUnixNano":"1544712661001000000","attributes":[{"key":"rpc.grpc.status_code","value":{"intValue":"0"}}]},
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b177","name":"backwards","kind":2,"startTimeUnixNano":"1544712661000000000","endTimeUnixNano":"1544712660000000000"}
    ]}]}]}"#;

    #[test]
    fn server_spans_become_requests() {
        let mut served = Vec::new();
        let policy = Policy::sensitive();
        let read = Otlp::default().read(LINE.as_bytes(), &mut |line| {
            let Ending::Span(facts, status) = line.ending else {
                panic!("{line:?}");
            };
            served.push((
                line.at.as_nanos(),
                line.latency.map(|latency| latency.as_millis()),
                line.route.to_string(),
                facts.classification(status, policy.failure()),
            ));
        });
        let bad = read.expect_err("the one that ends before it begins");
        assert!(bad.text.starts_with("1 server spans"), "{bad:?}");
        let at = 1_544_712_660_000_000_000;
        assert_eq!(
            served,
            [
                (
                    at,
                    Some(250),
                    "/pay/{id}".to_owned(),
                    Classification::Failure
                ),
                (
                    at + 1_000_000_000,
                    Some(1),
                    "grpc.Pay/Get".to_owned(),
                    Classification::Success
                ),
            ]
        );
    }

    #[test]
    fn a_request_may_be_the_result_of_a_gateway() {
        for wrapped in [
            format!(r#"{{"result":{LINE}}}"#),
            format!("{{ \"result\" :\n {LINE}\n}}\n"),
        ] {
            let mut served = 0;
            let _ = Otlp::default().read(wrapped.as_bytes(), &mut |_| served += 1);
            assert_eq!(served, 2, "{wrapped}");
        }
    }

    #[test]
    fn a_file_of_other_signals_has_no_requests_and_says_so() {
        let mut otlp = Otlp::default();
        assert_eq!(
            otlp.read(br#"{"resourceMetrics":[]}"#, &mut |_| panic!()),
            Ok(())
        );
        assert!(
            otlp.nothing()
                .expect("a reason")
                .starts_with("it has metrics or logs")
        );
        assert!(
            otlp.read(br#"{"resourceSpans":"#, &mut |_| panic!())
                .is_err()
        );
    }
}
