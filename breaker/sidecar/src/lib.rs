//! The sidecar.

pub mod proxy;
pub mod upstream;
