//! Telemetry in: what applications tell by OTLP becomes samples of feeds, and feeds are sources of breakers.
//!
//! * `otlp`: the wire format, read in place; JSON becomes the same views.
//! * `matching`: which feeds a span or a point belongs to.
//! * `convention`: what a span or a point says of the request, by the semantic conventions.

pub mod convention;
pub mod matching;
pub mod otlp;
