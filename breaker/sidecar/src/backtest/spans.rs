//! A line of the OpenTelemetry Collector's file exporter: one `ExportTraceServiceRequest`, whose server spans are requests.

use std::time::Duration;

use breaker_tower::core::{Timestamp, Verdict};

use super::judge::Verdicts;
use crate::ingest::convention::Facts;
use crate::ingest::otlp::{Attributes, Span, SpanKind, TraceVisitor, Value, json, read_traces};

/// A server span, as the request that it is of.
pub(super) struct Served<'a> {
    pub(super) at: Timestamp,
    pub(super) latency: Duration,
    /// `http.route`, or else the span's name.
    pub(super) route: &'a str,
    facts: Facts<'a>,
    status: crate::ingest::otlp::StatusCode,
}

/// Whether a file with this line is OTLP and not a recording: the names of signals begin alike.
pub(super) fn is_otlp(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let key = line.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    key.is_some_and(|key| key.starts_with(b"\"resource"))
}

/// Tells `serve` of each server span of `line`, and counts the spans whose times or ids are none.
///
/// # Errors
/// What is wrong with the line.
pub(super) fn read(line: &[u8], serve: impl FnMut(&Served<'_>)) -> Result<u64, String> {
    let message = json::traces(line)
        .map_err(|error| error.to_string())?
        .message;
    let mut visitor = Visitor { serve, invalid: 0 };
    read_traces(&message, &mut visitor).map_err(|error| error.to_string())?;
    Ok(visitor.invalid)
}

struct Visitor<F> {
    serve: F,
    invalid: u64,
}

impl Served<'_> {
    /// What policies with these failure rules make of it.
    pub(super) fn verdicts(&self, policies: &[breaker_tower::Policy]) -> Verdicts {
        Verdicts::new(policies.len(), |index| self.verdict(&policies[index]))
    }

    fn verdict(&self, policy: &breaker_tower::Policy) -> Verdict {
        self.facts.verdict(self.status, policy.failure())
    }
}

impl<F: FnMut(&Served<'_>)> TraceVisitor for Visitor<F> {
    fn resource(&mut self, _: Attributes<'_>) -> bool {
        true
    }

    fn scope(&mut self, _: &str, _: &str) -> bool {
        true
    }

    fn span(&mut self, span: &Span<'_>) {
        if span.kind != SpanKind::Server {
            return;
        }
        let route = match span.attributes.get("http.route") {
            Some(Value::Str(route)) if !route.is_empty() => route,
            _ => span.name,
        };
        let is_route = (1..=super::line::MOST_ROUTE).contains(&route.len());
        if !is_route || span.start == 0 || span.end < span.start {
            return self.invalid_span();
        }
        (self.serve)(&Served {
            at: Timestamp::from_nanos(span.start),
            latency: Duration::from_nanos(span.end - span.start),
            route,
            facts: Facts::of(span.attributes),
            status: span.status,
        });
    }

    fn invalid_span(&mut self) {
        self.invalid += 1;
    }
}

#[cfg(test)]
mod tests {
    use breaker_tower::Policy;

    use super::*;

    /// As the Collector's file exporter writes it, with a client's span that is no request here.
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
        let invalid = read(LINE.as_bytes(), |span| {
            served.push((
                span.at.as_nanos(),
                span.latency.as_millis(),
                span.route.to_owned(),
                span.verdict(&policy),
            ));
        });
        assert_eq!(invalid, Ok(1), "the one that ends before it begins");
        assert_eq!(
            served,
            [
                (
                    1_544_712_660_000_000_000,
                    250,
                    "/pay/{id}".to_owned(),
                    Verdict::Failure
                ),
                (
                    1_544_712_661_000_000_000,
                    1,
                    "grpc.Pay/Get".to_owned(),
                    Verdict::Success
                ),
            ]
        );
    }

    #[test]
    fn a_file_of_other_signals_is_otlp_too_and_has_no_requests() {
        assert!(is_otlp(br#" { "resourceMetrics": [] }"#));
        assert!(!is_otlp(
            br#"{"t":1,"route":"resource","latency":1,"status":200}"#
        ));
        assert_eq!(read(br#"{"resourceMetrics":[]}"#, |_| panic!()), Ok(0));
        assert!(read(br#"{"resourceSpans":"#, |_| panic!()).is_err());
    }
}
