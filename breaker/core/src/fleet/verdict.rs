//! What the aggregator publishes.

use std::sync::Arc;
use std::time::Duration;

use super::report::{InstanceId, ProbeReport, RouteName};
use crate::policy::Signal;
use crate::ratio::Ratio;

/// What the fleet believes of its routes. Quiet routes are left out. Clocks of two machines are
/// never compared: all times are durations, as of the moment of sending.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct Verdict {
    /// Who has judged.
    pub judge: Judge,
    /// Grows with each new aggregator.
    pub term: u64,
    /// Grows with each verdict of a term.
    pub seq: u64,
    /// Whether a route that is left out is quiet. It is not while an aggregator is so new that it
    /// may not have heard of all: then what was said before goes on.
    pub settled: bool,
    /// The routes that are not quiet.
    pub routes: Vec<Arc<RouteVerdict>>,
}

/// Who judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Judge {
    /// Many instances, by the evidence that they pool: it takes a quorum, and it leads recoveries.
    #[default]
    Fleet,
    /// Another breaker of the same name, by evidence of its own: it needs no quorum. A breaker that
    /// follows it stays open for as long as it is open, and then tries by itself.
    Brain,
}

/// What the fleet believes of one route.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct RouteVerdict {
    /// The route, and the source of the evidence.
    pub name: RouteName,
    /// How far the route is.
    pub stage: Stage,
    /// The signal that had the alarm.
    pub signal: Signal,
    /// How long ago the share of hits changed.
    pub since: Duration,
    /// What was observed since then.
    pub numbers: Numbers,
    /// Outcomes of the current or last trial.
    pub trial: ProbeReport,
    /// Instances that count and have reported within 3 s.
    pub reporting: u32,
    /// Instances that count and were heard in the last minute.
    pub heard: u32,
}

/// The numbers of an alarm, without the instances that add most to it (leave-f-out).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct Numbers {
    /// Requests since the change.
    pub observations: u64,
    /// Of these, hits.
    pub hits: u64,
    /// The lower bound of the share of hits (Wilson, 95 %).
    pub low: Ratio,
    /// Its upper bound.
    pub high: Ratio,
    /// The share that is normal: the median over the instances.
    pub normal: Ratio,
    /// The evidence in nats, and the line from which on it is an alarm.
    pub evidence: f64,
    /// See `evidence`.
    pub line: f64,
}

/// How far a route is.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a message, built by who reads it")]
pub enum Stage {
    /// There is an alarm, whose share is too small to open. Requests are admitted.
    Alarm,
    /// No requests for this long.
    Open {
        /// How long it still takes.
        remaining: Duration,
    },
    /// These instances send probes; all others stay open.
    Probing {
        /// At most `half_open.concurrent`.
        probers: Vec<InstanceId>,
    },
    /// Each instance admits this share of its requests.
    Ramp {
        /// The share.
        share: Ratio,
    },
}

/// What a verdict did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetEffect {
    /// Nothing: the route is quiet, or as it was.
    None,
    /// The policy has no entry that opens on it; it was reported.
    Alert,
    /// The breaker opened.
    Opened,
    /// The fleet leads the recovery of this breaker.
    Led,
    /// The recovery that the fleet led is over.
    Closed,
}

impl Judge {
    /// The source of a breaker that it is: the attribute `breaker.source` of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Brain => "brain",
        }
    }
}

impl Stage {
    /// A word for documents and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Open { .. } => "open",
            Self::Probing { .. } => "probing",
            Self::Ramp { .. } => "ramp",
        }
    }
}
