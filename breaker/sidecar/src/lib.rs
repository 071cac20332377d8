//! The sidecar.

<<<<<<< HEAD
pub mod admin;
=======
pub mod config;
>>>>>>> config
pub mod proxy;
pub mod telemetry;
pub mod upstream;
