//! The shop of the chaos demo: services that can be made to fail, the script that does it, and the
//! collector that hears of it.
//!
//! `docker-compose.yml` puts them together: checkout calls payments, payments calls the ledger, and
//! a sidecar stands before each; `docs/demo.md` tells the whole.

mod chaos;
mod collector;
mod fault;
mod next;
mod pool;
mod service;
#[cfg(test)]
mod tests;

pub use self::chaos::{Chaos, Shop};
pub use self::collector::Collector;
pub use self::service::{Service, ServiceSettings};
