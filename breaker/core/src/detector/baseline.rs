//! The normal share of hits, learned while nothing is wrong.
//!
//! An observation waits for a minute before it is learned. An incident is detected within this
//! minute, and then the waiting observations are dropped. So a failing service never teaches that
//! failures are normal. What was learned decays with a half-life of 30 minutes. The normal share is
//! kept between two bounds. Below the floor, the first single failure would be an anomaly. A share
//! above the cap is never normal.

use std::time::Duration;

use crate::time::Timestamp;

/// The bounds of the normal share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) floor: f64,
    pub(super) cap: f64,
}

/// After 1 min without a request it is unchanged, and so it is after 1 h and 3 d, because buckets
/// end only at a request. At the next request, the counts decay by the time that has passed. The
/// share stays the same, but is less certain.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    bounds: Bounds,
    /// The counts that have been learned, with decay.
    observations: f64,
    hits: f64,
    /// The waiting buckets, oldest first. The last one is live.
    waiting: [Bucket; BUCKETS],
    live_ends: Timestamp,
    started: bool,
    share: f64,
    /// The sum of the live buckets that have ended since the last [`Self::take_passed`].
    passed: Bucket,
}

/// Hits among observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) observations: u64,
    pub(super) hits: u64,
}

impl Baseline {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            observations: 0.0,
            hits: 0.0,
            waiting: [Bucket::default(); BUCKETS],
            live_ends: Timestamp::ZERO,
            started: false,
            share: bounds.cap,
            passed: Bucket::default(),
        }
    }

    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Sets the bounds of the normal share.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.settle_share();
    }

    /// The sum of the live buckets that have ended since the last call.
    pub(super) fn take_passed(&mut self) -> Bucket {
        std::mem::take(&mut self.passed)
    }

    /// The upper bound of the normal share of hits.
    pub(super) const fn share(&self) -> f64 {
        self.share
    }

    /// Learns `count` hits or misses at `at`. Returns whether [`Self::share`] may have changed.
    pub(super) fn learn(&mut self, hit: bool, count: u32, at: Timestamp) -> bool {
        let turns = at >= self.live_ends;
        if turns {
            self.turn(at);
        }
        let live = &mut self.waiting[BUCKETS - 1];
        live.observations += u64::from(count);
        live.hits += if hit { u64::from(count) } else { 0 };
        turns
    }

    /// An earlier miss became a hit at `at`. Returns whether [`Self::share`] may have changed.
    pub(super) fn turn_into_hit(&mut self, at: Timestamp) -> bool {
        let turns = at >= self.live_ends;
        if turns {
            self.turn(at);
        }
        let misses = |bucket: &&mut Bucket| bucket.observations > bucket.hits;
        match self.waiting.iter_mut().rev().find(misses) {
            Some(bucket) => bucket.hits += 1,
            // The miss was already learned or dropped.
            None => {
                let live = &mut self.waiting[BUCKETS - 1];
                live.observations += 1;
                live.hits += 1;
            }
        }
        turns
    }

    /// Lets time pass until `at`: what was learned decays.
    pub(super) fn pass(&mut self, at: Timestamp) {
        if self.started && at >= self.live_ends {
            self.turn(at);
        }
    }

    /// The learned observations and hits, with decay and without the waiting ones.
    pub(super) const fn learned(&self) -> (f64, f64) {
        (self.observations, self.hits)
    }

    /// Begins with an earlier baseline. It does not decay over the time since it was saved: the
    /// baseline before a stop is the best guess for the time after it.
    pub(super) fn restore(&mut self, observations: f64, hits: f64) {
        (self.observations, self.hits) = (observations, hits);
        self.drop_waiting();
        self.settle_share();
    }

    /// Drops the waiting observations: something is wrong, and they may be part of it.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting = [Bucket::default(); BUCKETS];
    }

    #[cold]
    fn turn(&mut self, at: Timestamp) {
        if !self.started {
            self.started = true;
            self.live_ends = at + BUCKET;
            return;
        }
        let bucket = BUCKET.as_nanos() as u64;
        let late = at.as_nanos().saturating_sub(self.live_ends.as_nanos());
        let buckets = (late / bucket).saturating_add(1);
        self.passed = self.passed.and(self.waiting[BUCKETS - 1]);
        for _ in 0..buckets.min(BUCKETS as u64) {
            let oldest = self.waiting[0];
            self.hits = self.hits * FADING + oldest.hits as f64;
            self.observations = self.observations * FADING + oldest.observations as f64;
            self.waiting.rotate_left(1);
            self.waiting[BUCKETS - 1] = Bucket::default();
        }
        let further = FADING.powf(buckets.saturating_sub(BUCKETS as u64) as f64);
        self.hits *= further;
        self.observations *= further;
        self.live_ends = self.live_ends + Duration::from_nanos(bucket.saturating_mul(buckets));
        self.settle_share();
    }

    fn settle_share(&mut self) {
        let share = normal_at_most(self.hits, self.observations);
        self.share = share.clamp(self.bounds.floor, self.bounds.cap);
    }
}

impl Bucket {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            observations: self.observations.saturating_add(other.observations),
            hits: self.hits.saturating_add(other.hits),
        }
    }
}

/// The share that is normal at most where so many hits among so many observations were usual: half
/// as much again as the share is at most, so that a drift of that size is none. Of few observations
/// it says little.
pub(super) fn normal_at_most(hits: f64, observations: f64) -> f64 {
    1.5 * usual_at_most(hits, observations)
}

/// The share of hits is at most so much, where so many hits among so many observations were usual:
/// two standard deviations more than it seems.
pub(crate) fn usual_at_most(hits: f64, observations: f64) -> f64 {
    let share = (hits + 0.5) / (observations + 1.0);
    let deviation = (share * (1.0 - share) / (observations + 1.0)).sqrt();
    share + 2.0 * deviation
}

const BUCKET: Duration = Duration::from_secs(10);
/// Six buckets are a full minute; one more is live.
const BUCKETS: usize = 7;
/// The decay over a bucket: 2^(−10/1800).
const FADING: f64 = 0.996_156_587_2;

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        floor: 0.01,
        cap: 0.02,
    };

    /// Learns 100 observations a second. One in `one_in` is a hit.
    fn teach(baseline: &mut Baseline, seconds: std::ops::Range<u64>, one_in: u64) {
        for index in seconds.start * 100..seconds.end * 100 {
            let hit = index % one_in == 0;
            baseline.learn(hit, 1, Timestamp::from_millis(index * 10));
        }
    }

    #[test]
    fn the_share_is_the_cap_until_more_is_known_and_never_less_than_the_floor() {
        let mut baseline = Baseline::new(BOUNDS);
        teach(&mut baseline, 0..60, 1000);
        assert_eq!(baseline.share(), 0.02);
        teach(&mut baseline, 60..600, 1000);
        assert_eq!(baseline.share(), 0.01);
        teach(&mut baseline, 600..4000, 100);
        assert!(
            (0.0145..0.018).contains(&baseline.share()),
            "{}",
            baseline.share()
        );
        teach(&mut baseline, 4000..5000, 2);
        assert_eq!(baseline.share(), 0.02);
    }

    #[test]
    fn what_waits_can_still_be_dropped() {
        let mut baseline = Baseline::new(BOUNDS);
        teach(&mut baseline, 0..600, 1000);
        teach(&mut baseline, 600..655, 2);
        baseline.drop_waiting();
        teach(&mut baseline, 655..800, 1000);
        assert_eq!(baseline.share(), 0.01);
    }

    #[test]
    fn the_fading_halves_in_half_an_hour() {
        assert!((FADING.powi(180) - 0.5).abs() < 1e-6);
    }
}
