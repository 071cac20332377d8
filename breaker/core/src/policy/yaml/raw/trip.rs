//! A trip entry in YAML: the fields of the conditions, and what is done when all hold.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error};

use super::super::scalar::{Period, Share};
use super::names::RawStream;
use crate::policy::{Action, Condition, PolicyError, Quantile, TripEntry};
use crate::ratio::Ratio;

/// Conditions that must all hold, and what is then done.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of conditions")]
#[schemars(rename = "Trip")]
pub(super) struct RawTrip {
    /// The share of failures, at least.
    #[schemars(extend("x-default" = "none"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["50%"]))]
    error_rate: Option<Share>,
    /// The median latency, at least.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["200ms"]))]
    p50: Option<Period>,
    /// The latency that 90 % are at or below, at least.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["500ms"]))]
    p90: Option<Period>,
    /// The latency that 95 % are at or below, at least.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["800ms"]))]
    p95: Option<Period>,
    /// The latency that 99 % are at or below, at least.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["2s"]))]
    p99: Option<Period>,
    /// The latency that 99.9 % are at or below, at least.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["5s"]))]
    p999: Option<Period>,
    /// The share of requests slower than slow_threshold, hung ones included, at least.
    #[schemars(extend("x-default" = "none"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["30%"]))]
    slow_rate: Option<Share>,
    /// From when on a request is slow.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 1h", "examples" = ["1s"]))]
    slow_threshold: Option<Period>,
    /// The share of requests that the route's timeout ended, at least.
    #[schemars(extend("x-default" = "none"))]
    #[schemars(extend("x-range" = "more than 0% and at most 100%"))]
    #[schemars(extend("examples" = ["20%"]))]
    timeout_rate: Option<Share>,
    /// Requests in flight now, at least.
    #[schemars(range(min = 1), extend("x-default" = "none", "examples" = [200]))]
    concurrency: Option<u64>,
    /// Failures without a success between them, at least.
    #[schemars(range(min = 1), extend("x-default" = "none", "examples" = [5]))]
    consecutive_failures: Option<u32>,
    /// The detectors of a stream have an alarm.
    #[schemars(extend("x-default" = "none", "examples" = ["errors"]))]
    anomaly: Option<RawStream>,
    /// Beside anomaly: the lower bound of the estimated share, at least.
    #[schemars(extend("default" = "0%", "x-range" = "0% to 100%", "examples" = ["50%"]))]
    at_least: Option<Share>,
    /// Beside anomaly: from the change to the latest hit it is so long at least; what is shorter is
    /// a blip.
    #[schemars(extend("default" = "0s", "x-range" = "0s to 1m", "examples" = ["3s"]))]
    blip: Option<Period>,
    /// What is done when all conditions hold.
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
    /// Admits no more requests at once than the upstream answers in time; needs a condition on
    /// latency.
    Shed,
}

// === impl RawTrip ===

impl RawTrip {
    pub(super) fn entry(self, index: usize) -> Result<TripEntry, PolicyError> {
        let broken =
            |field: &str, rule: &str| Err(PolicyError::new(format!("trip[{index}].{field}"), rule));
        let anomaly = match (self.anomaly, &self.at_least, &self.blip) {
            (Some(stream), at_least, blip) => Some(Condition::Anomaly {
                stream: stream.into(),
                at_least: at_least.as_ref().map_or(Ratio::ZERO, |share| share.0),
                blip: blip.as_ref().map_or(Duration::ZERO, |blip| blip.0),
            }),
            (None, Some(_), _) => return broken("at_least", "needs anomaly beside it"),
            (None, None, Some(_)) => return broken("blip", "needs anomaly beside it"),
            (None, None, None) => None,
        };
        let action = match self.action {
            None | Some(RawAction::Open) => Action::Open,
            Some(RawAction::Alert) => Action::Alert,
            Some(RawAction::Shed) => Action::Shed,
        };
        let slow = match (self.slow_rate, self.slow_threshold) {
            (Some(share), Some(threshold)) => Some(Condition::SlowRate {
                share: share.0,
                threshold: threshold.0,
            }),
            (Some(_), None) => return broken("slow_rate", "needs slow_threshold beside it"),
            (None, Some(_)) => return broken("slow_threshold", "needs slow_rate beside it"),
            (None, None) => None,
        };
        let quantiles = [self.p50, self.p90, self.p95, self.p99, self.p999];
        let quantiles = quantiles.into_iter().zip(Quantile::ALL);
        let latencies = quantiles.filter_map(|(bound, quantile)| {
            let bound = bound?.0;
            Some(Condition::Latency { quantile, bound })
        });
        let error_rate = self.error_rate.map(|share| Condition::ErrorRate(share.0));
        let conditions = error_rate
            .into_iter()
            .chain(slow)
            .chain(
                self.timeout_rate
                    .map(|share| Condition::TimeoutRate(share.0)),
            )
            .chain(self.concurrency.map(Condition::Concurrency))
            .chain(
                self.consecutive_failures
                    .map(Condition::ConsecutiveFailures),
            )
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
