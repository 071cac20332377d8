//! OTLP as it is sent, read in place: no object tree is built.

mod attributes;
#[cfg(test)]
pub(crate) mod encode;
mod span;

pub use self::attributes::{Attributes, Value};
pub use self::span::{SpanKind, StatusCode};
