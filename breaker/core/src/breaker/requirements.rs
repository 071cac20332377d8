//! What a policy needs to be known of the requests in flight.

use std::time::Duration;

use crate::detector::LEAST_THRESHOLD;
use crate::policy::{Condition, Policy, Signal};

/// What the policy's conditions need of requests in flight to be tried on.
#[derive(Clone, Debug)]
pub(super) struct PolicyRequirements {
    pub(super) latency_bounds: Box<[Duration]>,
    /// Where requests that miss it are watched.
    pub(super) deadline: Option<Duration>,
    /// Whether a bound is learned, which may be as small as [`LEAST_THRESHOLD`]: ages must be told
    /// apart as finely.
    pub(super) learns_bound: bool,
    pub(super) concurrency: bool,
    /// Whether an entry sheds, of a feed's own policy too.
    pub(super) sheds: bool,
}

impl PolicyRequirements {
    pub(super) fn of(policy: &Policy) -> Self {
        let mut conditions = policy.trip().iter().flat_map(|entry| &entry.conditions);
        let watches = |signal| policy.signals().any(|watched| watched == signal);
        Self {
            latency_bounds: policy.latency_bounds().into(),
            deadline: watches(Signal::Deadline).then(|| policy.deadline()),
            learns_bound: watches(Signal::Latency),
            concurrency: conditions.any(|condition| matches!(condition, Condition::Concurrency(_))),
            sheds: policy.sheds(),
        }
    }

    /// The smallest bound on the age of a request in flight; ages are told apart to a part of it.
    pub(super) fn resolution(&self) -> Duration {
        let learned = self.learns_bound.then_some(LEAST_THRESHOLD);
        let bounds = self.latency_bounds.iter().copied().chain(learned);
        bounds.min().unwrap_or(WITHOUT_BOUNDS)
    }
}

/// Where no age matters now, a policy to come may ask for one.
const WITHOUT_BOUNDS: Duration = Duration::from_secs(1);
