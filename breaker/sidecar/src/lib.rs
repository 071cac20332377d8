//! The sidecar: a reverse proxy whose routes have breakers, and that tells what it does.
//!
//! [`app`] is the composition root; [`proxy`] tells the life of a request; [`config`] is what is
//! made of a file or of flags; [`telemetry`] and [`admin`] tell, [`live`] as it happens;
//! [`control`] changes what breakers do; [`baselines`] keeps what they learned; [`recording`] keeps
//! requests, on which [`backtest`] tries policies; [`demo`] shows it all in one process.

mod accept;
pub mod access;
pub mod admin;
pub mod app;
pub mod backtest;
pub mod baselines;
pub mod causes;
pub mod client;
mod clock;
pub mod collector;
pub mod config;
pub mod control;
pub mod demo;
pub mod descriptors;
mod files;
pub mod findings;
#[cfg(feature = "fleet")]
mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hosts;
pub mod ingest;
pub mod lines;
pub mod live;
pub mod load;
pub mod message;
pub mod proxy;
mod random;
pub mod recording;
pub mod registry;
pub mod report;
pub mod sandbox;
pub mod sockets;
pub mod telemetry;
pub mod tls;
pub mod upstream;
