//! Telemetry in: what applications tell by OTLP becomes samples of feeds, and feeds are sources of breakers.
//!
//! * `otlp`: the wire format, read in place; JSON becomes the same views.
//! * `series`: what a histogram's point adds to the one before it.

pub mod otlp;
pub mod series;
