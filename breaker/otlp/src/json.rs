//! Converts OTLP/JSON to the protobuf bytes of the same request, so that one parser serves both.
//!
//! Each JSON value is written as soon as it is parsed, by the tables of `schema`, without a tree of
//! either form. Fields that the protobuf parser does not use are skipped, like unknown fields. The
//! parser's limit of 128 levels bounds the nesting, and [`MAX_MESSAGE`] the size.
//!
//! **An invalid value loses only the item that contains it.** An item is an attribute, a span, a
//! data point, a metric, or the scope or resource around them. The innermost one is removed and
//! counted. Invalid JSON in the strings and numbers of real senders is repaired first (`repair`).
//!
//! `opentelemetry-proto` has serde implementations for its types. But they reject unknown fields
//! inside attributes, which a receiver must ignore by the specification, and they build the tree
//! that is to be avoided here.

mod number;
mod output;
mod repair;
mod schema;
mod visit;

use serde::de::Deserializer;

use self::output::Output;
use self::schema::Message;
use self::visit::Object;

/// The maximum size of a request as protobuf: 64 MiB, the same as for a request that was sent as
/// protobuf.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Why a text is not an OTLP/JSON request, with line and column.
#[derive(Debug, thiserror::Error)]
#[error("invalid OTLP/JSON: {0}")]
pub struct Invalid(#[from] serde_json::Error);

/// A request as protobuf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcoded {
    /// Its bytes, without the invalid items.
    pub message: Vec<u8>,
    /// How many items were left out, not counting attributes.
    pub invalid: u64,
    /// The first problem; empty if there was none.
    pub complaint: String,
}

/// An `ExportTraceServiceRequest` as protobuf, for [`read_traces`](super::read_traces).
///
/// # Errors
///
/// [`Invalid`] if `json` is not such a request.
pub fn traces(json: &[u8]) -> Result<Transcoded, Invalid> {
    transcode(json, &schema::TRACES)
}

/// An `ExportMetricsServiceRequest` as protobuf, for [`read_metrics`](super::read_metrics).
///
/// # Errors
///
/// [`Invalid`] if `json` is not such a request.
pub fn metrics(json: &[u8]) -> Result<Transcoded, Invalid> {
    transcode(json, &schema::METRICS)
}

/// Checks that an `ExportLogsServiceRequest` is a JSON object. Logs are not read here, only passed
/// on.
///
/// # Errors
///
/// [`Invalid`] if it is not.
pub fn check_logs(json: &[u8]) -> Result<(), Invalid> {
    transcode(json, &Message(&[])).map(drop)
}

fn transcode(json: &[u8], message: &Message) -> Result<Transcoded, Invalid> {
    // Most is JSON as it comes. Only what is not is looked through a second time.
    parse(json, message).or_else(|error| match repair::repair(json) {
        Some(repaired) => parse(&repaired, message),
        None => Err(error),
    })
}

fn parse(json: &[u8], message: &Message) -> Result<Transcoded, Invalid> {
    let mut out = Output {
        bytes: Vec::with_capacity(json.len() / 2),
        ..Output::default()
    };
    let mut parser = serde_json::Deserializer::from_slice(json);
    parser.deserialize_map(Object {
        message,
        out: &mut out,
    })?;
    parser.end()?;
    Ok(Transcoded {
        message: out.bytes,
        invalid: out.invalid,
        complaint: out.complaint,
    })
}

#[cfg(test)]
mod tests;
