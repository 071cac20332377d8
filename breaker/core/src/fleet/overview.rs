//! The whole fleet as its aggregator sees it, quiet routes too: for people, and for no decision.

use std::sync::Arc;
use std::time::Duration;

use super::report::{InstanceId, RouteName};
use super::verdict::RouteVerdict;
use crate::policy::Signal;
use crate::ratio::Ratio;

/// The whole fleet, of [`Aggregator::overview`](super::Aggregator::overview).
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct Overview {
    /// The term of the aggregator.
    pub term: u64,
    /// All members, by id.
    pub members: Vec<MemberOverview>,
    /// All routes, in the order of the aggregator.
    pub routes: Vec<RouteOverview>,
}

/// A member.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct MemberOverview {
    /// Its id.
    pub instance: InstanceId,
    /// What it calls its machine, if it said.
    pub host: Option<Arc<str>>,
    /// How long ago it reported.
    pub silent: Duration,
    /// How long it takes until it counts; zero if it does.
    pub newborn: Duration,
    /// Routes whose breaker is not closed there.
    pub not_closed: u32,
    /// Routes on which it sees what the others don't.
    pub outlier: u32,
}

/// A route over all members that count.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct RouteOverview {
    /// The route, and the source of the evidence.
    pub name: RouteName,
    /// Requests that arrive in a second: the mean of half a minute.
    pub rate: f64,
    /// Members that have reported within 3 s.
    pub reporting: u32,
    /// Members that were heard in the last minute.
    pub heard: u32,
    /// Members whose breaker is not closed.
    pub not_closed: u32,
    /// Members whose recovery the fleet leads.
    pub led: u32,
    /// What was observed, by the signals that the policy watches.
    pub signals: Vec<SignalOverview>,
    /// What the fleet believes; `None` if the route is quiet.
    pub verdict: Option<Arc<RouteVerdict>>,
}

/// What was observed of one signal.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct SignalOverview {
    /// The signal.
    pub signal: Signal,
    /// Requests of the last 30 s.
    pub observations: u64,
    /// Of these, hits.
    pub hits: u64,
    /// The share that is normal: the median over the members.
    pub normal: Ratio,
    /// The evidence in nats of the time scale that is nearest to an alarm.
    pub evidence: f64,
    /// From which evidence on it is an alarm.
    pub line: f64,
}
