//! Words of a policy file that stand for what detectors watch, and how recovery is judged.

use schemars::JsonSchema;

use crate::policy::{FalseAlarmBudget, Recovery, Signal};

/// What anomaly detectors watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Signal")]
pub(super) enum RawSignal {
    /// Failures among all requests that ended.
    Errors,
    /// Requests slower than twice the usual P95.
    Latency,
    /// Requests slower than the policy's deadline.
    Deadline,
}

/// How rarely anomaly detectors may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[schemars(rename = "FalseAlarmBudget")]
pub(super) enum RawBudget {
    /// One false alarm in 30 days.
    #[serde(rename = "30d", alias = "conservative")]
    ThirtyDays,
    /// One false alarm in 3 days.
    #[serde(rename = "3d", alias = "sensitive")]
    ThreeDays,
}

/// The way in which the half-open state and the ramp are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Recovery")]
pub(super) enum RawRecovery {
    /// The number of good probes decides, and the ramp grows with time.
    Counted,
    /// A sequential test of the probes decides, and the ramp grows with the outcomes of its
    /// requests.
    Sequential,
}

impl From<RawSignal> for Signal {
    fn from(signal: RawSignal) -> Self {
        match signal {
            RawSignal::Errors => Self::Errors,
            RawSignal::Latency => Self::Latency,
            RawSignal::Deadline => Self::Deadline,
        }
    }
}

impl From<RawBudget> for FalseAlarmBudget {
    fn from(budget: RawBudget) -> Self {
        match budget {
            RawBudget::ThirtyDays => Self::ThirtyDays,
            RawBudget::ThreeDays => Self::ThreeDays,
        }
    }
}

impl From<RawRecovery> for Recovery {
    fn from(recovery: RawRecovery) -> Self {
        match recovery {
            RawRecovery::Counted => Self::Counted,
            RawRecovery::Sequential => Self::Sequential,
        }
    }
}
