//! Jaeger's JSON: traces with spans, as the UI and the API export them, or single spans, as its
//! databases store them.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::Reader;
use super::span::{self, Served, Sides};
use crate::backtest::line::Line;
use crate::backtest::loss::Bad;

#[derive(Default)]
struct Jaeger {
    sides: Sides,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "it is no answer of Jaeger's API, no trace with spans, and no span"
)]
enum Document {
    Traces { data: Vec<Trace> },
    Trace(Trace),
    Span(Span),
}

#[derive(Deserialize)]
struct Trace {
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(rename = "spanID")]
    id: Option<String>,
    #[serde(rename = "traceID")]
    trace: Option<String>,
    operation_name: String,
    #[serde(default)]
    start_time: u64,
    duration: Option<u64>,
    #[serde(default)]
    tags: Vec<Tag>,
    references: Option<Vec<Reference>>,
    #[serde(rename = "processID")]
    process: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "refType")]
    kind: Option<String>,
    #[serde(rename = "spanID")]
    span: Option<String>,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

pub(super) fn reader() -> Box<dyn Reader> {
    Box::new(Jaeger::default())
}

impl Reader for Jaeger {
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad> {
        let document =
            serde_json::from_slice(record).map_err(|error| Bad::syntax(error.to_string()))?;
        let traces = match document {
            Document::Traces { data } => data,
            Document::Trace(trace) => vec![trace],
            Document::Span(span) => vec![Trace { spans: vec![span] }],
        };
        let mut invalid = 0;
        // Jaeger stores a span twice if it was received twice. The spans of one document belong to
        // few traces.
        let mut known = HashSet::new();
        let spans = || traces.iter().flat_map(|trace| &trace.spans);
        let servers: HashSet<_> = spans()
            .filter(|span| span.is_server())
            .filter_map(|span| Some((&span.trace, span.id.as_ref()?, span.process.as_ref()?)))
            .collect();
        for span in spans() {
            let tags: Vec<_> = span
                .tags
                .iter()
                .map(|tag| (&*tag.key, text(&tag.value)))
                .collect();
            if !span.is_server() {
                self.sides.other += 1;
                continue;
            }
            // Two libraries of one process may make a server span each for the same request, one in
            // the other, for example HTTP and Next.js.
            let is_outer = |process, parent| servers.contains(&(&span.trace, parent, process));
            let process = span.process.as_ref();
            if process.is_some_and(|process| span.parents().any(|parent| is_outer(process, parent)))
            {
                continue;
            }
            if span.id.is_some() && !known.insert((&span.trace, &span.id)) {
                continue;
            }
            self.sides.server += 1;
            let served = Served {
                start: span.start_time,
                lasted: span.duration,
                name: Cow::Borrowed(&span.operation_name),
                is_error: tags
                    .iter()
                    .any(|(key, text)| *key == "error" && text == "true"),
                tags,
            };
            invalid += u64::from(!served.take(take));
        }
        span::invalid(invalid)
    }

    fn nothing(&self) -> Option<String> {
        self.sides.nothing("span.kind: server")
    }
}

impl Span {
    fn is_server(&self) -> bool {
        let is = |tag: &Tag| tag.key == "span.kind" && tag.value == "server";
        self.tags.iter().any(is)
    }

    /// The ids of the spans in which this one happened.
    fn parents(&self) -> impl Iterator<Item = &String> {
        self.references
            .iter()
            .flatten()
            .filter(|reference| reference.kind.as_deref() == Some("CHILD_OF"))
            .filter_map(|reference| reference.span.as_ref())
            .filter(|parent| self.id.as_ref() != Some(parent))
    }
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_span_in_another_one_of_the_same_process_is_no_request_of_its_own() {
        for (inner, requests) in [
            (r#""CHILD_OF","spanID":"a"}],"processID":"p1""#, 1),
            (r#""CHILD_OF","spanID":"a"}],"processID":"p2""#, 2),
            (r#""FOLLOWS_FROM","spanID":"a"}],"processID":"p1""#, 2),
            // The client through which a service calls itself.
            (r#""CHILD_OF","spanID":"c"}],"processID":"p1""#, 2),
            // A span in itself, which is wrong, and still a request.
            (r#""CHILD_OF","spanID":"b"}],"processID":"p1""#, 2),
            (r#""CHILD_OF","spanID":"a"}],"process":"unknown""#, 2),
        ] {
            let span = |id: &str, kind: &str, rest: &str| {
                format!(
                    r#"{{"traceID":"t","spanID":"{id}","operationName":"pay","startTime":1,
                    "duration":1,"tags":[{{"key":"span.kind","value":"{kind}"}}],{rest}}}"#
                )
            };
            let trace = [
                span(
                    "b",
                    "server",
                    &format!(r#""references":[{{"refType":{inner}"#),
                ),
                span("a", "server", r#""references":null,"processID":"p1""#),
                span("c", "client", r#""processID":"p1""#),
            ];
            let trace = format!(r#"{{"traceID":"t","spans":[{}]}}"#, trace.join(","));
            let mut served = 0;
            let read = Jaeger::default().read(trace.as_bytes(), &mut |_| served += 1);
            assert_eq!((read, served), (Ok(()), requests), "{inner}");
        }
    }
}
