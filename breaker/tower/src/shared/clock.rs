//! The clock of a breaker: tokio's, which tests can pause, or one that a test moves.

use std::time::Duration;

use breaker_core::Timestamp;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) enum Clock {
    /// Since when it runs.
    Tokio(Instant),
    #[cfg(feature = "testing")]
    Manual(ManualClock),
}

/// Nanoseconds since the breaker's creation.
#[cfg(feature = "testing")]
#[derive(Clone, Debug, Default)]
pub(crate) struct ManualClock(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Clock {
    pub(crate) fn start() -> Self {
        Self::Tokio(Instant::now())
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Tokio(origin) => Timestamp::ZERO + origin.elapsed(),
            #[cfg(feature = "testing")]
            Self::Manual(clock) => clock.now(),
        }
    }

    /// When a task is to wake up; `None` if no task can know.
    pub(crate) fn instant(&self, at: Timestamp) -> Option<Instant> {
        match self {
            Self::Tokio(origin) => Some(*origin + Duration::from_nanos(at.as_nanos())),
            #[cfg(feature = "testing")]
            Self::Manual(_) => None,
        }
    }
}

#[cfg(feature = "testing")]
impl ManualClock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(std::sync::atomic::Ordering::Acquire))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        let now = now.as_nanos();
        self.0.store(now, std::sync::atomic::Ordering::Release);
    }
}
