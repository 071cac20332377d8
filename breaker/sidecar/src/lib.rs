//! The sidecar.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod proxy;
pub mod telemetry;
pub mod upstream;
