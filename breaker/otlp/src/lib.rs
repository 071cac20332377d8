//! OTLP as it is sent, read in place: no object tree is built.
//!
//! * [`read_traces`], [`read_metrics`]: the wire format; [`json`]: OTLP/JSON, which becomes the
//!   same bytes.
//! * [`matching`]: which of many feeds a span or a point belongs to.
//! * [`convention`]: what a span or a point says of a request, by the semantic conventions.
//! * [`series`]: what a histogram's point adds to the one before it.
//!
//! [`read_traces`] and [`read_metrics`] take an encoded request and tell a visitor what is in it,
//! without allocating; [`json`] turns OTLP/JSON into the same bytes. None of them panics or
//! recurses without a bound, whatever the bytes.

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
    Bounds, Buckets, Counts, HistogramPoint, MetricVisitor, Range, Rejection, Temporality,
    read_metrics,
};
pub use self::traces::{Span, SpanKind, StatusCode, TraceVisitor, read_traces};
pub use self::wire::Malformed;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
