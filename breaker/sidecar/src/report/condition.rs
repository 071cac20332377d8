//! Conditions as they stand.

use breaker_tower::breaker_core;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{Action, Signal, Unit};

/// A condition of a trip entry, as it stands on one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConditionStatus {
    /// The index of the entry: all conditions of one entry must hold.
    pub entry: u32,
    /// What is done then.
    pub action: Action,
    /// What it watches.
    pub signal: Signal,
    /// The condition in words.
    pub text: String,
    /// What its numbers are.
    pub unit: Unit,
    /// What is observed, if anything is.
    pub observed: Option<f64>,
    /// Its bound; none of an anomaly.
    pub threshold: Option<f64>,
    /// Of how many observations.
    pub samples: u64,
    /// How many observations it takes to be tried at all.
    pub min_requests: u64,
    /// How near it is to its bound, which is 1; of an anomaly the evidence, as a share of the alarm
    /// line.
    pub reached: Option<f64>,
    /// Whether it holds.
    pub holds: bool,
}

impl From<&breaker_core::ConditionStatus> for ConditionStatus {
    fn from(status: &breaker_core::ConditionStatus) -> Self {
        let condition = &status.condition;
        Self {
            entry: u32::try_from(status.entry).unwrap_or(u32::MAX),
            action: status.action.into(),
            signal: condition.into(),
            text: condition.to_string(),
            unit: condition.unit().into(),
            observed: status.observed,
            threshold: condition.threshold(),
            samples: status.samples,
            min_requests: status.min_requests,
            reached: status.reached(),
            holds: status.holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use breaker_tower::Policy;
    use breaker_tower::breaker_core::{Outcome, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::report::Window;

    #[test]
    fn a_source_lists_its_conditions_with_what_is_observed_beside_the_bound() {
        let now = Timestamp::ZERO;
        let mut breaker = breaker_core::Breaker::new(Policy::sensitive(), 1, now);
        for request in 0..4 {
            let permit = breaker.try_acquire(now).unwrap();
            let outcome = match request {
                0 => Outcome::failure(Duration::from_millis(5)),
                _ => Outcome::success(Duration::from_millis(5)),
            };
            breaker.record(permit, outcome, now);
        }
        let window = Window::from(&breaker.snapshot(now).sources[0]);
        let signals: Vec<_> = window.conditions.iter().map(|one| one.signal).collect();
        assert_eq!(signals, [Signal::ErrorRate, Signal::SlowRate, Signal::P99]);
        assert_eq!(
            serde_json::to_value(&window.conditions[0]).unwrap(),
            json!({
                "entry": 0, "action": "open", "signal": "error_rate", "text": "error rate ≥ 8%",
                "unit": "share", "observed": 0.25, "threshold": 0.08, "samples": 4,
                "min_requests": 20, "reached": 3.125, "holds": false,
            })
        );
    }
}
