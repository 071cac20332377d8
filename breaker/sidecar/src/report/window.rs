//! What the window of one source says.

use breaker_tower::breaker_core::{Anomaly as Detected, Latencies, Snapshot, SourceSnapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{ConditionStatus, FailureKind, Signal};
use crate::findings::{Findings, Unmatched};

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

/// What a detector says of its signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// What it watches.
    #[serde(alias = "stream")]
    pub signal: Signal,
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

/// The window of each source, with what is known of it beside its breaker.
pub(super) fn windows(findings: &Findings, snapshot: &Snapshot) -> Vec<Window> {
    let now = Instant::now();
    let windows = snapshot.sources.iter().map(|source| Window {
        failure_kinds: FailureKind::lately(findings, &source.name, now),
        unmatched: findings.unmatched(&source.name),
        ..Window::from(source)
    });
    windows.collect()
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
            signal: anomaly.signal.into(),
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
