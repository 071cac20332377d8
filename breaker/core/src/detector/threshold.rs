//! From which latency on a request is slow: twice what its P95 usually is.
//!
//! Of each minute with enough requests the P95 is kept for a day; the threshold is twice the median of them. A median over a day does not
//! follow an incident of hours, and twice leaves room for a deploy that makes all a little slower.

use std::time::Duration;

use crate::baseline::SourceBaseline;
use crate::time::{Timestamp, micros};

#[derive(Clone, Debug)]
pub(super) struct Threshold {
    value: Duration,
    /// The latencies of the live minute, by bucket.
    minute: [u32; BUCKETS],
    samples: u32,
    minute_ends: Timestamp,
    started: bool,
    /// For each minute of the last day the bucket of its P95, or [`NONE`]; and how often each bucket is in there.
    day: Box<[u8; MINUTES]>,
    kept: [u16; BUCKETS],
    next: usize,
}

impl Threshold {
    pub(super) fn new() -> Self {
        Self {
            value: UNKNOWN,
            minute: [0; BUCKETS],
            samples: 0,
            minute_ends: Timestamp::ZERO,
            started: false,
            day: Box::new([NONE; MINUTES]),
            kept: [0; BUCKETS],
            next: 0,
        }
    }

    /// The latency from which on a request is slow.
    pub(super) const fn value(&self) -> Duration {
        self.value
    }

    /// Whether it was learned.
    pub(super) fn is_known(&self) -> bool {
        self.median().is_some()
    }

    /// Learns of `count` requests that took `latency`, and ended at `at`.
    pub(super) fn learn(&mut self, latency: Duration, count: u32, at: Timestamp) {
        if at >= self.minute_ends {
            self.turn(at);
        }
        let bucket = &mut self.minute[bucket_of(latency)];
        *bucket = bucket.saturating_add(count);
        self.samples = self.samples.saturating_add(count);
    }

    /// The buckets of the P95s of the last day's minutes, oldest first; those before the first that is known are left out.
    pub(super) fn learned(&self) -> Vec<u8> {
        let (newer, older) = self.day.split_at(self.next);
        let minutes = older.iter().chain(newer).copied();
        minutes.skip_while(|bucket| *bucket == NONE).collect()
    }

    /// Begins with the P95s of another day.
    pub(super) fn restore(&mut self, p95s: &[u8]) {
        *self = Self::new();
        for bucket in p95s {
            self.keep(*bucket);
        }
        self.settle_value();
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.day.len()
    }

    #[cold]
    fn turn(&mut self, at: Timestamp) {
        if !self.started {
            self.started = true;
            self.minute_ends = at + MINUTE;
            return;
        }
        let minute = MINUTE.as_nanos() as u64;
        let late = at.as_nanos().saturating_sub(self.minute_ends.as_nanos());
        let minutes = (late / minute).saturating_add(1);
        let p95 = self.p95();
        self.keep(p95);
        for _ in 1..minutes.min(MINUTES as u64 + 1) {
            self.keep(NONE);
        }
        self.minute_ends = self.minute_ends + Duration::from_nanos(minute.saturating_mul(minutes));
        self.minute = [0; BUCKETS];
        self.samples = 0;
        self.settle_value();
    }

    fn settle_value(&mut self) {
        self.value = self.median().map_or(UNKNOWN, |median| {
            (2 * latency_of(median)).clamp(LEAST, MOST)
        });
    }

    fn p95(&self) -> u8 {
        if self.samples < ENOUGH {
            return NONE;
        }
        let rank = (f64::from(self.samples) * 0.95).ceil() as u64;
        let counts = self.minute.iter().map(|count| u64::from(*count));
        nth(counts, rank).unwrap_or(NONE)
    }

    fn keep(&mut self, bucket: u8) {
        let forgotten = std::mem::replace(&mut self.day[self.next], bucket);
        self.next = (self.next + 1) % MINUTES;
        if forgotten != NONE {
            self.kept[usize::from(forgotten)] -= 1;
        }
        if bucket != NONE {
            self.kept[usize::from(bucket)] += 1;
        }
    }

    fn median(&self) -> Option<u8> {
        let counts = self.kept.iter().map(|count| u64::from(*count));
        let all: u64 = counts.clone().sum();
        nth(counts, all.div_ceil(2).max(1))
    }
}

/// The bucket in which the item of `rank` lies, counted from 1.
fn nth(counts: impl Iterator<Item = u64>, rank: u64) -> Option<u8> {
    let mut seen = 0;
    for (index, count) in counts.enumerate() {
        seen += count;
        if seen >= rank {
            return u8::try_from(index).ok();
        }
    }
    None
}

/// Buckets are sixteenths of octaves of 64 µs, up to 4 s; the last holds all above too.
fn bucket_of(latency: Duration) -> usize {
    let units = micros(latency) / UNIT;
    if units < 16 {
        return units as usize;
    }
    let octave = units.ilog2() as usize - 4;
    let sixteenth = (units >> octave) as usize - 16;
    (16 + octave * 16 + sixteenth).min(BUCKETS - 1)
}

/// The upper end of a bucket.
fn latency_of(bucket: u8) -> Duration {
    let bucket = u64::from(bucket);
    let units = if bucket < 16 {
        bucket + 1
    } else {
        let octave = bucket / 16 - 1;
        (bucket % 16 + 17) << octave
    };
    Duration::from_micros(units * UNIT)
}

/// A histogram of its own, because the HDR ones of the window take ten times the memory for digits that nobody asks for here.
const BUCKETS: usize = SourceBaseline::BUCKETS as usize;
/// In µs.
const UNIT: u64 = 64;
const NONE: u8 = SourceBaseline::NO_P95;
const MINUTE: Duration = Duration::from_secs(60);
const MINUTES: usize = SourceBaseline::MINUTES;
/// A minute with fewer requests says nothing.
const ENOUGH: u32 = 20;
const UNKNOWN: Duration = Duration::from_secs(1);
/// No latency below it is ever slow.
pub(crate) const LEAST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// One request a second, each of `latency`, for so many minutes.
    fn run(threshold: &mut Threshold, minutes: std::ops::Range<u64>, latency: Duration) {
        for second in minutes.start * 60..minutes.end * 60 {
            threshold.learn(latency, 1, Timestamp::from_millis(second * 1000));
        }
    }

    #[test]
    fn a_bucket_holds_its_latencies_and_is_a_sixteenth_wide() {
        for micros in (0..2_000_000).step_by(997) {
            let latency = Duration::from_micros(micros);
            let end = latency_of(bucket_of(latency) as u8);
            if bucket_of(latency) < BUCKETS - 1 {
                assert!(end > latency, "{latency:?} in a bucket to {end:?}");
                let width = Duration::from_micros(UNIT) + latency / 16;
                assert!(end <= latency + width, "{latency:?} in a bucket to {end:?}");
            }
        }
        assert!(latency_of(BUCKETS as u8 - 1) >= MOST / 4);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_threshold_is_twice_the_median_of_the_minutes() {
        let mut threshold = Threshold::new();
        assert_eq!(threshold.value(), UNKNOWN);
        run(&mut threshold, 0..10, ms(100));
        run(&mut threshold, 10..14, ms(900));
        run(&mut threshold, 14..15, ms(100));
        let value = threshold.value();
        assert!((ms(200)..ms(220)).contains(&value), "{value:?}");
    }

    #[test]
    fn a_day_is_forgotten_and_bounds_hold() {
        let mut threshold = Threshold::new();
        run(&mut threshold, 0..10, ms(1));
        assert_eq!(threshold.value(), LEAST);
        run(&mut threshold, 1500..1502, ms(60_000));
        assert!(threshold.value() > ms(1000), "{:?}", threshold.value());
        threshold.learn(ms(1), 1, Timestamp::from_nanos(u64::MAX));
        assert_eq!(threshold.value(), UNKNOWN);
    }
}
