//! What a breaker knows at one time, for people and metrics.

#[cfg(feature = "serde")]
mod serial;

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::detector::Anomaly;
use crate::event::Reason;
use crate::fleet::TripNumbers;
use crate::latency_counts::LatencyCounts;
use crate::outcome::Attribution;
use crate::policy::{Action, Condition, Quantile};
use crate::ratio::Ratio;
use crate::state::{Mode, State};

/// The state and numbers of a breaker at one time. Nothing in it is older than the window, except
/// the totals.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// The mode.
    pub mode: Mode,
    /// How long the mode will last, if that was set.
    pub mode_remaining: Option<Duration>,
    /// The reason for the state.
    pub reason: Arc<Reason>,
    /// Why and how long ago the breaker tripped, until it is closed again. Half-open phases that
    /// failed since then do not hide this reason; [`Self::failed_recoveries`] counts them.
    pub tripped: Option<(Arc<Reason>, Duration)>,
    /// Whether another breaker that this one follows, a brain, opened it or holds it open. Then it
    /// has no evidence of its own that others could follow.
    pub by_brain: bool,
    /// How long the state has lasted.
    pub lasted: Duration,
    /// How long the breaker will stay open, while it is open and not forced.
    pub open_remaining: Option<Duration>,
    /// The admitted share of requests: all, none, the ramp's share, or the share of the last
    /// hundred requests while the breaker sheds.
    pub admitted_share: Ratio,
    /// The concurrency limit, while the breaker sheds or its ramp has one.
    pub shedding: Option<SheddingSnapshot>,
    /// Recoveries that failed since the last one that succeeded.
    pub failed_recoveries: u32,
    /// Requests in flight.
    pub in_flight: u64,
    /// How long the oldest request in flight has waited for its response, among those admitted
    /// since the last transition. In steps of a twentieth of the smallest latency threshold. `None`
    /// while open, and without latency thresholds.
    pub oldest_in_flight: Option<Duration>,
    /// Counts since the breaker was created.
    pub totals: Totals,
    /// Alerts since the breaker was created, by source and signal. Alerts that the policy can give
    /// but has not given are listed with 0.
    pub alerts: Vec<AlertCount>,
    /// Transitions since the breaker was created, by kind.
    pub transitions: Vec<TransitionCount>,
    /// The windows; the proxy's comes first.
    pub sources: Vec<SourceSnapshot>,
    /// Heap memory that windows and detectors take, in bytes.
    pub window_bytes: usize,
}

/// A concurrency limit in force.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SheddingSnapshot {
    /// The maximum of requests in flight.
    pub limit: u64,
    /// The target: the highest mean latency of a request. The limit follows from it.
    pub target: Duration,
    /// The admitted share of about the last hundred requests.
    pub admitted_share: Ratio,
    /// How long it has been in force.
    pub lasted: Duration,
    /// How soon the limit ends, unless an entry with the action `shed` holds or a request is
    /// rejected for it before then. `None` for a ramp's limit, which ends with the ramp.
    pub remaining: Option<Duration>,
    /// Its reason.
    pub reason: Arc<Reason>,
}

/// Counts since the breaker was created, for all epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Requests that succeeded.
    pub success: u64,
    /// Requests that failed.
    pub failure: u64,
    /// Requests that are no evidence about the upstream.
    pub ignored: u64,
    /// The ignored requests by who caused their outcome, in the order of [`Attribution::ALL`].
    pub ignored_by: [u64; Attribution::ALL.len()],
    /// Requests that were rejected.
    pub rejected: u64,
    /// Requests that would have been rejected without shadow mode.
    pub would_reject: u64,
    /// Alerts given.
    pub alerts: u64,
}

/// How often a source gave alerts on a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertCount {
    /// The source.
    pub source: Arc<str>,
    /// [`Condition::signal`](crate::policy::Condition::signal) of the entry's first condition.
    pub signal: &'static str,
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
    /// Ignored outcomes in the window.
    pub ignored: u64,
    /// The share of failures among successes and failures.
    pub error_rate: Ratio,
    /// Quantiles of the latency; `None` when the window has no latency.
    pub latency: Option<Latencies>,
    /// The 99th percentile and the maximum of the requests in flight, as seen by admissions.
    pub concurrency: Option<Concurrency>,
    /// The latency from which a request is slow, if it is learned.
    pub slow_threshold: Option<Duration>,
    /// For each signal, the result of the detector that is nearest to its alarm threshold.
    pub anomalies: Vec<Anomaly>,
    /// Whether this source has an active alert.
    pub alerting: bool,
    /// The active alerts.
    pub standing_alerts: Vec<AlertSnapshot>,
    /// Each condition of each trip entry that is evaluated for it, in order.
    pub conditions: Vec<ConditionStatus>,
    /// What the source observed since it was created, as far as the window accepted it. The
    /// difference of two snapshots is what happened between them.
    pub totals: SourceTotals,
}

/// The current status of a condition.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ConditionStatus {
    /// The index of its trip entry.
    pub entry: usize,
    /// The action of the entry.
    pub action: Action,
    /// The condition.
    pub condition: Condition,
    /// What was observed: a share (0..=1), seconds, or a count, depending on the condition. For an
    /// anomaly, the estimated share of hits. `None` without observations.
    pub observed: Option<f64>,
    /// The number of observations.
    pub samples: u64,
    /// How many observations the condition needs before it is evaluated.
    pub min_requests: u64,
    /// The detectors' result, if the condition is on an anomaly.
    pub anomaly: Option<Anomaly>,
    /// Whether it holds.
    pub holds: bool,
}

/// An active alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertSnapshot {
    /// [`Condition::signal`](crate::policy::Condition::signal) of the entry's first condition.
    pub signal: &'static str,
    /// How long ago it began.
    pub lasted: Duration,
    /// How often it was reported.
    pub alerts: u64,
}

/// What a source observed since it was created: what its window accepted, and requests that shadow
/// mode let through.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Numbers of concurrent requests.
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

impl Snapshot {
    /// The source whose numbers explain the breaker: the one that tripped it, until it is closed
    /// again; else one whose alert holds; else the proxy's, if it saw any requests; else the feed
    /// with the most. Sources are never added together.
    pub fn deciding(&self) -> &SourceSnapshot {
        let told = |source: &&SourceSnapshot| source.totals.success + source.totals.failure;
        let tripped_by = match self.tripped.as_ref().map(|(reason, _)| &**reason) {
            Some(Reason::Tripped { source, .. }) => Some(source),
            _ => None,
        };
        let proxy = &self.sources[0];
        let tripped = |source: &&SourceSnapshot| Some(&source.name) == tripped_by;
        let tripped = self.sources.iter().find(tripped);
        let alerting = || self.sources.iter().find(|source| source.alerting);
        let busiest = || match told(&proxy) {
            0 => (self.sources.iter().filter(|source| told(source) > 0)).max_by_key(told),
            _ => None,
        };
        tripped.or_else(alerting).or_else(busiest).unwrap_or(proxy)
    }

    /// What tripped the breaker, for others that follow it: until it is closed again, if its own
    /// evidence was a share of requests.
    pub fn trip_numbers(&self) -> Option<TripNumbers> {
        let (reason, ago) = self.tripped.as_ref()?;
        let numbers = TripNumbers::of(reason)?;
        (!self.by_brain).then(|| numbers.after(*ago))
    }
}

impl SourceSnapshot {
    /// Successes and failures in the window.
    pub const fn requests(&self) -> u64 {
        self.success + self.failure
    }
}

impl Totals {
    /// The ignored requests by who caused their outcome.
    pub fn ignored_by(&self) -> impl Iterator<Item = (Attribution, u64)> {
        Attribution::ALL.into_iter().zip(self.ignored_by)
    }
}

impl SourceTotals {
    /// No observation.
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
