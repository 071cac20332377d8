//! The sidecar.

pub mod admin;
pub mod config;
pub mod proxy;
pub mod telemetry;
pub mod upstream;
