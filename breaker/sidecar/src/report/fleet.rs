//! The fleet of a sidecar, as JSON: how it is reached, what it believes, and what of that is
//! followed here. Durations are in seconds, shares from 0 to 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{FleetStage, Ignored, Signal};

/// The fleet that a sidecar is in, as it sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetStatus {
    /// Its name.
    pub name: String,
    /// Where the engine is.
    pub engine: String,
    /// Whether the engine can be reached.
    pub connected: bool,
    /// The id of this sidecar in the fleet; another one after each start.
    pub instance: String,
    /// Who aggregates, as the newest verdict says.
    pub aggregator: Option<FleetAggregator>,
    /// The term of the aggregator: it grows with each new one.
    pub term: Option<u64>,
    /// How many sidecars the aggregator knows.
    pub members: Option<u64>,
    /// How old the newest verdict is.
    pub verdict_age: Option<f64>,
    /// Whether that is young enough to be followed: 3 s. If not, each breaker is alone.
    pub fresh: bool,
    /// Reports that were published since the start.
    pub reports: u64,
    /// Messages that were dropped since the start, by why; only reasons that occurred.
    pub dropped: Vec<FleetCount>,
    /// Verdicts that were ignored since the start, or what they say of a route, by why; only
    /// reasons that occurred.
    pub ignored: Vec<FleetCount>,
    /// The routes whose evidence is pooled.
    pub routes: Vec<FleetRoute>,
}

/// Who aggregates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetAggregator {
    /// Its id in the fleet.
    pub instance: String,
    /// Its machine; empty if it is not known.
    pub host: String,
    /// Whether it is this sidecar.
    pub here: bool,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetCount {
    /// Why, in one word, as in the attributes of metrics.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What the fleet believes of a route, and what is observed and done here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetRoute {
    /// The name of the route.
    pub name: String,
    /// How far the fleet is.
    pub stage: FleetStage,
    /// How long it will stay open.
    pub open_remaining: Option<f64>,
    /// The share of requests that each sidecar admits, in a ramp.
    pub share: Option<f64>,
    /// Whether this sidecar sends probes.
    pub prober: bool,
    /// Whether the fleet leads the recovery of this sidecar's breaker.
    pub led: bool,
    /// Why what the newest verdict says of it is not followed here.
    pub ignored: Option<Ignored>,
    /// The fleet's evidence; none while it is quiet.
    pub evidence: Option<FleetEvidence>,
    /// What this sidecar itself has observed, by signal.
    pub own: Vec<OwnEvidence>,
    /// When the fleet last opened this sidecar's breaker.
    pub opened: Option<FleetOpening>,
}

/// The numbers of a verdict, without the sidecars that add most to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetEvidence {
    /// What hits are: failures, slow or late requests.
    pub signal: Signal,
    /// How long ago the share of hits changed.
    pub lasted: f64,
    /// Requests since then.
    pub requests: u64,
    /// Of these, hits.
    pub hits: u64,
    /// The lower bound of the share of hits (Wilson, 95 %).
    pub low: f64,
    /// Its upper bound.
    pub high: f64,
    /// The share that is normal.
    pub normal: f64,
    /// The evidence in nats.
    pub evidence: f64,
    /// From which evidence on it is an alarm.
    pub line: f64,
    /// Sidecars that count and have reported within 3 s.
    pub reporting: u64,
    /// Sidecars that count and were heard in the last minute.
    pub heard: u64,
}

/// What one sidecar has observed itself in the last 30 s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OwnEvidence {
    /// What hits are.
    pub signal: Signal,
    /// Requests.
    pub requests: u64,
    /// Of these, hits.
    pub hits: u64,
}

/// That the fleet opened a breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetOpening {
    /// How long ago.
    pub ago: f64,
    /// By which evidence of the fleet.
    pub evidence: FleetEvidence,
    /// What this sidecar itself had observed in the 30 s before.
    pub own: OwnEvidence,
}

/// One page over all members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetPage {
    /// The fleet as this sidecar sees it.
    pub fleet: FleetStatus,
    /// What the aggregator sees; none if it can't be heard.
    pub overview: Option<FleetOverview>,
}

/// What the aggregator sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetOverview {
    /// How old it is.
    pub age: f64,
    /// The term of the aggregator.
    pub term: u64,
    /// Members that don't fit into a message, and are not among `members`.
    pub more_members: u64,
    /// The members.
    pub members: Vec<FleetMember>,
    /// The routes, over all members.
    pub routes: Vec<OverviewRoute>,
}

/// A sidecar of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetMember {
    /// Its id in the fleet.
    pub instance: String,
    /// Its machine; empty if it is not known.
    pub host: String,
    /// How long ago it reported.
    pub silent: f64,
    /// How long it takes until it counts, as each does after a minute; 0 if it does.
    pub counts_in: f64,
    /// Routes whose breaker is not closed there.
    pub not_closed: u64,
    /// Routes on which it sees what the others don't.
    pub outlier: u64,
}

/// A route over all members that count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverviewRoute {
    /// The name of the route.
    pub name: String,
    /// How far the fleet is.
    pub stage: FleetStage,
    /// Requests that arrive in a second.
    pub rate: f64,
    /// Sidecars that have reported within 3 s.
    pub reporting: u64,
    /// Sidecars that were heard in the last minute.
    pub heard: u64,
    /// Sidecars whose breaker is not closed.
    pub not_closed: u64,
    /// Sidecars whose recovery the fleet leads.
    pub led: u64,
    /// What was observed, by the signals that the policy watches.
    pub signals: Vec<OverviewSignal>,
    /// The evidence of the verdict; none while the route is quiet.
    pub evidence: Option<FleetEvidence>,
}

/// What all members together observed in the last 30 s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverviewSignal {
    /// What hits are.
    pub signal: Signal,
    /// Requests.
    pub requests: u64,
    /// Of these, hits.
    pub hits: u64,
    /// The share that is normal: the median over the members.
    pub normal: f64,
    /// The evidence in nats of the time scale that is nearest to an alarm.
    pub evidence: f64,
    /// From which evidence on it is an alarm.
    pub line: f64,
}

impl FleetStatus {
    /// The route with this name, if its evidence is pooled.
    pub fn route(&self, name: &str) -> Option<&FleetRoute> {
        self.routes.iter().find(|route| route.name == name)
    }
}

impl FleetRoute {
    /// What was observed here of `signal`.
    pub fn own(&self, signal: Signal) -> Option<&OwnEvidence> {
        self.own.iter().find(|own| own.signal == signal)
    }
}

impl OverviewRoute {
    /// How much of an alarm the evidence is, 0 to 1: that of the verdict, or else of the signal
    /// that is nearest to an alarm.
    pub fn reached(&self) -> f64 {
        let of_verdict = self.evidence.as_ref().map(|of| (of.evidence, of.line));
        let (evidence, line) = of_verdict
            .or_else(|| self.nearest().map(|of| (of.evidence, of.line)))
            .unwrap_or_default();
        (evidence / line.max(1.0)).clamp(0.0, 1.0)
    }

    /// The signal that is nearest to an alarm, or of which there is one.
    pub fn nearest(&self) -> Option<&OverviewSignal> {
        let of_verdict = self.evidence.as_ref().map(|evidence| evidence.signal);
        let reached = |of: &OverviewSignal| of.evidence / of.line.max(1.0);
        let nearest = || {
            let signals = self.signals.iter();
            signals.max_by(|a, b| reached(a).total_cmp(&reached(b)))
        };
        let mut signals = self.signals.iter();
        let of_verdict = of_verdict.and_then(|signal| signals.find(|of| of.signal == signal));
        of_verdict.or_else(nearest)
    }
}
