//! What a policy needs to be known of the requests in flight.

use std::time::Duration;

use crate::detector::LEAST_THRESHOLD;
use crate::in_flight::InFlight;
use crate::policy::{Condition, Policy, Stream};

/// What the policy's conditions need of requests in flight to be tried on.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    pub(super) latency_bounds: Vec<Duration>,
    /// Where requests that miss it are watched.
    pub(super) deadline: Option<Duration>,
    /// How finely ages must be told apart, for a bound that is learned.
    pub(super) learned_bound: Option<Duration>,
    pub(super) concurrency: bool,
    /// Whether an entry sheds, of a feed's own policy too.
    pub(super) sheds: bool,
}

impl Needs {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut conditions = policy.trip().iter().flat_map(|entry| &entry.conditions);
        let watches = |stream| policy.streams().any(|watched| watched == stream);
        Self {
            latency_bounds: policy.latency_bounds(),
            deadline: watches(Stream::Deadline).then(|| policy.deadline()),
            learned_bound: watches(Stream::Latency).then_some(LEAST_THRESHOLD),
            concurrency: conditions.any(|condition| matches!(condition, Condition::Concurrency(_))),
            sheds: policy.sheds(),
        }
    }

    pub(super) fn in_flight(&self) -> InFlight {
        let mut bounds = self.latency_bounds.clone();
        bounds.extend(self.learned_bound);
        InFlight::new(&bounds)
    }
}
