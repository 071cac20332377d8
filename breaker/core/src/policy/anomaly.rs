//! What the anomaly detectors watch, and how rarely they may be wrong.

use std::fmt;
use std::time::Duration;

/// The signal of a detector: hits and misses, one for each observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// Failures among all requests that ended.
    Errors,
    /// Requests slower than twice the usual P95. Hung requests count as soon as they are that old.
    Latency,
    /// Requests slower than the policy's `deadline`. Hung requests count as soon as they are that
    /// old.
    Deadline,
}

/// The false-alarm budget. If requests are independent and fail no more often than normal, the
/// probability of a false alarm within t is at most t / [`Self::run_length`], for all detectors of
/// a breaker together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FalseAlarmBudget {
    /// One false alarm in 30 days.
    #[default]
    ThirtyDays,
    /// One false alarm in 3 days.
    ThreeDays,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Errors, Self::Latency, Self::Deadline];

    /// The name in a policy file, and the attribute `signal` of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Deadline => "deadline",
        }
    }

    /// What a hit is.
    pub(crate) const fn hits(self) -> &'static str {
        match self {
            Self::Errors => "of the requests fail",
            Self::Latency => "of the requests are slow",
            Self::Deadline => "of the requests miss the deadline",
        }
    }
}

impl FalseAlarmBudget {
    /// A lower bound of the mean time between false alarms.
    pub const fn run_length(self) -> Duration {
        match self {
            Self::ThirtyDays => Duration::from_secs(30 * 86_400),
            Self::ThreeDays => Duration::from_secs(3 * 86_400),
        }
    }

    /// The name in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThirtyDays => "30d",
            Self::ThreeDays => "3d",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for FalseAlarmBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
