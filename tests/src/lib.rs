//! What the end-to-end tests are made of: the real binary as a child process, an upstream that
//! fails as told, and a plain client. Everything listens on a free port of the loopback interface,
//! and ends with its value.
//!
//! ```no_run
//! use breaker_tests::{Script, Setup, Upstream, eventually, get};
//!
//! # async fn example() {
//! let upstream = Upstream::start().await;
//! let sidecar = Setup::of(upstream.address()).start().await;
//! upstream.play(Script::Status(500));
//! eventually!(get(sidecar.url("/")).await.status == 503);
//! # }
//! ```

mod calm;
mod client;
mod disk;
mod eventually;
mod held;
mod metrics;
mod ports;
mod process;
mod setup;
mod sidecar;
mod upstream;

pub use calm::calmly;
pub use client::{Answer, get, send};
pub use disk::Tiny;
pub use held::Held;
pub use metrics::Metrics;
pub use ports::{free_address, free_ports};
pub use process::Process;
pub use setup::Setup;
pub use sidecar::{Sidecar, breaker};
pub use upstream::{Script, Seen, Upstream};

/// How long [`eventually!`] and everything that waits for a program to start are patient.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
