//! The pace of a task: its clock, its slices of half a second, and whether it stood still.

use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;
use breaker_tower::breaker_core::fleet::FRESH;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// A clock that begins with the task, and the ticks of slices.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    slices: Interval,
    looks: Interval,
    looked: Instant,
    stood_still: bool,
}

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Slice,
    Look,
}

impl Pace {
    /// Begins now. The first slice ends in half a second.
    pub(super) fn begin() -> Self {
        let began = Instant::now();
        let mut slices = interval_at(began + SLICE, SLICE);
        slices.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval_at(began + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            began,
            slices,
            looks,
            looked: began,
            stood_still: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    /// Waits for the end of a slice.
    ///
    /// Cancel safe.
    pub(super) async fn slice(&mut self) {
        self.slices.tick().await;
        self.look();
    }

    /// Waits for the end of a slice, or until it is time to look for what must not wait for that.
    ///
    /// Cancel safe.
    pub(super) async fn turn(&mut self) -> Turn {
        let turn = tokio::select! {
            biased;
            _ = self.slices.tick() => Turn::Slice,
            _ = self.looks.tick() => Turn::Look,
        };
        self.look();
        turn
    }

    /// Whether the task was not run for more than 3 s, as while the process is stopped, since this
    /// was last asked. Then what was received meanwhile is old, and nothing in it says so.
    pub(super) fn stood_still(&mut self) -> bool {
        self.look();
        std::mem::take(&mut self.stood_still)
    }

    fn look(&mut self) {
        self.stood_still |= self.looked.elapsed() > FRESH;
        self.looked = Instant::now();
    }
}

const LOOK: Duration = Duration::from_millis(100);
const SLICE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_are_four_looks_in_a_slice() {
        let mut pace = Pace::begin();
        for _ in 0..3 {
            for _ in 0..4 {
                assert_eq!(pace.turn().await, Turn::Look);
            }
            // The fifth look is due at the same time.
            assert_eq!(pace.turn().await, Turn::Slice);
            assert_eq!(pace.turn().await, Turn::Look);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_stood_still_if_more_than_three_seconds_went_by_in_one_slice() {
        let mut pace = Pace::begin();
        for _ in 0..20 {
            pace.slice().await;
        }
        assert!(pace.now() >= Timestamp::from_millis(10_000));
        assert!(!pace.stood_still());
        advance(Duration::from_millis(3000)).await;
        assert!(!pace.stood_still());

        advance(Duration::from_millis(3001)).await;
        assert!(pace.stood_still());
        assert!(!pace.stood_still(), "it was told");

        // Also where a slice was noticed before anybody asked.
        advance(Duration::from_secs(20)).await;
        pace.slice().await;
        pace.slice().await;
        assert!(pace.stood_still());
    }
}
