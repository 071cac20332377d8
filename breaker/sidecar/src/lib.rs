//! The sidecar.

pub mod config;
pub mod proxy;
pub mod upstream;
