//! Whether a share of hits that was accepted as usual keeps still, so that less than one and a half
//! times of it is normal.
//!
//! Half as much again is a wide margin: where 3 % are usual, 4.7 % are normal, and to tell 9 % from
//! that takes 50 s at 20 requests a second, whatever the test. A share that has kept still for
//! twelve hours needs less, a fifth ([`NEAR`]), by which the hours were alike that made it usual
//! ([`super::settled`]). One that doubles for a minute now and then needs all of it, or each such
//! burst would be an alarm.
//!
//! So two things are asked of the last twelve hours: no alarm, and no evidence that the share was
//! twice the near normal one. The latter is a statistic of Shiryaev and Roberts over the ten
//! seconds that have passed, as those of the scales are, which says nothing to anybody. Its limit
//! is low: when in doubt the share varies. What lasts less than ten seconds does not reach it.
//!
//! # The budget
//! The share by which a scale judges changes only where ten seconds have ended, by what they and
//! those before have shown. So it is known before each observation that it judges, the likelihood
//! ratio of which has a mean of 1 at most, and the supermartingale of
//! [`super::sequential_test`] is one as before: P(a false alarm within t) ≤ t / run length, while
//! hits have at most the share that is normal at the time. What is given up is only what lies
//! between a fifth and a half more than usual: who has that, for the first time in twelve hours,
//! may be told of it once. It then counts as varying again.

use super::baseline::Bucket;
use super::sequential_test::{log_ratios, shiryaev_roberts};

/// After 1 min without a request, as after 1 h and 3 d, it is as it was: silence shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calm {
    /// In a row, without an alarm or a variation.
    blocks: u16,
    /// `ln(1 + R)` for twice the near normal share.
    varies: f64,
}

impl Calm {
    /// Ten seconds have `passed`, in which the share `near` was to be normal.
    pub(super) fn observe(&mut self, passed: Bucket, near: f64) {
        if passed.observations == 0 {
            return;
        }
        let (hit, miss) = log_ratios(0.0, 2.0, near);
        let misses = passed.observations.saturating_sub(passed.hits);
        let ratio = passed.hits as f64 * hit + misses as f64 * miss;
        self.varies = shiryaev_roberts(self.varies, ratio.min(LIMIT / 3.0), 1.0);
        if self.varies >= LIMIT {
            self.restart();
        }
    }

    /// A block of ten minutes has ended, in which there was an alarm or not.
    pub(super) const fn end_block(&mut self, alarming: bool) {
        self.blocks = if alarming {
            0
        } else {
            self.blocks.saturating_add(1)
        };
    }

    /// Starts again to count the calm hours, after something that is not usual.
    pub(super) const fn restart(&mut self) {
        (self.blocks, self.varies) = (0, 0.0);
    }

    pub(super) const fn is_long(&self) -> bool {
        self.blocks >= BLOCKS
    }
}

/// So many times what is usual is normal where it keeps still.
pub(super) const NEAR: f64 = 1.2;
/// Twelve hours.
const BLOCKS: u16 = 72;
/// In nats, about half of what a scale needs for an alarm.
const LIMIT: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: f64 = 0.04;

    /// Blocks of 600 s with so many hits of each 200 observations of ten seconds.
    fn run(calm: &mut Calm, blocks: u16, hits: u64) {
        for _ in 0..blocks {
            ten_seconds(calm, 60, hits);
            calm.end_block(false);
        }
    }

    fn ten_seconds(calm: &mut Calm, times: usize, hits: u64) {
        let observations = 200;
        let passed = Bucket { observations, hits };
        (0..times).for_each(|_| calm.observe(passed, NORMAL));
    }

    #[test]
    fn twelve_hours_of_the_same_are_long() {
        let mut calm = Calm::default();
        run(&mut calm, 71, 8);
        assert!(!calm.is_long());
        run(&mut calm, 1, 8);
        assert!(calm.is_long());
    }

    #[test]
    fn a_minute_of_twice_as_many_and_an_alarm_begin_them_anew() {
        let mut calm = Calm::default();
        run(&mut calm, 72, 8);
        ten_seconds(&mut calm, 6, 16);
        assert!(!calm.is_long());
        run(&mut calm, 72, 8);
        assert!(calm.is_long());
        calm.end_block(true);
        assert!(!calm.is_long());
    }

    #[test]
    fn ten_seconds_of_whatever_and_silence_do_not() {
        let mut calm = Calm::default();
        run(&mut calm, 72, 8);
        for hits in [20, 200, 0] {
            ten_seconds(&mut calm, 1, hits);
            ten_seconds(&mut calm, 5, 8);
        }
        (0..1000).for_each(|_| calm.observe(Bucket::default(), NORMAL));
        assert!(calm.is_long());
    }
}
