//! A latency that rises on the first day, so slowly that the usual P95 rises with it.
//!
//! A request is slow if it takes twice the usual P95 or longer, and the usual P95 is the median
//! over a day. On the first day, it is the median of the minutes so far. Under a steady rise, this
//! median is half-way between the first and the latest P95, so the latest P95 reaches twice the
//! median late or never. So until a day is known, the latencies of each minute are compared with a
//! reference that does not rise. Ten minutes have a level, the median of their P95s, and the
//! reference is the lowest level. If another scale has had an alarm for ten minutes, that scale has
//! reported the change, and the reference is learned anew. If an alarm of this test has lasted for
//! two hours with a steady level, this level becomes the reference. From the second day on the
//! median is reliable, and this test is dropped.
//!
//! # The budget
//! A hit is a request slower than twice the reference P95. While the P95 is at most twice the
//! reference, at most 5 % of the requests are hits. So 5 % is the normal share, and the test is a
//! [`SequentialTest`] like any other, with slices of a minute. It shares one detector's part of the
//! budget with the slow scale of latencies. It has the same supermartingale, because the reference
//! is known before the minute that it judges. It detects only requests that take twice as long: a
//! deploy that makes all requests 75 % slower gives no alarm, however long it lasts. The cap is a
//! tenth of the line, so an alarm takes at least ten minutes.
//!
//! By chance, the lowest of many levels is below the true level. This makes more than 5 % hits only
//! if ten P95s together are too low by half. A P95 needs at least 20 requests a minute. With 20,
//! its standard deviation is a fifth (for lognormal latencies with σ = 1).
//!
//! The cost is at the end of each minute. A request costs nothing.

use std::time::Duration;

use super::pace::Pace;
use super::sequential_test::{DetectorParams, SequentialTest};
use super::slow::SHARERS;
use crate::time::Timestamp;

/// After 1 min without a request its evidence is unchanged, and after 1 h less than a fiftieth is
/// left. After 3 d it is gone, because the first day is over. The reference stays.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    scale: SequentialTest,
    pace: Pace,
    /// The P95s of the live block.
    block: [u8; BLOCK],
    filled: usize,
    /// The levels of the last blocks that ended during an alarm of this test, oldest first, and
    /// their number.
    levels: [u8; BLOCKS],
    known: usize,
    /// How many minutes in a row another scale had an alarm.
    told: usize,
    /// The bucket of the reference.
    lowest: Option<u8>,
    /// The latest level.
    level: u8,
}

impl Trend {
    /// `usual` is the bucket of the usual P95 so far, if it is known.
    pub(super) fn new(usual: Option<u8>, run_length: Duration, detectors: usize) -> Box<Self> {
        let mut trend = Box::new(Self {
            scale: SequentialTest::new(&RULE),
            pace: Pace::default(),
            block: [0; BLOCK],
            filled: 0,
            levels: [0; BLOCKS],
            known: 0,
            told: 0,
            lowest: usual,
            level: usual.unwrap_or_default(),
        });
        trend.scale.set_normal(NORMAL);
        trend.set_budget(run_length, detectors);
        trend
    }

    pub(super) fn set_budget(&mut self, run_length: Duration, detectors: usize) {
        let detectors = detectors.saturating_mul(SHARERS);
        self.scale.set_budget(run_length, detectors);
    }

    /// A request of the next minute is a hit if its bucket is above this one; `None` while there is
    /// no reference.
    pub(super) fn hits_above(&self) -> Option<u8> {
        self.lowest.map(|lowest| lowest.saturating_add(OCTAVE))
    }

    /// A minute has ended in which another scale had an alarm.
    pub(super) fn told_minute(&mut self) {
        self.scale.reset();
        self.told += 1;
        if self.told == BLOCK {
            self.lowest = None;
            (self.filled, self.known) = (0, 0);
        }
    }

    /// A minute has ended at `at`. [`Self::hits_above`] has divided its requests into `hits` and
    /// `misses`. `p95` is the bucket of its P95, if it is known.
    pub(super) fn minute(&mut self, hits: u64, misses: u64, p95: Option<u8>, at: Timestamp) {
        self.told = 0;
        if self.lowest.is_some() && hits + misses > 0 {
            self.scale.add(hits as f64, misses as f64, at, &self.pace);
        }
        if hits + misses > 0 && self.pace.turns(at) {
            self.pace.turn(at);
        }
        let Some(p95) = p95 else { return };
        self.block[self.filled] = p95;
        self.filled += 1;
        if self.filled == BLOCK {
            self.filled = 0;
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        self.block.sort_unstable();
        self.level = self.block[BLOCK / 2];
        if !self.is_alarming() {
            self.known = 0;
        } else if self.known < BLOCKS {
            self.levels[self.known] = self.level;
            self.known += 1;
        } else {
            self.levels.rotate_left(1);
            self.levels[BLOCKS - 1] = self.level;
        }
        if self.is_steady() {
            // The new level is permanent.
            let mut levels = self.levels;
            levels.sort_unstable();
            self.lowest = Some(levels[BLOCKS / 2]);
            self.scale.reset();
            self.known = 0;
        } else {
            let lowest = self.lowest.unwrap_or(self.level);
            self.lowest = Some(lowest.min(self.level));
        }
    }

    fn is_steady(&self) -> bool {
        let (least, most) = self
            .levels
            .iter()
            .fold((u8::MAX, 0), |(least, most), level| {
                (least.min(*level), most.max(*level))
            });
        self.known == BLOCKS && most - least <= ALIKE
    }

    pub(super) const fn is_alarming(&self) -> bool {
        self.scale.is_alarming()
    }

    pub(super) const fn scale(&self) -> &SequentialTest {
        &self.scale
    }

    /// The buckets of the reference and of the latest level.
    pub(super) fn levels(&self) -> (u8, u8) {
        let lowest = self.lowest.unwrap_or(self.level);
        (lowest, self.level.max(lowest))
    }

    /// Discards all evidence and the live block, but keeps the reference.
    pub(super) fn reset(&mut self) {
        self.scale.reset();
        (self.filled, self.known) = (0, 0);
    }
}

static RULE: DetectorParams = DetectorParams {
    slice: Duration::from_secs(60),
    alternative: 0.08,
    times: 1.0,
    slices: 10.0,
    at_least: 0.0,
};

/// While the P95 is at most twice the reference, at most this share of the requests takes longer
/// than twice the reference.
pub(super) const NORMAL: f64 = 0.05;
/// The minutes of a block, without those that have no P95.
const BLOCK: usize = 10;
/// Two hours.
const BLOCKS: usize = 12;
/// In sixteenths of an octave. Levels that differ by at most this are alike.
const ALIKE: u8 = 3;
/// The number of buckets of a factor of two.
const OCTAVE: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays minutes of 600 requests with the P95 in bucket `p95`. `hits` of them are hits if this
    /// bucket is above the reference. Returns the minutes in which there was an alarm.
    fn run(trend: &mut Trend, minutes: std::ops::Range<u64>, hits: u64, p95: u8) -> Vec<u64> {
        minutes
            .filter(|minute| {
                let at = Timestamp::from_millis((minute + 1) * 60_000);
                let above = trend.hits_above().is_some_and(|bucket| p95 > bucket);
                let hits = if above { hits } else { 0 };
                trend.minute(hits, 600 - hits, Some(p95), at);
                trend.is_alarming()
            })
            .collect()
    }

    fn trend() -> Box<Trend> {
        Trend::new(None, Duration::from_secs(30 * 86_400), 13)
    }

    #[test]
    fn the_reference_is_the_lowest_level_and_does_not_rise() {
        let mut trend = trend();
        run(&mut trend, 0..9, 0, 100);
        assert_eq!(trend.hits_above(), None);
        run(&mut trend, 9..30, 0, 100);
        run(&mut trend, 30..60, 0, 92);
        run(&mut trend, 60..400, 0, 110);
        assert_eq!(trend.hits_above(), Some(92 + 16));
        assert_eq!(trend.levels(), (92, 110));
    }

    #[test]
    fn more_than_a_twentieth_for_ten_minutes_is_an_alarm_and_a_twentieth_never() {
        let mut trend = trend();
        run(&mut trend, 0..10, 0, 100);
        assert_eq!(run(&mut trend, 10..1400, 30, 117), [0; 0]);
        let alarms = run(&mut trend, 1400..1440, 120, 118);
        assert_eq!(alarms.first(), Some(&1409));
        assert_eq!(run(&mut trend, 1440..1460, 10, 100), [0; 0]);
    }

    #[test]
    fn what_has_come_to_stay_for_two_hours_is_the_reference() {
        let mut trend = trend();
        run(&mut trend, 0..10, 0, 100);
        let alarms = run(&mut trend, 10..200, 300, 125);
        assert_eq!((alarms.first(), alarms.last()), (Some(&19), Some(&128)));
        assert_eq!(trend.hits_above(), Some(125 + 16));
    }

    #[test]
    fn what_still_rises_is_no_reference() {
        let mut trend = trend();
        run(&mut trend, 0..10, 0, 100);
        for hour in 0..10 {
            let minutes = 10 + 60 * hour..70 + 60 * hour;
            run(&mut trend, minutes, 300, 120 + 4 * hour as u8);
        }
        assert!(trend.is_alarming());
        assert_eq!(trend.hits_above(), Some(100 + 16));
    }

    #[test]
    fn what_another_scale_tells_is_not_told_again() {
        let mut trend = trend();
        run(&mut trend, 0..10, 0, 100);
        (0..9).for_each(|_| trend.told_minute());
        assert_eq!(trend.hits_above(), Some(100 + 16));
        (0..10).for_each(|_| trend.told_minute());
        assert_eq!(trend.hits_above(), None);
        assert_eq!(run(&mut trend, 20..300, 300, 130), [0; 0]);
    }
}
