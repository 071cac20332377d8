//! A trip entry in YAML: the fields of the conditions, and what is done when all hold.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error};

use super::super::scalar::{Period, Share};
use super::names::RawSignal;
use crate::policy::{Action, Condition, InvalidField, Quantile, TripEntry};
use crate::ratio::Ratio;

/// The conditions, which must all hold, and the action of the entry.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of conditions")]
#[schemars(rename = "Trip")]
pub(super) struct RawTrip {
    /// The share of failures is at least this.
    #[schemars(extend("x-default" = "none"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["50%"]))]
    error_rate: Option<Share>,
    /// The median latency is at least this.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["200ms"]))]
    p50: Option<Period>,
    /// The 90th percentile of the latency is at least this.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["500ms"]))]
    p90: Option<Period>,
    /// The 95th percentile of the latency is at least this.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["800ms"]))]
    p95: Option<Period>,
    /// The 99th percentile of the latency is at least this.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["2s"]))]
    p99: Option<Period>,
    /// The 99.9th percentile of the latency is at least this.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["5s"]))]
    p999: Option<Period>,
    /// The share of slow requests (with a latency of at least slow_threshold) is at least this.
    /// Hung requests count, too.
    #[schemars(extend("x-default" = "none"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["30%"]))]
    slow_rate: Option<Share>,
    /// A request with at least this latency is slow.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["1s"]))]
    slow_threshold: Option<Period>,
    /// The share of requests that the route's timeout ended is at least this.
    #[schemars(extend("x-default" = "none"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["20%"]))]
    timeout_rate: Option<Share>,
    /// At least this many requests are in flight. Requests that wait for their caller do not count.
    #[schemars(range(min = 1), extend("x-default" = "none", "examples" = [200]))]
    concurrency: Option<u64>,
    /// There are at least this many failures without a success between them.
    #[schemars(range(min = 1), extend("x-default" = "none", "examples" = [5]))]
    consecutive_failures: Option<u32>,
    /// A detector has an alarm on this signal.
    #[schemars(extend("x-default" = "none", "examples" = ["errors"]))]
    anomaly: Option<RawSignal>,
    /// Only with anomaly: the lower bound of the estimated share of hits (requests that the signal
    /// counts) must be at least this.
    #[schemars(extend("default" = "0%", "x-range" = "0% to 100%", "examples" = ["50%"]))]
    at_least: Option<Share>,
    /// Only with anomaly: the time from the start of the anomaly to the latest hit must be at least
    /// this. A shorter disturbance is a blip, and does not count.
    #[schemars(extend("default" = "0s", "x-range" = "0s to 1m", "examples" = ["3s"]))]
    blip: Option<Period>,
    /// The action when all conditions hold.
    #[schemars(extend("default" = "open", "examples" = ["alert"]))]
    action: Option<RawAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename = "Action", rename_all = "lowercase")]
enum RawAction {
    /// Opens the breaker.
    Open,
    /// Reports an alert, and rejects nothing.
    Alert,
    /// Admits no more concurrent requests than the upstream answers in time; needs a condition on
    /// latency.
    Shed,
}

// === impl RawTrip ===

impl RawTrip {
    pub(super) fn entry(self, index: usize) -> Result<TripEntry, InvalidField> {
        // Without `..`, so that the compiler tells of a field that no condition comes from.
        let Self {
            error_rate,
            p50,
            p90,
            p95,
            p99,
            p999,
            slow_rate,
            slow_threshold,
            timeout_rate,
            concurrency,
            consecutive_failures,
            anomaly,
            at_least,
            blip,
            action,
        } = self;
        let broken = |field: &str, rule: &str| {
            Err(InvalidField::new(format!("trip[{index}].{field}"), rule))
        };
        let anomaly = match (anomaly, at_least, blip) {
            (Some(signal), at_least, blip) => Some(Condition::Anomaly {
                signal: signal.into(),
                at_least: at_least.map_or(Ratio::ZERO, |share| share.0),
                blip: blip.map_or(Duration::ZERO, |blip| blip.0),
            }),
            (None, Some(_), _) => return broken("at_least", "needs anomaly beside it"),
            (None, None, Some(_)) => return broken("blip", "needs anomaly beside it"),
            (None, None, None) => None,
        };
        let action = match action {
            None | Some(RawAction::Open) => Action::Open,
            Some(RawAction::Alert) => Action::Alert,
            Some(RawAction::Shed) => Action::Shed,
        };
        let slow = match (slow_rate, slow_threshold) {
            (Some(share), Some(threshold)) => Some(Condition::SlowRate {
                share: share.0,
                threshold: threshold.0,
            }),
            (Some(_), None) => return broken("slow_rate", "needs slow_threshold beside it"),
            (None, Some(_)) => return broken("slow_threshold", "needs slow_rate beside it"),
            (None, None) => None,
        };
        let latencies = [
            (p50, Quantile::P50),
            (p90, Quantile::P90),
            (p95, Quantile::P95),
            (p99, Quantile::P99),
            (p999, Quantile::P999),
        ];
        let latencies = latencies.into_iter().filter_map(|(bound, quantile)| {
            let bound = bound?.0;
            Some(Condition::Latency { quantile, bound })
        });
        let error_rate = error_rate.map(|share| Condition::ErrorRate(share.0));
        let conditions = error_rate
            .into_iter()
            .chain(slow)
            .chain(timeout_rate.map(|share| Condition::TimeoutRate(share.0)))
            .chain(concurrency.map(Condition::Concurrency))
            .chain(consecutive_failures.map(Condition::ConsecutiveFailures))
            .chain(anomaly)
            .chain(latencies)
            .collect();
        Ok(TripEntry { conditions, action })
    }
}

// === impl RawAction ===

impl<'de> Deserialize<'de> for RawAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "open" => Ok(Self::Open),
            "alert" => Ok(Self::Alert),
            "shed" => Ok(Self::Shed),
            _ => Err(D::Error::custom("must be open, alert or shed")),
        }
    }
}
