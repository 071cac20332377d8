//! What is known of the endpoints of upstreams, as JSON. Durations and latencies are in seconds.

use breaker_tower::breaker_core::{EndpointSnapshot, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EndpointState, Reason};
use crate::upstream::Upstream as Configured;

/// All upstreams that routes go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upstreams {
    /// In the order of their routes.
    pub upstreams: Vec<Upstream>,
}

/// What is known of one upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// Whether more endpoints are bad than may be out, so that all are in.
    pub panic: bool,
    /// How many endpoints were found; more than there are in the list if only some are used.
    pub found: u64,
    /// How many may be out, beside those that operators ejected.
    pub most_out: u64,
    /// Those that are used.
    pub endpoints: Vec<Endpoint>,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoint {
    /// Its address or name, with the port.
    pub endpoint: String,
    /// Whether it gets requests.
    pub state: EndpointState,
    /// Why it gets none.
    pub reason: Option<Reason>,
    /// Until it is probed, or in again if an operator ejected it.
    pub out_remaining: Option<f64>,
    /// Its weight, compared with those of the others.
    pub weight: u32,
    /// How much of its share of the requests it gets, 0 to 1: less than all while it is new or has
    /// just come in again.
    pub grown: f64,
    /// Requests in flight.
    pub in_flight: u64,
    /// The peak EWMA of its latency.
    pub latency: f64,
    /// What the balancer compares: the latency times the requests in flight, and penalties.
    pub load: f64,
    /// The share of failures of the last ten seconds, 0 to 1; 0 of a single endpoint.
    pub error_rate: f64,
    /// The attempts of the last ten seconds.
    pub attempts: u64,
    /// Attempts that succeeded, since it is known.
    pub successes: u64,
    /// Attempts that failed, those without a connection included.
    pub failures: u64,
    /// Attempts that could not even connect.
    pub unreachable: u64,
    /// Attempts that say nothing of it.
    pub ignored: u64,
}

impl Upstream {
    /// Whether there is more to tell of its endpoints than its routes tell: there are several, or
    /// none, or one that is out.
    pub fn is_worth_telling(&self) -> bool {
        self.found != 1 || self.endpoints.iter().any(|one| one.reason.is_some())
    }

    /// The share of an endpoint in the attempts of the last ten seconds, if there were any.
    pub fn share(&self, endpoint: &Endpoint) -> Option<f64> {
        let all: u64 = self.endpoints.iter().map(|one| one.attempts).sum();
        (all > 0).then(|| endpoint.attempts as f64 / all as f64)
    }

    /// What is known of `upstream` now.
    pub(crate) fn of(upstream: &Configured) -> Self {
        let (current, snapshot) = upstream.instances().snapshot();
        let now = upstream.instances().now();
        let known = snapshot.endpoints.iter();
        let mut endpoints: Vec<_> = known
            .filter_map(|known| {
                let instance = current.instance(known.id)?;
                let endpoint = instance.endpoint.to_string();
                Some((instance.position, Endpoint::of(endpoint, known, now)))
            })
            .collect();
        endpoints.sort_by(|(one, first), (other, second)| {
            (one, &first.endpoint).cmp(&(other, &second.endpoint))
        });
        Self {
            name: upstream.name.clone(),
            panic: snapshot.panic,
            found: current.found as u64,
            most_out: snapshot.most_out as u64,
            endpoints: endpoints
                .into_iter()
                .map(|(_, endpoint)| endpoint)
                .collect(),
        }
    }
}

impl Endpoint {
    fn of(endpoint: String, known: &EndpointSnapshot, now: Timestamp) -> Self {
        let totals = &known.totals;
        let reason = known.reason.as_ref();
        let left = known.out_until.map(|until| until.saturating_since(now));
        Self {
            endpoint,
            state: known.state.into(),
            reason: reason.map(|reason| Reason::new(reason.label(), reason)),
            out_remaining: left.map(|left| left.as_secs_f64()),
            weight: known.weight,
            grown: known.grown.get(),
            in_flight: u64::from(known.in_flight),
            latency: known.latency.as_secs_f64(),
            load: known.load.as_secs_f64(),
            error_rate: known.failures.get(),
            attempts: known.recent,
            successes: totals.success,
            failures: totals.failure + totals.unreachable,
            unreachable: totals.unreachable,
            ignored: totals.ignored,
        }
    }
}
