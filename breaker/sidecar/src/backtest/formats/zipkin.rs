//! Zipkin's JSON, version 2: a list of spans, or of traces that are lists of spans.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::Reader;
use super::span::{Served, Sides, invalid};
use super::text::route_of_path;
use crate::backtest::line::Line;
use crate::backtest::loss::Bad;

#[derive(Default)]
struct Zipkin {
    sides: Sides,
}

#[derive(Deserialize)]
struct Span {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    timestamp: u64,
    duration: Option<u64>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl Span {
    /// The name of the span. Envoy names all spans by their host: then the path of the URL.
    fn route(&self) -> Cow<'_, str> {
        let path_after_name = |url: &str| {
            let (_, rest) = url.split_once("://")?;
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (rest[..end] == self.name).then(|| route_of_path(url).into_owned())
        };
        let path = self
            .tags
            .get("http.url")
            .and_then(|url| path_after_name(url));
        path.map_or(Cow::Borrowed(&*self.name), Cow::Owned)
    }
}

pub(super) fn reader() -> Box<dyn Reader> {
    Box::new(Zipkin::default())
}

impl Reader for Zipkin {
    fn read(&mut self, record: &[u8], take: &mut dyn FnMut(&Line<'_>)) -> Result<(), Bad> {
        // `source` splits lists into single spans.
        let span: Span =
            serde_json::from_slice(record).map_err(|error| Bad::syntax(error.to_string()))?;
        if span.kind != "SERVER" {
            self.sides.other += 1;
            return Ok(());
        }
        self.sides.server += 1;
        let tags = span
            .tags
            .iter()
            .map(|(key, text)| (&**key, Cow::Borrowed(&**text)));
        let served = Served {
            start: span.timestamp,
            lasted: span.duration,
            name: span.route(),
            // Any text in this tag means an error. Brave writes the status there, others write a
            // message.
            is_error: span.tags.get("error").is_some_and(|text| text != "false"),
            tags: tags.collect(),
        };
        invalid(u64::from(!served.take(take)))
    }

    fn nothing(&self) -> Option<String> {
        self.sides.nothing("kind: SERVER")
    }
}
