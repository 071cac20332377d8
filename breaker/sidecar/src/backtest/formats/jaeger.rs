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
        for span in traces.iter().flat_map(|trace| &trace.spans) {
            let tags: Vec<_> = span
                .tags
                .iter()
                .map(|tag| (&*tag.key, text(&tag.value)))
                .collect();
            let has = |name: &str, value: &str| {
                tags.iter().any(|(key, text)| *key == name && text == value)
            };
            if !has("span.kind", "server") {
                self.sides.other += 1;
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
                is_error: has("error", "true"),
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

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.to_string()),
    }
}
