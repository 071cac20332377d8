//! Breakers for the tests of this module, and exports to collectors of both protocols.

mod collector;
mod export;
mod logs;
mod series;
mod sidecar;
mod tls;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{Breaker, Outcome, Policy, Snapshot, Timestamp};

use crate::registry::Origin;
use crate::registry::{Breakers, Watched};

pub(crate) fn breakers<const N: usize>(named: [(&str, Snapshot); N]) -> Breakers {
    named
        .into_iter()
        .map(|(name, snapshot)| {
            let policy = Arc::new(Policy::sensitive());
            Watched::new(name, policy, Origin::Configuration, move || {
                snapshot.clone()
            })
        })
        .collect()
}

/// A breaker that 20 failures opened, and that rejected one request.
pub(crate) fn tripped() -> Snapshot {
    let mut breaker = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
    for request in 0..20 {
        let now = Timestamp::from_millis(request);
        let permit = breaker.try_acquire(now).unwrap();
        breaker.record(permit, Outcome::failure(Duration::from_millis(250)), now);
    }
    let now = Timestamp::from_millis(30);
    breaker.try_acquire(now).unwrap_err();
    breaker.snapshot(now)
}
