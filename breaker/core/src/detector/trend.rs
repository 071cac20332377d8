//! A latency that creeps up on the first day, so slowly that what is usual creeps with it.
//!
//! A request is slow from twice what the P95 usually is, the median over a day. On the first day
//! that median is over what there is of it: under a steady rise it is half-way up, and twice of it
//! is never reached, or late. So until a day is known the latencies of each minute are compared
//! with a reference that does not rise: the lowest level of ten minutes (the median of their P95s).
//! It begins anew when another scale has had an alarm for ten minutes: what jumps is told by those.
//! And it is accepted anew when an alarm of this has stood for two hours that were all alike. From
//! the second day on the median is what it should be, and this is gone.
//!
//! # The budget
//! A hit is a request slower than twice the reference P95. While the P95 is at most twice what it
//! was, a twentieth of the requests at most are hits: so 5 % is what is normal, and the rest is a
//! [`SequentialTest`] as any other, with slices of a minute. It shares a detector's part of the
//! budget with the slow scale of latencies, and has the same supermartingale, since the reference
//! is known before the minute that it judges. It holds against what takes twice as long; a deploy
//! that adds three quarters stays below it, however long it lasts. The cap is a tenth of the line:
//! no alarm comes from fewer than ten minutes.
//!
//! That the lowest of many levels lies below the true one by chance makes a hit likelier than a
//! twentieth only where ten P95s together are off by half: with 20 requests a minute, the fewest of
//! which a P95 is known, they are off by a fifth (one deviation, of lognormal latencies with σ =
//! 1).
//!
//! It costs a minute's end, and a request nothing.

use std::time::Duration;

use super::pace::Pace;
use super::sequential_test::{DetectorParams, SequentialTest};
use super::slow::SHARERS;
use crate::time::Timestamp;

/// After 1 min without a request its evidence is as it was; after 1 h less than a fiftieth is left;
/// after 3 d it is gone, as a day is over. The reference stays.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    scale: SequentialTest,
    pace: Pace,
    /// The P95s of the live block.
    block: [u8; BLOCK],
    filled: usize,
    /// The levels of the last blocks in which the alarm stood, oldest first, and how many there
    /// are.
    levels: [u8; BLOCKS],
    known: usize,
    /// Minutes in a row in which another scale had an alarm.
    told: usize,
    /// The bucket of the reference.
    lowest: Option<u8>,
    /// The latest level.
    level: u8,
}

impl Trend {
    /// `usual` is the bucket of the P95 that was usual before, if something is known of that.
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

    /// The bucket above which a request of the next minute is a hit; `None` while there is no
    /// reference.
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

    /// A minute has ended at `at`, with so many `hits` and `misses` by [`Self::hits_above`], and
    /// the P95 in that bucket, if it is known.
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
            // It has come to stay.
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

    /// Forgets all evidence, and what lies in the live block; not the reference.
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

/// At most so many requests take twice as long as the P95 of before, while the P95 is at most twice
/// of that.
pub(super) const NORMAL: f64 = 0.05;
/// Minutes of which a P95 is known.
const BLOCK: usize = 10;
/// Two hours.
const BLOCKS: usize = 12;
/// In sixteenths of octaves: levels so near are alike.
const ALIKE: u8 = 3;
/// Twice as long, in buckets.
const OCTAVE: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes of 600 requests with the P95 in this bucket, of which so many are hits if that is
    /// above the reference. Returns in which of them it was alarming.
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
