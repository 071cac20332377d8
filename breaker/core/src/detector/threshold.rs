//! The latency from which on a request is slow: twice the usual P95.
//!
//! The P95 of each minute with enough requests is kept for a day. The threshold is twice the median
//! of these P95s. A median over a day does not follow an incident of hours. The factor of two
//! leaves room for a deploy that makes all requests a little slower. But until a day is known, the
//! median follows a slow rise. Therefore [`super::trend`] looks for such a rise.

mod minute;

use std::time::Duration;

use self::minute::Minute;
use super::sequential_test::SequentialTest;
use super::trend::Trend;
use crate::baseline::SourceBaseline;
use crate::time::{Timestamp, micros};

#[derive(Clone, Debug)]
pub(super) struct Threshold {
    value: Duration,
    /// The latencies of the live minute.
    minute: Minute,
    samples: u32,
    minute_ends: Timestamp,
    started: bool,
    /// Made for the first P95 that is known, so that a key with few requests is small.
    day: Option<Box<Day>>,
    /// Where in the day the next minute is written.
    next: usize,
    /// How many minutes of the first day are left, and the test that watches it, from the first
    /// minute on.
    first_day: usize,
    trend: Option<Box<Trend>>,
    run_length: Duration,
    detectors: usize,
}

/// The P95s of the last day.
#[derive(Clone, Debug)]
struct Day {
    /// For each minute the bucket of its P95, or [`NONE`]. `kept` counts how often each bucket
    /// occurs.
    minutes: [u8; MINUTES],
    kept: [u16; BUCKETS],
}

impl Threshold {
    /// `watches` says whether to look for a rise on the first day.
    pub(super) fn new(watches: bool) -> Self {
        Self {
            value: UNKNOWN,
            minute: Minute::default(),
            samples: 0,
            minute_ends: Timestamp::ZERO,
            started: false,
            day: None,
            next: 0,
            first_day: if watches { MINUTES } else { 0 },
            trend: None,
            run_length: Duration::MAX,
            detectors: 1,
        }
    }

    pub(super) fn set_budget(&mut self, run_length: Duration, detectors: usize) {
        (self.run_length, self.detectors) = (run_length, detectors);
        if let Some(trend) = &mut self.trend {
            trend.set_budget(run_length, detectors);
        }
    }

    /// The latency from which on a request is slow.
    pub(super) const fn value(&self) -> Duration {
        self.value
    }

    /// Whether the threshold was learned.
    pub(super) fn is_known(&self) -> bool {
        self.median().is_some()
    }

    /// Whether the live minute is over at `at`.
    pub(super) fn turns(&self, at: Timestamp) -> bool {
        at >= self.minute_ends
    }

    /// Learns `count` requests that took `latency` and ended at `at`. `told` says whether a scale
    /// of the latencies has an alarm; it is used if a minute ends.
    pub(super) fn learn(&mut self, latency: Duration, count: u32, told: bool, at: Timestamp) {
        if self.turns(at) {
            self.turn(told, at);
        }
        self.minute.add(bucket_of(latency), count);
        self.samples = self.samples.saturating_add(count);
    }

    /// The buckets of the P95s of the last day's minutes, oldest first, without the minutes before
    /// the first known P95.
    pub(super) fn learned(&self) -> Vec<u8> {
        let Some(day) = &self.day else {
            return Vec::new();
        };
        let (newer, older) = day.minutes.split_at(self.next);
        let minutes = older.iter().chain(newer).copied();
        minutes.skip_while(|bucket| *bucket == NONE).collect()
    }

    /// Begins with the P95s of an earlier day.
    pub(super) fn restore(&mut self, p95s: &[u8]) {
        let watches = self.first_day > 0;
        let (run_length, detectors) = (self.run_length, self.detectors);
        *self = Self::new(watches);
        self.set_budget(run_length, detectors);
        for bucket in p95s {
            self.keep(*bucket);
        }
        self.settle_value();
        self.first_day = self.first_day.saturating_sub(p95s.len());
    }

    /// The rise that is to be reported.
    pub(super) fn rise(&self) -> Option<Rise<'_>> {
        let trend = self.trend.as_ref().filter(|trend| trend.is_alarming())?;
        let (from, to) = trend.levels();
        Some(Rise {
            scale: trend.scale(),
            from: latency_of(from),
            to: latency_of(to),
        })
    }

    /// Discards the evidence of a rise, but keeps what was learned.
    pub(super) fn reset(&mut self) {
        if let Some(trend) = &mut self.trend {
            trend.reset();
        }
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let trend = self.trend.as_ref().map_or(0, |trend| size_of_val(&**trend));
        let day = self.day.as_ref().map_or(0, |day| size_of_val(&**day));
        day + trend + self.minute.bytes()
    }

    #[cold]
    fn turn(&mut self, told: bool, at: Timestamp) {
        if !self.started {
            self.started = true;
            self.minute_ends = at + MINUTE;
            return;
        }
        let minute = MINUTE.as_nanos() as u64;
        let late = at.as_nanos().saturating_sub(self.minute_ends.as_nanos());
        let minutes = (late / minute).saturating_add(1);
        let p95 = self.p95();
        if self.first_day > 0 {
            self.watch_first_day(p95, told, minutes);
        }
        self.keep(p95);
        for _ in 1..minutes.min(MINUTES as u64 + 1) {
            self.keep(NONE);
        }
        self.minute_ends = self.minute_ends + Duration::from_nanos(minute.saturating_mul(minutes));
        self.minute.clear();
        self.samples = 0;
        self.settle_value();
    }

    /// The live minute has ended with this P95. `minutes` have passed since its start.
    fn watch_first_day(&mut self, p95: u8, told: bool, minutes: u64) {
        self.first_day = self
            .first_day
            .saturating_sub(usize::try_from(minutes).unwrap_or(usize::MAX));
        if self.first_day == 0 {
            self.trend = None;
            return;
        }
        let usual = self.median();
        let made = || Trend::new(usual, self.run_length, self.detectors);
        let trend = self.trend.get_or_insert_with(made);
        if told {
            trend.told_minute();
            return;
        }
        let above = trend.hits_above().unwrap_or(u8::MAX);
        let above = usize::from(above).max(bucket_of(LEAST));
        let hits = self.minute.above(above);
        let misses = u64::from(self.samples).saturating_sub(hits);
        let p95 = (p95 != NONE).then_some(p95);
        trend.minute(hits, misses, p95, self.minute_ends);
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
        self.minute.nth(rank).unwrap_or(NONE)
    }

    fn keep(&mut self, bucket: u8) {
        let next = self.next;
        self.next = (next + 1) % MINUTES;
        if bucket == NONE && self.day.is_none() {
            return;
        }
        let day = self.day.get_or_insert_with(|| Box::new(Day::new()));
        let forgotten = std::mem::replace(&mut day.minutes[next], bucket);
        if forgotten != NONE {
            day.kept[usize::from(forgotten)] -= 1;
        }
        if bucket != NONE {
            day.kept[usize::from(bucket)] += 1;
        }
    }

    fn median(&self) -> Option<u8> {
        let day = self.day.as_ref()?;
        let counts = day.kept.iter().map(|count| u64::from(*count));
        let all: u64 = counts.clone().sum();
        nth(counts, all.div_ceil(2).max(1))
    }
}

impl Day {
    const fn new() -> Self {
        Self {
            minutes: [NONE; MINUTES],
            kept: [0; BUCKETS],
        }
    }
}

/// A slow rise of the P95 from one value to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rise<'a> {
    pub(super) scale: &'a SequentialTest,
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// The bucket of the item of `rank`, counted from 1.
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

/// A bucket is a sixteenth of an octave, in units of 64 µs, up to 4 s. The last bucket also has all
/// longer latencies.
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

/// This is not one of the HDR histograms of the window, because they take ten times the memory for
/// a precision that is not needed here.
const BUCKETS: usize = SourceBaseline::BUCKETS as usize;
/// In µs.
const UNIT: u64 = 64;
const NONE: u8 = SourceBaseline::NO_P95;
const MINUTE: Duration = Duration::from_secs(60);
const MINUTES: usize = SourceBaseline::MINUTES;
/// A minute with fewer requests has no P95.
const ENOUGH: u32 = 20;
const UNKNOWN: Duration = Duration::from_secs(1);
/// A shorter latency is never slow.
pub(crate) const LEAST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// One request a second for `minutes`, each of `latency`.
    fn run(threshold: &mut Threshold, minutes: std::ops::Range<u64>, latency: Duration) {
        for second in minutes.start * 60..minutes.end * 60 {
            threshold.learn(latency, 1, false, Timestamp::from_millis(second * 1000));
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
        let mut threshold = Threshold::new(false);
        assert_eq!(threshold.value(), UNKNOWN);
        run(&mut threshold, 0..10, ms(100));
        run(&mut threshold, 10..14, ms(900));
        run(&mut threshold, 14..15, ms(100));
        let value = threshold.value();
        assert!((ms(200)..ms(220)).contains(&value), "{value:?}");
    }

    #[test]
    fn a_rise_is_looked_for_on_the_first_day_and_no_longer() {
        let mut threshold = Threshold::new(true);
        threshold.set_budget(Duration::from_secs(30 * 86_400), 12);
        run(&mut threshold, 0..60, ms(100));
        let small = size_of::<Day>();
        let bytes = |threshold: &Threshold| threshold.bytes() - threshold.minute.bytes();
        assert!(bytes(&threshold) > small);
        run(&mut threshold, 60..80, ms(300));
        let rise = threshold.rise().unwrap();
        assert!((ms(100)..ms(107)).contains(&rise.from), "{rise:?}");
        assert!((ms(300)..ms(320)).contains(&rise.to), "{rise:?}");
        let p95s = threshold.learned();
        let mut restored = Threshold::new(true);
        restored.restore(&p95s);
        assert_eq!(restored.first_day, MINUTES - p95s.len());
        run(&mut threshold, 80..1450, ms(300));
        assert!(threshold.rise().is_none());
        assert_eq!(bytes(&threshold), small);
        restored.restore(&threshold.learned());
        run(&mut restored, 0..60, ms(900));
        assert!(restored.rise().is_none(), "a whole day was known");
    }

    #[test]
    fn a_day_is_forgotten_and_bounds_hold() {
        let mut threshold = Threshold::new(false);
        run(&mut threshold, 0..10, ms(1));
        assert_eq!(threshold.value(), LEAST);
        run(&mut threshold, 1500..1502, ms(60_000));
        assert!(threshold.value() > ms(1000), "{:?}", threshold.value());
        threshold.learn(ms(1), 1, false, Timestamp::from_nanos(u64::MAX));
        assert_eq!(threshold.value(), UNKNOWN);
    }
}
