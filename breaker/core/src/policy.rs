//! When to trip and how to recover.
//!
//! A [`Policy`] is valid by construction: a [`Builder`], a built-in policy or YAML (feature `yaml`)
//! creates it, and each of them checks every rule. Nothing is checked again later.

mod anomaly;
mod builder;
mod builtin;
mod condition;
mod failure;
mod recover;
mod trip;
#[cfg(feature = "yaml")]
pub mod yaml;

use std::time::Duration;

pub(crate) use crate::field::InvalidField;
use crate::ratio::Ratio;

pub use anomaly::{FalseAlarmBudget, Signal};
pub use builder::Builder;
pub(crate) use builder::{MAX_SLOW_THRESHOLDS, check_open, check_ramp};
pub use condition::{Condition, Quantile, Unit};
pub use failure::{FailureRules, GrpcCode};
pub use recover::{HalfOpen, Open, Ramp, Recovery};
pub use trip::{Action, TripEntry};

/// When a breaker trips, what counts as a failure, and how it recovers.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    name: String,
    window: Duration,
    min_requests: u64,
    trip: Vec<TripEntry>,
    false_alarm_budget: FalseAlarmBudget,
    usual_errors: Ratio,
    deadline: Duration,
    recovery: Recovery,
    open: Open,
    half_open: HalfOpen,
    ramp: Ramp,
    latency: LatencyMeasure,
    failure: FailureRules,
    reject: Reject,
    honour_retry_after: bool,
    /// What follows from the others, since each request asks for it.
    observes_readers: bool,
}

/// Where the latency of a request ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LatencyMeasure {
    /// At the head of the response.
    #[default]
    Head,
    /// At the end of the body.
    Complete,
}

/// The answer to a rejected HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by users of the builder"
)]
pub struct Reject {
    /// The status, 400..=599. Default 503.
    pub status: u16,
    /// The body, instead of the `application/problem+json` document.
    pub body: Option<String>,
}

impl Default for Reject {
    fn default() -> Self {
        Self {
            status: 503,
            body: None,
        }
    }
}

// === impl Policy ===

impl Policy {
    /// A builder with the defaults that [`Builder`] lists, and no trip entry yet.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time span whose outcomes are evaluated.
    pub const fn window(&self) -> Duration {
        self.window
    }

    /// With fewer observations than this in the window, conditions on shares and quantiles do not
    /// hold.
    pub const fn min_requests(&self) -> u64 {
        self.min_requests
    }

    /// The trip entries. Any entry that holds triggers its action.
    pub fn trip(&self) -> &[TripEntry] {
        &self.trip
    }

    /// The false-alarm budget of all anomaly detectors together.
    pub const fn false_alarm_budget(&self) -> FalseAlarmBudget {
        self.false_alarm_budget
    }

    /// An error rate that is normal for the service, whatever the baseline; zero if only the
    /// baseline counts.
    pub const fn usual_errors(&self) -> Ratio {
        self.usual_errors
    }

    /// A request with at least this latency is a hit of [`Signal::Deadline`].
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How the half-open state and the ramp are judged.
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// How long the breaker stays open.
    pub const fn open(&self) -> Open {
        self.open
    }

    /// The half-open state after the open time.
    pub const fn half_open(&self) -> HalfOpen {
        self.half_open
    }

    /// How traffic returns after good probes.
    pub const fn ramp(&self) -> Ramp {
        self.ramp
    }

    /// Where the latency of a request ends.
    pub const fn latency(&self) -> LatencyMeasure {
        self.latency
    }

    /// Whether it matters that a caller does not read its answer: the latency lasts to the end of
    /// the body, or the requests in flight are counted.
    pub const fn observes_readers(&self) -> bool {
        self.observes_readers
    }

    /// What counts as a failure.
    pub const fn failure(&self) -> &FailureRules {
        &self.failure
    }

    /// The answer to a rejected HTTP request.
    pub const fn reject(&self) -> &Reject {
        &self.reject
    }

    /// Whether an upstream that asks callers to wait (`Retry-After`, gRPC pushback) opens the
    /// breaker for that time, capped by `open.max`.
    pub const fn honours_retry_after(&self) -> bool {
        self.honour_retry_after
    }

    /// Every latency bound of the conditions, ascending, each once: slow thresholds, quantile
    /// bounds, the deadline.
    pub(crate) fn latency_bounds(&self) -> Vec<Duration> {
        let mut bounds: Vec<_> = self
            .conditions()
            .filter_map(|condition| self.latency_bound(condition))
            .collect();
        bounds.sort_unstable();
        bounds.dedup();
        bounds
    }

    /// Whether an entry sheds.
    pub(crate) fn sheds(&self) -> bool {
        self.trip.iter().any(|entry| entry.action == Action::Shed)
    }

    /// The latency from which a request is slow: the smallest latency threshold of the conditions.
    pub fn slow_from(&self) -> Option<Duration> {
        self.conditions()
            .filter_map(|condition| self.latency_bound(condition))
            .min()
    }

    /// The smallest latency from which on a single request speaks for `entry`.
    pub(crate) fn entry_bound(&self, entry: &TripEntry) -> Option<Duration> {
        let conditions = entry.conditions.iter();
        conditions
            .filter_map(|condition| self.latency_bound(condition))
            .min()
    }

    fn latency_bound(&self, condition: &Condition) -> Option<Duration> {
        match condition {
            Condition::Anomaly {
                signal: Signal::Deadline,
                ..
            } => Some(self.deadline),
            _ => condition.latency_bound(),
        }
    }

    /// The signals that the conditions watch, each once.
    pub(crate) fn signals(&self) -> impl Iterator<Item = Signal> {
        let watches = |signal: &Signal| {
            let mut conditions = self.conditions();
            conditions.any(|condition| matches!(condition, Condition::Anomaly { signal: watched, .. } if watched == signal))
        };
        Signal::ALL.into_iter().filter(watches)
    }

    /// Whether a condition asks for an alarm of `signal` with whatever share.
    pub(crate) fn asks_for_any(&self, signal: Signal) -> bool {
        self.conditions().any(|condition| {
            matches!(
                condition,
                Condition::Anomaly { signal: watched, at_least: Ratio::ZERO, .. } if *watched == signal
            )
        })
    }

    /// The different slow thresholds, ascending.
    pub(crate) fn slow_thresholds(&self) -> Vec<Duration> {
        let mut thresholds: Vec<_> = self
            .conditions()
            .filter_map(|condition| match condition {
                Condition::SlowRate { threshold, .. } => Some(*threshold),
                _ => None,
            })
            .collect();
        thresholds.sort_unstable();
        thresholds.dedup();
        thresholds
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.trip.iter().flat_map(|entry| &entry.conditions)
    }
}
