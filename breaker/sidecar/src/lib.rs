//! The sidecar.

pub mod admin;
pub mod telemetry;
