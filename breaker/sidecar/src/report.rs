//! What a breaker knows, as JSON: for `/breakers`, the dashboard and the command line. Durations
//! and latencies are in seconds.

mod condition;
mod failure;
mod upstreams;
mod words;

use std::time::Duration;

use breaker_tower::core::{
    Anomaly as Detected, Latencies, Reason as Why, SheddingSnapshot, Snapshot, SourceSnapshot,
    Totals,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::condition::ConditionStatus;
pub use self::failure::FailureKind;
pub use self::upstreams::{Endpoint, Upstream, Upstreams};
pub use self::words::{Action, EndpointState, Mode, Origin, Signal, State, Unit};
use crate::registry::Entry;
use crate::registry::Watched;

use crate::findings::Findings;
pub use crate::findings::{Miss, PROXY, Unmatched};

/// All breakers, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breakers {
    /// One for each route.
    pub breakers: Vec<Breaker>,
}

/// What one breaker knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Breaker {
    /// The route's name.
    pub name: String,
    /// The upstream that its requests go to; none where telemetry alone feeds the breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// What answers the requests that it rejects: `upstream` and its name, or `status` and a
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// The state.
    pub state: State,
    /// Who decides.
    pub mode: Mode,
    /// How long the mode will last, where that was said.
    pub mode_remaining: Option<f64>,
    /// Who decides when to trip.
    pub policy: PolicyInForce,
    /// Whether an alert holds, of any source.
    pub alerting: bool,
    /// Why the state is what it is.
    pub reason: Reason,
    /// How long the state has lasted.
    pub lasted: f64,
    /// How long the breaker will stay open.
    pub open_remaining: Option<f64>,
    /// The share of requests that is admitted, 0 to 1.
    pub admitted_share: f64,
    /// The limit of requests in flight, while the breaker sheds or a ramp has one.
    #[serde(default)]
    pub shedding: Option<Shedding>,
    /// Recoveries that failed since the last that held.
    pub failed_recoveries: u32,
    /// Requests in flight now.
    pub in_flight: u64,
    /// How long the oldest of them has been waiting for its response.
    pub oldest_in_flight: Option<f64>,
    /// Counts since the start.
    pub totals: Counts,
    /// Transitions since the start, by kind.
    pub transitions: Vec<Transitions>,
    /// The windows, the proxy's first.
    pub sources: Vec<Window>,
    /// The name of the source whose numbers explain the breaker: the one that tripped it or alerts,
    /// else the proxy, or the busiest feed where the proxy has no traffic.
    #[serde(default)]
    pub source: String,
}

/// The policy that a breaker follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyInForce {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Why a breaker is in its state, or why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// One word, as in the attributes of metrics.
    pub label: String,
    /// A sentence with the numbers.
    pub detail: String,
}

/// A limit of requests in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shedding {
    /// The most requests that may be in flight.
    pub limit: u64,
    /// How long a request takes on average at most.
    pub target: f64,
    /// The share of the last hundred requests or so that was admitted, 0 to 1.
    pub admitted_share: f64,
    /// How long it has been in force.
    pub lasted: f64,
    /// Why it is.
    pub reason: Reason,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Requests that succeeded.
    pub success: u64,
    /// Requests that failed.
    pub failure: u64,
    /// Requests that say nothing of the upstream.
    pub ignored: u64,
    /// Requests that were rejected.
    pub rejected: u64,
    /// Of the rejected requests, those that the fallback answered.
    #[serde(default)]
    pub fallback: u64,
    /// Requests that would have been rejected, but for shadow mode.
    pub would_reject: u64,
    /// Alerts.
    pub alerts: u64,
}

/// How often a kind of transition happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transitions {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The label of the reason.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// The window of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// `proxy`, or the feed's name.
    pub source: String,
    /// Successes and failures.
    pub requests: u64,
    /// Failures.
    pub failures: u64,
    /// Ends that say nothing of the upstream.
    pub ignored: u64,
    /// The share of failures, 0 to 1.
    pub error_rate: f64,
    /// Quantiles of the latency, where there was any.
    pub latency: Option<Quantiles>,
    /// Requests in flight that admissions saw, where there were any.
    pub concurrency: Option<Concurrency>,
    /// Whether an alert holds.
    pub alerting: bool,
    /// What the detectors of anomalies say, where the policy asks for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Anomaly>,
    /// Each condition of each trip entry, in their order.
    #[serde(default)]
    pub conditions: Vec<ConditionStatus>,
    /// The kinds of failure of the last five minutes, the most frequent first: at most 16, then
    /// `other`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_kinds: Vec<FailureKind>,
    /// Of a feed that matches nothing, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmatched: Option<Unmatched>,
}

/// What a detector says of its stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// What it watches.
    pub stream: Signal,
    /// The estimated share of hits since the change, 0 to 1.
    pub share: f64,
    /// The bounds of that share (Wilson, 95 %).
    pub interval: [f64; 2],
    /// The share that is normal at most, as it was learned.
    pub normal: f64,
    /// Observations since the change.
    pub observations: u64,
    /// The evidence as a share of its alarm line: 1 is an alarm.
    pub score: f64,
    /// Whether there is an alarm.
    pub alarming: bool,
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Numbers of requests in flight at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Concurrency {
    /// The 99th percentile.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl From<&[Entry]> for Breakers {
    fn from(entries: &[Entry]) -> Self {
        Self {
            breakers: entries.iter().map(Breaker::from).collect(),
        }
    }
}

impl From<&Entry> for Breaker {
    fn from(entry: &Entry) -> Self {
        Self::new(&Watched::from(entry), &entry.breaker().snapshot())
    }
}

impl Breaker {
    /// Whether it differs from `other` in no more than how long it has been so.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self {
            name,
            upstream,
            fallback,
            state,
            mode,
            mode_remaining,
            policy,
            alerting,
            reason,
            lasted: _,
            open_remaining,
            admitted_share,
            shedding,
            failed_recoveries,
            in_flight,
            oldest_in_flight,
            totals,
            transitions,
            source,
            sources,
        } = self;
        *name == other.name
            && *upstream == other.upstream
            && *fallback == other.fallback
            && *state == other.state
            && *mode == other.mode
            && *mode_remaining == other.mode_remaining
            && *policy == other.policy
            && *alerting == other.alerting
            && *reason == other.reason
            && *open_remaining == other.open_remaining
            && *admitted_share == other.admitted_share
            && *shedding == other.shedding
            && *failed_recoveries == other.failed_recoveries
            && *in_flight == other.in_flight
            && *oldest_in_flight == other.oldest_in_flight
            && *totals == other.totals
            && *transitions == other.transitions
            && *source == other.source
            && *sources == other.sources
    }

    /// Whether it sheds: the limit of a ramp belongs to the trial.
    pub fn sheds(&self) -> bool {
        self.state == State::Closed && self.shedding.is_some()
    }

    /// The window of [`Self::source`].
    pub fn window(&self) -> Option<&Window> {
        let mut sources = self.sources.iter();
        let window = sources.find(|window| window.source == self.source);
        window.or(self.sources.first())
    }

    /// The report of a breaker that knew this.
    pub fn new(watched: &Watched, snapshot: &Snapshot) -> Self {
        Self {
            name: watched.name().to_string(),
            upstream: watched.upstream().map(ToOwned::to_owned),
            fallback: watched.fallback().map(ToOwned::to_owned),
            policy: PolicyInForce {
                name: watched.policy().name().to_owned(),
                origin: watched.origin().into(),
            },
            alerting: snapshot.sources.iter().any(|source| source.alerting),
            state: snapshot.state.into(),
            mode: snapshot.mode.into(),
            mode_remaining: seconds(snapshot.mode_remaining),
            reason: (&*snapshot.reason).into(),
            lasted: snapshot.lasted.as_secs_f64(),
            open_remaining: seconds(snapshot.open_remaining),
            admitted_share: snapshot.admitted_share.get(),
            shedding: snapshot.shedding.as_ref().map(Shedding::from),
            failed_recoveries: snapshot.failed_recoveries,
            in_flight: snapshot.in_flight,
            oldest_in_flight: seconds(snapshot.oldest_in_flight),
            totals: Counts::new(&snapshot.totals, watched.findings()),
            // Zeros are for those who watch a counter rise; here is what happened.
            transitions: snapshot
                .transitions
                .iter()
                .filter(|kind| kind.count > 0)
                .map(|kind| Transitions {
                    from: kind.from.into(),
                    to: kind.to.into(),
                    reason: kind.reason.to_owned(),
                    count: kind.count,
                })
                .collect(),
            sources: windows(watched.findings(), snapshot),
            source: snapshot.deciding().name.to_string(),
        }
    }
}

/// The window of each source, with what is known of it beside its breaker.
fn windows(findings: &Findings, snapshot: &Snapshot) -> Vec<Window> {
    let now = Instant::now();
    let windows = snapshot.sources.iter().map(|source| Window {
        failure_kinds: FailureKind::lately(findings, &source.name, now),
        unmatched: findings.unmatched(&source.name),
        ..Window::from(source)
    });
    windows.collect()
}

impl Reason {
    /// A reason in a word and in a sentence.
    pub fn new(label: &str, detail: &impl ToString) -> Self {
        Self {
            label: label.to_owned(),
            detail: detail.to_string(),
        }
    }
}

impl From<&Why> for Reason {
    fn from(reason: &Why) -> Self {
        Self::new(reason.label(), reason)
    }
}

impl From<&SheddingSnapshot> for Shedding {
    fn from(shedding: &SheddingSnapshot) -> Self {
        Self {
            limit: shedding.limit,
            target: shedding.target.as_secs_f64(),
            admitted_share: shedding.admitted_share.get(),
            lasted: shedding.lasted.as_secs_f64(),
            reason: (&*shedding.reason).into(),
        }
    }
}

impl Counts {
    fn new(totals: &Totals, findings: &Findings) -> Self {
        Self {
            success: totals.success,
            failure: totals.failure,
            ignored: totals.ignored,
            rejected: totals.rejected,
            fallback: findings.fallbacks(),
            would_reject: totals.would_reject,
            alerts: totals.alerts,
        }
    }
}

impl From<&SourceSnapshot> for Window {
    fn from(source: &SourceSnapshot) -> Self {
        Self {
            source: source.name.to_string(),
            requests: source.requests(),
            failures: source.failure,
            ignored: source.ignored,
            error_rate: source.error_rate.get(),
            latency: source.latency.as_ref().map(Quantiles::from),
            concurrency: source.concurrency.map(|seen| Concurrency {
                p99: seen.p99,
                max: seen.max,
            }),
            alerting: source.alerting,
            anomalies: source.anomalies.iter().map(Anomaly::from).collect(),
            conditions: source
                .conditions
                .iter()
                .map(ConditionStatus::from)
                .collect(),
            failure_kinds: Vec::new(),
            unmatched: None,
        }
    }
}

impl From<&Detected> for Anomaly {
    fn from(anomaly: &Detected) -> Self {
        Self {
            stream: anomaly.stream.into(),
            share: anomaly.share.get(),
            interval: [anomaly.low.get(), anomaly.high.get()],
            normal: anomaly.normal.get(),
            observations: anomaly.observations,
            score: anomaly.score(),
            alarming: anomaly.alarming,
        }
    }
}

impl From<&Latencies> for Quantiles {
    fn from(latencies: &Latencies) -> Self {
        Self {
            p50: latencies.p50.as_secs_f64(),
            p90: latencies.p90.as_secs_f64(),
            p95: latencies.p95.as_secs_f64(),
            p99: latencies.p99.as_secs_f64(),
            p999: latencies.p999.as_secs_f64(),
            max: latencies.max.as_secs_f64(),
        }
    }
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}
