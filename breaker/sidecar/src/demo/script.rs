//! The incident of the demo: what the service does when, and what that does to each request.
//!
//! A request's fate follows from its number and its time alone. So the service acts it out, and the
//! account knows what would have become of a request that the breaker rejected.

use std::time::Duration;

/// What the service does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Answers in about 10 ms.
    Healthy,
    /// Answers four of five requests with 500.
    Failing,
    /// Answers after 1.5 s.
    Slow,
}

/// What becomes of a request that reaches the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) fails: bool,
    pub(super) takes: Duration,
}

impl Phase {
    /// The phase `elapsed` after the start.
    pub(super) fn at(elapsed: Duration) -> Self {
        match elapsed {
            _ if elapsed < INCIDENT_BEGINS => Self::Healthy,
            _ if elapsed < SLOW_FROM => Self::Failing,
            _ if elapsed < INCIDENT_ENDS => Self::Slow,
            _ => Self::Healthy,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Failing => "failing",
            Self::Slow => "slow",
        }
    }
}

impl Fate {
    /// What becomes of request `number` if it reaches the service `elapsed` after the start.
    pub(super) fn of(number: u64, elapsed: Duration) -> Self {
        let phase = Phase::at(elapsed);
        Self {
            fails: phase == Phase::Failing && !number.is_multiple_of(5),
            takes: match phase {
                Phase::Slow => Duration::from_millis(1500),
                // 6 to 15 ms.
                Phase::Healthy | Phase::Failing => Duration::from_millis(6 + number * 7 % 10),
            },
        }
    }

    /// Whether a caller would rather have been told at once.
    pub(super) fn is_bad(self) -> bool {
        self.fails || self.takes >= Duration::from_secs(1)
    }
}

pub(super) const INCIDENT_BEGINS: Duration = Duration::from_secs(4);
const SLOW_FROM: Duration = Duration::from_secs(8);
pub(super) const INCIDENT_ENDS: Duration = Duration::from_secs(12);
/// The open time of `sensitive` is at most 12 s and its ramp takes 10 s: by then the breaker has
/// closed again.
pub(super) const RECOVERED: Duration = Duration::from_secs(28);
