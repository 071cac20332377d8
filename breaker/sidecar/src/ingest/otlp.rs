//! OTLP as it is sent, read in place: no object tree is built.
//!
//! [`read_traces`] and [`read_metrics`] take an encoded request and tell a visitor what is in it, without allocating;
//! [`json`] turns OTLP/JSON into the same bytes. None of them panics or recurses without a bound, whatever the bytes.

mod attributes;
#[cfg(test)]
pub(crate) mod encode;
mod envelope;
pub mod json;
mod metrics;
#[cfg(test)]
pub(crate) mod sample;
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
