//! What a breaker knows at one time, for people and metrics.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::detector::Anomaly;
use crate::event::Reason;
use crate::latency_counts::LatencyCounts;
use crate::outcome::Attribution;
use crate::policy::{Action, Condition, Quantile};
use crate::ratio::Ratio;
use crate::state::{Mode, State};

/// What a breaker knows at one time. Nothing in it is older than the window, but for the totals.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// The mode.
    pub mode: Mode,
    /// How long the mode will last, where that was said.
    pub mode_remaining: Option<Duration>,
    /// Why the state is what it is.
    pub reason: Arc<Reason>,
    /// Why the breaker opened first and how long ago, until it is closed again: the cause that
    /// trials which failed since then don't hide. [`Self::failed_recoveries`] says how many they
    /// were.
    pub tripped: Option<(Arc<Reason>, Duration)>,
    /// How long the state has lasted.
    pub lasted: Duration,
    /// How long the breaker will stay open, while it is open and not forced.
    pub open_remaining: Option<Duration>,
    /// The share of requests that is admitted: all, none, that of the ramp, or that of the last
    /// hundred while the breaker sheds.
    pub admitted_share: Ratio,
    /// The limit of requests in flight, while the breaker sheds or a ramp has one.
    pub shedding: Option<SheddingSnapshot>,
    /// Recoveries that failed since the last that held.
    pub failed_recoveries: u32,
    /// Requests in flight now.
    pub in_flight: u64,
    /// How long the oldest of those has been waiting for its response that were admitted since the
    /// last transition, in steps of a twentieth of the smallest latency bound. None while open, and
    /// without latency bounds.
    pub oldest_in_flight: Option<Duration>,
    /// Counts since the breaker was made.
    pub totals: Totals,
    /// Alerts since the breaker was made, by source and stream; those that the policy may give and
    /// did not with 0.
    pub alerts: Vec<AlertCount>,
    /// Transitions since the breaker was made, by kind.
    pub transitions: Vec<TransitionCount>,
    /// The windows, the proxy's first.
    pub sources: Vec<SourceSnapshot>,
    /// Heap memory that windows and detectors take, in bytes.
    pub window_bytes: usize,
}

/// A limit of requests in flight that is in force.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SheddingSnapshot {
    /// The most requests that may be in flight.
    pub limit: u64,
    /// How long a request takes on average at most; the limit follows from it.
    pub target: Duration,
    /// The share of the last hundred requests or so that was admitted.
    pub admitted_share: Ratio,
    /// How long it has been in force.
    pub lasted: Duration,
    /// How soon it ends, if until then no entry with the action `shed` holds and no request is
    /// refused for it. None of a ramp's limit, which ends with the ramp.
    pub remaining: Option<Duration>,
    /// Why it is.
    pub reason: Arc<Reason>,
}

/// Counts since the breaker was made, of whatever epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Requests that succeeded.
    pub success: u64,
    /// Requests that failed.
    pub failure: u64,
    /// Requests that say nothing of the upstream.
    pub ignored: u64,
    /// The same by who caused their ending, in the order of [`Attribution::ALL`].
    pub ignored_by: [u64; Attribution::ALL.len()],
    /// Requests that were rejected.
    pub rejected: u64,
    /// Requests that would have been rejected, but for shadow mode.
    pub would_reject: u64,
    /// Alerts that were given.
    pub alerts: u64,
}

/// How often a source gave alerts on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertCount {
    /// The source.
    pub source: Arc<str>,
    /// [`Condition::stream`](crate::policy::Condition::stream) of the entry's first condition.
    pub stream: &'static str,
    /// How often.
    pub count: u64,
}

/// How often a kind of transition happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionCount {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// [`Reason::label`].
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

/// The window of one source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceSnapshot {
    /// The source: `proxy`, or the feed's name.
    pub name: Arc<str>,
    /// Successes in the window.
    pub success: u64,
    /// Failures in the window.
    pub failure: u64,
    /// Ends that say nothing of the upstream, in the window.
    pub ignored: u64,
    /// The share of failures among successes and failures.
    pub error_rate: Ratio,
    /// Quantiles of the latency; `None` when the window has no latency.
    pub latency: Option<Latencies>,
    /// The 99th percentile and the maximum of the requests in flight that admissions saw.
    pub concurrency: Option<Concurrency>,
    /// From which latency on a request is slow, where that is learned.
    pub slow_threshold: Option<Duration>,
    /// What the detector of each watched stream says that has most evidence against its line.
    pub anomalies: Vec<Anomaly>,
    /// Whether an alert of this source has begun and not ended.
    pub alerting: bool,
    /// Those alerts.
    pub standing_alerts: Vec<AlertSnapshot>,
    /// Each condition of each trip entry that is tried on it, in their order.
    pub conditions: Vec<ConditionStatus>,
    /// What the source told since it was made, as far as the window took it: for what happened
    /// between two snapshots.
    pub totals: SourceTotals,
}

/// A condition as it stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConditionStatus {
    /// The index of its trip entry.
    pub entry: usize,
    /// What the entry does.
    pub action: Action,
    /// The condition.
    pub condition: Condition,
    /// What is observed: a share (0..=1), seconds, or a count, as the condition has it; of an
    /// anomaly the estimated share of hits. `None` where nothing is.
    pub observed: Option<f64>,
    /// Of how many observations.
    pub samples: u64,
    /// How many observations are needed for the condition to be tried at all.
    pub min_requests: u64,
    /// What the detectors say, where the condition is on an anomaly.
    pub anomaly: Option<Anomaly>,
    /// Whether it holds.
    pub holds: bool,
}

/// An alert that has begun and not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertSnapshot {
    /// [`Condition::stream`](crate::policy::Condition::stream) of the entry's first condition.
    pub stream: &'static str,
    /// How long ago it began.
    pub lasted: Duration,
    /// How often it was told.
    pub alerts: u64,
}

/// What a source told since it was made, as far as its window took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceTotals {
    /// Successes.
    pub success: u64,
    /// Failures.
    pub failure: u64,
    /// Latencies.
    pub latency: LatencyCounts,
}

/// Quantiles of a latency, to 2 significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latencies {
    /// How many requests.
    pub samples: u64,
    /// The median.
    pub p50: Duration,
    /// The 90th percentile.
    pub p90: Duration,
    /// The 95th percentile.
    pub p95: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The 99.9th percentile.
    pub p999: Duration,
    /// The largest.
    pub max: Duration,
}

/// Numbers of requests in flight at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concurrency {
    /// The 99th percentile.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl ConditionStatus {
    /// How near it is to its bound, which is 1; of an anomaly, to the alarm line. `None` where
    /// nothing is observed.
    pub fn reached(&self) -> Option<f64> {
        match &self.anomaly {
            // Evidence for health is below 0: no news.
            Some(anomaly) => Some(anomaly.score().max(0.0)),
            None => Some(self.observed? / self.condition.threshold()?),
        }
    }
}

impl SourceSnapshot {
    /// Successes and failures in the window.
    pub const fn requests(&self) -> u64 {
        self.success + self.failure
    }
}

impl Totals {
    /// The ignored requests by who caused their ending.
    pub fn ignored_by(&self) -> impl Iterator<Item = (Attribution, u64)> {
        Attribution::ALL.into_iter().zip(self.ignored_by)
    }
}

impl SourceTotals {
    /// Nothing told.
    pub const NONE: Self = Self {
        success: 0,
        failure: 0,
        latency: LatencyCounts::EMPTY,
    };
}

impl Latencies {
    pub(crate) fn of(histogram: &Histogram<u32>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile: Quantile| {
            Duration::from_micros(histogram.value_at_quantile(quantile.value()))
        };
        Some(Self {
            samples: histogram.len(),
            p50: at(Quantile::P50),
            p90: at(Quantile::P90),
            p95: at(Quantile::P95),
            p99: at(Quantile::P99),
            p999: at(Quantile::P999),
            max: Duration::from_micros(histogram.max()),
        })
    }
}
