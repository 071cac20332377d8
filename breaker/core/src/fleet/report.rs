//! What an instance reports to the aggregator.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Signal;
use crate::state::State;

/// An instance of the fleet: 8 random bytes, which are drawn at each start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a plain wrapper")]
pub struct InstanceId(pub [u8; 8]);

/// What an instance has seen since its last report. The message that carries it has 16 KiB at most.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct Report {
    /// Who reports.
    pub instance: InstanceId,
    /// Grows with each start of an instance that keeps its id; else 0.
    pub boot: u64,
    /// Grows with each report of a boot.
    pub seq: u64,
    /// For how long the instance has run, by its own clock. Below a minute it does not count.
    pub age: Duration,
    /// A hash of the names and order of its routes. Routes of a report whose hash is not that of
    /// the names that the instance gave last are left out.
    pub config: u64,
    /// The names of its routes, which `routes` below refers to. They are sent in the first report,
    /// when they change, and every 30 s.
    pub names: Option<Arc<[RouteName]>>,
    /// What the instance calls its machine, for people; sent with the names.
    pub host: Option<Arc<str>>,
    /// The routes on which something happened.
    pub routes: Vec<RouteReport>,
}

/// A route, and where its outcomes were observed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "all there is of a name")]
pub struct RouteName {
    /// The route.
    pub route: Arc<str>,
    /// The source: `proxy`, or a feed.
    pub source: Arc<str>,
}

/// What an instance has seen of one route since its last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct RouteReport {
    /// The index of the route among the names that the instance gave.
    pub route: u16,
    /// Requests that arrived, those too that were rejected.
    pub arrivals: u32,
    /// What was observed, by [`Signal`], in the order of [`Signal::ALL`].
    pub signals: [SignalReport; SIGNALS],
    /// Outcomes of probes, which are in no signal.
    pub probes: ProbeReport,
    /// The state of the instance's breaker.
    pub state: State,
    /// Whether the fleet leads the recovery of that breaker.
    pub led: bool,
}

/// Hits and misses of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct SignalReport {
    /// Requests.
    pub observations: u32,
    /// Of these, hits.
    pub hits: u32,
    /// The share of hits that this instance takes for normal, in 1/10,000; 0 if it is what it was.
    pub normal: u16,
    /// From how many observations it has learned that; `None` if it is about as it was. 0 withdraws
    /// it: the fleet must not lower the share any more.
    pub learned: Option<u32>,
    /// Of these, hits.
    pub learned_hits: u32,
}

/// How probes have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a message, built by who reads it"
)]
pub struct ProbeReport {
    /// Probes that succeeded.
    pub succeeded: u32,
    /// Probes that failed.
    pub failed: u32,
}

/// Why a report was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// Its `seq` is not greater than that of a report before, or its `boot` is smaller.
    Replayed,
    /// The fleet has as many members as this aggregator remembers.
    Full,
    /// It reports more hits than requests.
    Invalid,
}

impl RouteReport {
    /// Whether it says nothing that was not known before.
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            route: self.route,
            state: self.state,
            led: self.led,
            ..Self::default()
        };
        *self == nothing
    }

    /// Whether it tells of requests that ended.
    pub fn has_requests(&self) -> bool {
        self.signals.iter().any(|of| of.observations > 0)
    }

    /// What was observed of `signal`.
    pub const fn signal(&self, signal: Signal) -> &SignalReport {
        &self.signals[signal as usize]
    }

    pub(super) fn is_valid(&self) -> bool {
        let mut signals = self.signals.iter();
        signals.all(|of| of.hits <= of.observations && of.learned_hits <= of.learned.unwrap_or(0))
    }
}

impl Dropped {
    /// The attribute `reason` of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Full => "full",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

pub(super) const SIGNALS: usize = Signal::ALL.len();
