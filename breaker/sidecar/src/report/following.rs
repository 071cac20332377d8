//! The Breaker that a sidecar follows, as JSON, and what a breaker tells those that follow it.
//! Durations are in seconds, shares from 0 to 1.

use breaker_tower::breaker_core::fleet::TripNumbers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fleet::{FleetCount, FleetRoute};
use super::words::Signal;

/// The Breaker that a sidecar follows, the brain, as the sidecar sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FollowingStatus {
    /// Where it is.
    pub brain: String,
    /// Whether it is heard.
    pub connected: bool,
    /// How old its last message is.
    pub age: Option<f64>,
    /// Whether that is young enough to be followed: 3 s. If not, each breaker is alone.
    pub fresh: bool,
    /// How many routes it has that are unknown here.
    pub unknown_routes: u64,
    /// The routes that are followed here and that it does not have.
    pub missing_routes: Vec<String>,
    /// What it said that was not followed since the start, by why; only reasons that occurred.
    pub ignored: Vec<FleetCount>,
    /// The routes that are followed.
    pub routes: Vec<FleetRoute>,
}

impl FollowingStatus {
    /// The route with this name, if it is followed.
    pub fn route(&self, name: &str) -> Option<&FleetRoute> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// Whether the brain has a route of this name, as far as it has been heard.
    pub fn has(&self, name: &str) -> bool {
        !self.missing_routes.iter().any(|missing| missing == name)
    }
}

/// The numbers that tripped a breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TripEvidence {
    /// What hits are: failures, slow or late requests.
    pub signal: Signal,
    /// How long ago the share of hits changed.
    pub lasted: f64,
    /// Requests from then on until it tripped.
    pub requests: u64,
    /// Of these, hits.
    pub hits: u64,
    /// The lower bound of the share of hits (Wilson, 95 %).
    pub low: f64,
    /// Its upper bound.
    pub high: f64,
    /// The share that is normal; 0 where that is not known.
    pub normal: f64,
    /// The evidence in nats; 0 for a condition on the error rate.
    pub evidence: f64,
    /// From which evidence on it is an alarm.
    pub line: f64,
}

impl From<TripNumbers> for TripEvidence {
    fn from(of: TripNumbers) -> Self {
        Self {
            signal: of.signal.into(),
            lasted: of.since.as_secs_f64(),
            requests: of.numbers.observations,
            hits: of.numbers.hits,
            low: of.numbers.low.get(),
            high: of.numbers.high.get(),
            normal: of.numbers.normal.get(),
            evidence: of.numbers.evidence,
            line: of.numbers.line,
        }
    }
}
