//! A line of the access log.

use std::fmt::Write;
use std::sync::Arc;

use breaker_tower::breaker_core::Attribution;
use http::{StatusCode, Version};
use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::{Format, LogEntry};
use crate::lines;
use crate::message::decision::outcome;
use crate::message::failure::Failure;

/// A request, with names for what it has as indices.
pub(super) struct Line<'a> {
    pub(super) route: Option<&'a Arc<str>>,
    pub(super) endpoint: Option<&'a String>,
    pub(super) failure: Option<Failure>,
    pub(super) attribution: Option<Attribution>,
    pub(super) entry: &'a LogEntry<'a>,
}

/// The fields in their order. Times are in seconds.
#[derive(Serialize)]
struct Fields<'a> {
    time: String,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    /// What the breaker made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    /// As the breaker measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<f64>,
    /// To the end of the answer's body.
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

impl Line<'_> {
    pub(super) fn in_format(&self, format: Format) -> Vec<u8> {
        self.fields().in_format(format)
    }

    fn fields(&self) -> Fields<'_> {
        let LogEntry {
            finished,
            path,
            decision,
            ..
        } = self.entry;
        let admitted = decision.filter(|decision| decision.ending.is_some());
        Fields {
            time: now(),
            method: bounded(finished.method.as_str()),
            path: bounded(path),
            status: finished.status.map(|status| status.as_u16()),
            protocol: protocol(finished.version),
            route: self.route.map(|route| &**route),
            outcome: decision
                .map(|decision| outcome(decision.classification(), finished.is_fallback)),
            failure: self.failure.map(|failure| failure.to_string()),
            attribution: self.attribution.map(Attribution::label),
            endpoint: self.endpoint.map(String::as_str),
            latency: admitted.map(|decision| decision.latency.as_secs_f64()),
            duration: finished.duration.as_secs_f64(),
            trace: self.entry.trace().map(|trace| trace.to_string()),
        }
    }
}

impl Fields<'_> {
    fn in_format(&self, format: Format) -> Vec<u8> {
        let text = match format {
            Format::Json => serde_json::to_string(self).unwrap_or_default(),
            Format::Text => in_text(self),
        };
        // A client must neither command a terminal nor forge a line.
        let mut line = lines::printable(&text);
        line.push('\n');
        line.into_bytes()
    }
}

/// The line of a request that was no request, and was answered with `status`: nothing else is known
/// of it.
pub(super) fn refused(status: StatusCode, format: Format) -> Vec<u8> {
    let fields = Fields {
        time: now(),
        method: "-",
        path: "-",
        status: Some(status.as_u16()),
        protocol: protocol(Version::HTTP_11),
        route: None,
        outcome: None,
        failure: None,
        attribution: Some(Attribution::Caller.label()),
        endpoint: None,
        latency: None,
        duration: 0.0,
        trace: None,
    };
    fields.in_format(format)
}

fn in_text(fields: &Fields<'_>) -> String {
    let mut text = format!("{} {} ", fields.time, fields.method);
    // Nor forge a field.
    text.push_str(&lines::escaped(fields.path, char::is_whitespace));
    match fields.status {
        Some(status) => _ = write!(text, " {status}"),
        None => text.push_str(" -"),
    }
    let mut push = |name: &str, value: Option<&dyn std::fmt::Display>| {
        if let Some(value) = value {
            let _ = write!(text, " {name}={value}");
        }
    };
    push("protocol", Some(&fields.protocol));
    push("route", fields.route.as_ref().map(|value| value as _));
    push("outcome", fields.outcome.as_ref().map(|value| value as _));
    push("failure", fields.failure.as_ref().map(|value| value as _));
    let attribution = fields.attribution.as_ref();
    push("attribution", attribution.map(|value| value as _));
    push("endpoint", fields.endpoint.as_ref().map(|value| value as _));
    push("latency", fields.latency.as_ref().map(|value| value as _));
    push("duration", Some(&fields.duration));
    push("trace", fields.trace.as_ref().map(|value| value as _));
    text
}

/// When the line is written: when the request is over.
fn now() -> String {
    let mut text = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// Bytes of what a caller chose.
const MAX_TEXT: usize = 1024;
