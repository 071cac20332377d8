//! Spans that are not OTLP. Their tags become attributes, so that the same rule judges all spans.

use std::borrow::Cow;
use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;

use super::text::route_of_path;
use crate::backtest::line::{Ending, Line};
use crate::backtest::loss::{Bad, Why};
use breaker_otlp::convention::Facts;
use breaker_otlp::{Attributes, StatusCode};

/// Counts the spans of a file by kind, to explain why it has no requests.
#[derive(Debug, Default)]
pub(super) struct Sides {
    pub(super) server: u64,
    pub(super) other: u64,
}

/// A server span, with times in microseconds.
pub(super) struct Served<'a> {
    pub(super) start: u64,
    pub(super) lasted: Option<u64>,
    pub(super) name: Cow<'a, str>,
    pub(super) tags: Vec<(&'a str, Cow<'a, str>)>,
    /// Whether it is marked as an error.
    pub(super) is_error: bool,
}

impl Sides {
    pub(super) fn nothing(&self, mark: &str) -> Option<String> {
        let Self { server, other } = *self;
        (server == 0 && other > 0).then(|| {
            format!("it has {other} spans, but none of a server ({mark}): only those are requests")
        })
    }
}

impl Served<'_> {
    pub(super) fn take(&self, take: &mut dyn FnMut(&Line<'_>)) -> bool {
        let tag = |name: &str| {
            self.tags
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, text)| &**text)
        };
        let route = route(&self.name, tag);
        let (Some(lasted), Some(start)) = (self.lasted, self.start.checked_mul(1000)) else {
            return false;
        };
        if route.is_empty() || start == 0 {
            return false;
        }
        let attributes = encoded(&self.tags);
        let status = match (tag("otel.status_code"), self.is_error) {
            (Some("OK"), _) => StatusCode::Ok,
            (Some("ERROR"), _) | (_, true) => StatusCode::Error,
            _ => StatusCode::Unset,
        };
        let facts = Facts::of(Attributes::new(&attributes, FIELD));
        take(&Line::began(
            Timestamp::from_nanos(start),
            Duration::from_micros(lasted),
            route,
            Ending::Span(facts, status),
        ));
        true
    }
}

/// The route of a server span with this name and these attributes: the path, if the name is one
/// that a library gives where it knows no route.
pub(super) fn route<'a>(
    name: &'a str,
    attribute: impl Fn(&str) -> Option<&'a str>,
) -> Cow<'a, str> {
    let attribute = |key: &str| attribute(key).filter(|text| !text.is_empty());
    if let Some(route) = attribute("http.route") {
        return route.into();
    }
    let is_general = GENERAL
        .iter()
        .any(|general| general.eq_ignore_ascii_case(name));
    let path = || PATHS.iter().find_map(|key| attribute(key));
    is_general
        .then(path)
        .flatten()
        .map_or(name.into(), route_of_path)
}

/// The error for so many bad spans, if there are any.
pub(super) fn invalid(spans: u64) -> Result<(), Bad> {
    match spans {
        0 => Ok(()),
        spans => Err(Bad::new(
            Why::Spans,
            format!("{spans} server spans have no ids, no name or no good times"),
        )),
    }
}

/// A message with `KeyValue`s of strings in the field [`FIELD`].
fn encoded(tags: &[(&str, Cow<'_, str>)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (name, value) in tags {
        let mut pair = Vec::new();
        push(&mut pair, 1, name.as_bytes());
        let mut any = Vec::new();
        push(&mut any, 1, value.as_bytes());
        push(&mut pair, 2, &any);
        push(&mut message, FIELD, &pair);
    }
    message
}

fn push(message: &mut Vec<u8>, field: u32, content: &[u8]) {
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, message);
    prost::encoding::encode_varint(content.len() as u64, message);
    message.extend_from_slice(content);
}

const FIELD: u32 = 9;

/// Names of spans that name no route: the method, `HTTP` for any other method, and Envoy's
/// `ingress`.
const GENERAL: [&str; 11] = [
    "CONNECT", "DELETE", "GET", "HEAD", "HTTP", "INGRESS", "OPTIONS", "PATCH", "POST", "PUT",
    "TRACE",
];

/// Attributes with the path of a request, alone or in a URL.
const PATHS: [&str; 5] = [
    "url.path",
    "http.target",
    "http.path",
    "url.full",
    "http.url",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_that_names_no_route_has_the_path_of_its_request() {
        for (name, attributes, expected) in [
            (
                "GET",
                &[("http.url", "http://shop/users/7?x=1")][..],
                "/users/{id}",
            ),
            ("get", &[("http.path", "/pay")], "/pay"),
            (
                "HTTP",
                &[("url.path", ""), ("url.full", "https://shop")],
                "/",
            ),
            ("ingress", &[("http.target", "/pay?x=1")], "/pay"),
            (
                "GET",
                &[("http.route", "/users/{n}"), ("url.path", "/users/7")],
                "/users/{n}",
            ),
            ("GET", &[("peer.address", "10.0.0.1")], "GET"),
            ("GET /users", &[("url.path", "/users/7")], "GET /users"),
        ] {
            let attribute = |wanted: &str| {
                let found = attributes.iter().find(|(key, _)| *key == wanted);
                found.map(|(_, text)| *text)
            };
            assert_eq!(route(name, attribute), expected, "{name} {attributes:?}");
        }
    }
}
