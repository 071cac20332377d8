//! Telemetry in: what applications tell by OTLP becomes samples of feeds, and feeds are sources of breakers.
//!
//! * `otlp`: the wire format, read in place; JSON becomes the same views.

pub mod otlp;
