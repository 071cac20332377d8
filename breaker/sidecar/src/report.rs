//! What a breaker knows, as JSON: for `/breakers`, the dashboard and the command line. Durations
//! and latencies are in seconds.

mod condition;
mod failure;
mod fleet;
mod following;
mod upstreams;
mod window;
mod words;

use std::time::Duration;

use breaker_tower::breaker_core::{Reason as Why, SheddingSnapshot, Snapshot, Totals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::window::windows;

pub use self::condition::ConditionStatus;
pub use self::failure::FailureKind;
pub use self::fleet::{
    FleetAggregator, FleetCount, FleetEvidence, FleetMember, FleetOpening, FleetOverview,
    FleetPage, FleetRoute, FleetStatus, OverviewRoute, OverviewSignal, OwnEvidence,
};
pub use self::following::{FollowingStatus, TripEvidence};
pub use self::upstreams::{Endpoint, Upstream, Upstreams};
pub use self::window::{Anomaly, Concurrency, Quantiles, Window};
pub use self::words::{
    Action, EndpointState, FleetStage, Ignored, Mode, Origin, Signal, State, Unit,
};
use crate::registry::RegisteredBreaker;
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
    pub totals: RequestTotals,
    /// Transitions since the start, by kind.
    pub transitions: Vec<Transitions>,
    /// The windows, the proxy's first.
    pub sources: Vec<Window>,
    /// The name of the source whose numbers explain the breaker: the one that tripped it or alerts,
    /// else the proxy, or the busiest feed where the proxy has no traffic.
    #[serde(default)]
    pub source: String,
    /// What tripped it, until it is closed again, for those that follow it. None if that was no
    /// share of its requests, or if it follows another Breaker that opened it or holds it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tripped: Option<TripEvidence>,
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
pub struct RequestTotals {
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

impl From<&[RegisteredBreaker]> for Breakers {
    fn from(entries: &[RegisteredBreaker]) -> Self {
        Self {
            breakers: entries.iter().map(Breaker::from).collect(),
        }
    }
}

impl From<&RegisteredBreaker> for Breaker {
    fn from(entry: &RegisteredBreaker) -> Self {
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
            tripped,
        } = self;
        let since = |of: &Option<TripEvidence>| of.as_ref().map(|of| (of.requests, of.hits));
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
            && since(tripped) == since(&other.tripped)
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
            totals: RequestTotals::new(&snapshot.totals, watched.findings()),
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
            tripped: snapshot.trip_numbers().map(TripEvidence::from),
        }
    }
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

impl RequestTotals {
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

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}
