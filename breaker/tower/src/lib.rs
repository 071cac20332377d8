//! A circuit breaker as a tower layer.

mod body;
mod classify;
mod driver;
mod future;
mod handle;
mod layer;
mod reject;
mod request;
mod select;
mod service;
mod set;
mod shared;

pub use breaker_core as core;
pub use breaker_core::{Mode, Policy, Rejected, Snapshot, State};

pub use body::BreakerBody;
pub use classify::{Classified, Classify, Ending, HttpClassifier};
pub use future::ResponseFuture;
pub use handle::{BreakerHandle, Events};
pub use layer::BreakerLayer;
pub use reject::{BoxError, Fail, OnReject, Respond, rejection};
pub use request::{InFlight, Upload};
pub use select::{PerKey, Select};
pub use service::BreakerService;
pub use set::BreakerSet;
