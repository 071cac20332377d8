//! Reads OTLP in place, without an object tree.
//!
//! * [`read_traces`], [`read_metrics`]: the wire format; [`json`]: OTLP/JSON, which is converted to
//!   protobuf.
//! * [`matching`]: which of many feeds a span or a point matches.
//! * [`convention`]: what a span or a point says about a request, by the semantic conventions.
//! * [`series`]: what a histogram point adds to the one before it.
//!
//! [`read_traces`] and [`read_metrics`] pass the contents of an encoded request to a visitor,
//! without allocating. [`json`] converts OTLP/JSON to protobuf. None of them panics, and their
//! recursion is bounded, whatever the bytes.
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod attributes;
pub mod convention;
#[cfg(test)]
pub(crate) mod encode;
mod envelope;
pub mod json;
pub mod matching;
mod metrics;
#[cfg(test)]
pub(crate) mod sample;
pub mod series;
mod traces;
mod wire;

pub(crate) use self::attributes::Raw;
pub use self::attributes::{Attributes, Value};
pub use self::metrics::{
    Bounds, BucketCounts, Buckets, HistogramPoint, MetricVisitor, Range, Rejection, Temporality,
    read_metrics,
};
pub use self::traces::{Span, SpanKind, StatusCode, TraceVisitor, read_traces};
pub use self::wire::Malformed;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
