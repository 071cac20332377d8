//! What a source saw in the last `window` of time: ten slices that expire one by one.
//!
//! Reading expires, as does writing: nothing older than the window takes part in a decision, after
//! however long an idle gap. A window in which nothing is left gives its memory back.

mod histogram;
mod packed;
mod standing;
mod values;

use std::time::Duration;

use hdrhistogram::Histogram;

use self::histogram::SlicedHistogram;
use crate::outcome::Classification;
use crate::policy::{MAX_SLOW_THRESHOLDS, Policy};
use crate::time::{Timestamp, micros, nanos};

/// The window of one source.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    slice: u64,
    /// Ascending, in microseconds.
    slow_thresholds: [u64; MAX_SLOW_THRESHOLDS],
    /// The number of the live slice, counted from the origin of time, and where that is in the
    /// ring.
    live_slice: u64,
    live_index: u32,
    /// Answers that began before the window did and have not ended.
    standing: u32,
    live_ends: Timestamp,
    contents: Option<Box<Contents>>,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WindowCounts {
    pub(crate) success: u32,
    pub(crate) failure: u32,
    pub(crate) ignored: u32,
    /// Requests whose latency is known.
    pub(crate) timed: u32,
    /// Of those, how many reached each slow threshold.
    pub(crate) slow: [u32; MAX_SLOW_THRESHOLDS],
}

/// A way to fail that is counted by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failed {
    /// Its caller went away before an answer.
    Abandoned,
    /// The sender's timeout ended it.
    TimedOut,
}

impl Failed {
    const WAYS: usize = 2;
}

#[derive(Clone, Debug)]
struct Contents {
    counts: [WindowCounts; SLICES],
    sum: WindowCounts,
    /// Of the failures of each slice, those that failed in each of these ways, once there is one.
    /// Apart from the counts, which are as large as a vector register.
    failed: Option<Box<[[u32; SLICES]; Failed::WAYS]>>,
    /// Of the successes of each slice, the answers that have not ended.
    standing: [u32; SLICES],
    /// When those that flow were last counted again.
    recounted: Timestamp,
    latency: SlicedHistogram,
    concurrency: SlicedHistogram,
}

// === impl Window ===

impl Window {
    pub(crate) fn new(policy: &Policy) -> Self {
        let mut slow_thresholds = [u64::MAX; MAX_SLOW_THRESHOLDS];
        for (slot, threshold) in slow_thresholds.iter_mut().zip(policy.slow_thresholds()) {
            *slot = micros(threshold);
        }
        Self {
            slice: nanos(policy.window()) / SLICES as u64,
            slow_thresholds,
            live_slice: 0,
            live_index: 0,
            standing: 0,
            live_ends: Timestamp::ZERO,
            contents: None,
        }
    }

    /// Whether a window for `policy` would count the same things over the same time.
    pub(crate) fn fits(&self, policy: &Policy) -> bool {
        let other = Self::new(policy);
        (self.slice, self.slow_thresholds) == (other.slice, other.slow_thresholds)
    }

    /// The length of a slice.
    pub(crate) const fn slice(&self) -> Duration {
        Duration::from_nanos(self.slice)
    }

    pub(crate) fn clear(&mut self) {
        self.contents = None;
        self.standing = 0;
    }

    /// Whether a request that ended at `at` belongs to the window that ends at `now`.
    pub(crate) fn covers(&mut self, at: Timestamp, now: Timestamp) -> bool {
        self.expire(now);
        self.slices_ago(at) < SLICES
    }

    /// Counts a classification on `count` requests that ended at `at`, a time that the window
    /// [covers](Self::covers).
    pub(crate) fn record_classification(
        &mut self,
        classification: Classification,
        count: u32,
        at: Timestamp,
        now: Timestamp,
    ) {
        self.count(at, now, |counts| {
            let counter = match classification {
                Classification::Success => &mut counts.success,
                Classification::Failure => &mut counts.failure,
                Classification::Ignored => &mut counts.ignored,
            };
            *counter = counter.saturating_add(count);
        });
    }

    /// Says that `count` of the failures that were counted at `now` failed this way.
    pub(crate) fn record_failed(&mut self, way: Failed, count: u32, now: Timestamp) {
        let index = self.live_index_at(now);
        let failed = &mut self.contents_at(now).failed;
        let slice = &mut failed.get_or_insert_default()[way as usize][index];
        *slice = slice.saturating_add(count);
    }

    /// Of the failures that the window held when it was last expired, those that failed this way.
    pub(crate) fn failed(&self, way: Failed) -> u64 {
        let contents = self.contents.as_ref();
        let failed = contents.and_then(|contents| contents.failed.as_ref());
        failed.map_or(0, |failed| {
            let slices = failed[way as usize].iter();
            slices.copied().map(u64::from).sum()
        })
    }

    fn live_index_at(&mut self, now: Timestamp) -> usize {
        self.expire(now);
        self.live_index as usize
    }

    /// Records a latency, clamped to 1 µs..=1 h, of `count` requests that ended at `at`, a time
    /// that the window covers.
    pub(crate) fn record_latency(
        &mut self,
        latency: Duration,
        count: u32,
        at: Timestamp,
        now: Timestamp,
    ) {
        let latency = micros(latency).clamp(1, MAX_LATENCY_MICROS);
        let slow = self
            .slow_thresholds
            .map(|threshold| if latency >= threshold { count } else { 0 });
        let (contents, slices_ago) = self.count(at, now, |counts| {
            counts.timed = counts.timed.saturating_add(count);
            for (total, slow) in counts.slow.iter_mut().zip(slow) {
                *total = total.saturating_add(slow);
            }
        });
        contents.latency.record(latency, count, slices_ago);
    }

    /// Records how many requests are in flight, seen by one that has just been admitted.
    pub(crate) fn record_concurrency(&mut self, in_flight: u64, now: Timestamp) {
        self.contents_at(now)
            .concurrency
            .record(in_flight.clamp(1, MAX_CONCURRENCY), 1, 0);
    }

    /// What the window holds at `now`.
    pub(crate) fn counts(&mut self, now: Timestamp) -> WindowCounts {
        self.expire(now);
        *self.unexpired()
    }

    /// What the window held when it was last expired. By reference: a copy of counters that have
    /// just been written would wait for them.
    pub(crate) fn unexpired(&self) -> &WindowCounts {
        self.contents
            .as_ref()
            .map_or(&WindowCounts::NONE, |contents| &contents.sum)
    }

    /// The slow count of a threshold of the policy.
    pub(crate) fn slow(&self, counts: &WindowCounts, threshold: Duration) -> u32 {
        let index = self
            .slow_thresholds
            .iter()
            .position(|known| *known == micros(threshold));
        index.map_or(0, |index| counts.slow[index])
    }

    /// Whether one of the latencies that the window held when it was last expired may be `bound`
    /// or more, as histograms know them: no quantile is, if none of them is.
    pub(crate) fn reaches(&self, bound: Duration) -> bool {
        let contents = self.contents.as_ref();
        contents.is_some_and(|contents| contents.latency.max() >= micros(bound))
    }

    /// The latencies that the window holds at `now`, in microseconds.
    pub(crate) fn latencies(&mut self, now: Timestamp) -> Option<Histogram<u32>> {
        self.expire(now);
        self.contents
            .as_ref()
            .map(|contents| contents.latency.sum())
    }

    /// The numbers of requests in flight that the window's admissions saw.
    pub(crate) fn concurrencies(&mut self, now: Timestamp) -> Option<Histogram<u32>> {
        self.expire(now);
        self.contents
            .as_ref()
            .map(|contents| contents.concurrency.sum())
    }

    /// When the last of it will have expired, and its memory can go.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.contents.as_ref()?;
        let others = (SLICES as u64 - 1) * self.slice;
        Some(Timestamp::from_nanos(
            self.live_ends.as_nanos().saturating_add(others),
        ))
    }

    /// Forgets what is older than the window.
    #[inline]
    pub(crate) fn expire(&mut self, now: Timestamp) {
        if now >= self.live_ends {
            self.turn(now);
        }
    }

    #[cold]
    fn turn(&mut self, now: Timestamp) {
        let current = now.as_nanos() / self.slice;
        let passed = current - self.live_slice;
        self.live_slice = current;
        self.live_index = (current % SLICES as u64) as u32;
        self.live_ends = Timestamp::from_nanos((current + 1).saturating_mul(self.slice));
        let Some(contents) = &mut self.contents else {
            return;
        };
        if passed >= SLICES as u64 {
            let standing: u32 = contents.standing.iter().sum();
            self.standing = self.standing.saturating_add(standing);
            self.contents = None;
        } else {
            let standing = contents.advance(current, passed as usize);
            self.standing = self.standing.saturating_add(standing);
        }
    }

    /// Heap memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.contents.as_ref().map_or(0, |contents| {
            let failed = contents
                .failed
                .as_ref()
                .map_or(0, |failed| size_of_val(&**failed));
            size_of::<Contents>() + failed + contents.latency.bytes() + contents.concurrency.bytes()
        })
    }

    /// In the how manieth slice before the live one `at` is; times to come are in the live one.
    fn slices_ago(&self, at: Timestamp) -> usize {
        if at.as_nanos().saturating_add(self.slice) >= self.live_ends.as_nanos() {
            return 0;
        }
        let slices = self.live_slice.saturating_sub(at.as_nanos() / self.slice);
        usize::try_from(slices).unwrap_or(usize::MAX)
    }

    /// Where in the ring the slice is that is so many before the live one.
    const fn index(&self, slices_ago: usize) -> usize {
        let live = self.live_index as usize;
        match live.checked_sub(slices_ago) {
            Some(index) => index,
            None => live + SLICES - slices_ago,
        }
    }

    /// Adds to the slice of `at`. Returns how many slices before the live one that is.
    fn count(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        add: impl Fn(&mut WindowCounts),
    ) -> (&mut Contents, usize) {
        self.expire(now);
        let slices_ago = self.slices_ago(at).min(SLICES - 1);
        let index = self.index(slices_ago);
        let contents = self
            .contents
            .get_or_insert_with(|| Box::new(Contents::new()));
        add(&mut contents.counts[index]);
        add(&mut contents.sum);
        (contents, slices_ago)
    }

    fn contents_at(&mut self, now: Timestamp) -> &mut Contents {
        self.expire(now);
        self.contents
            .get_or_insert_with(|| Box::new(Contents::new()))
    }
}

// === impl WindowCounts ===

impl WindowCounts {
    const NONE: Self = Self {
        success: 0,
        failure: 0,
        ignored: 0,
        timed: 0,
        slow: [0; MAX_SLOW_THRESHOLDS],
    };

    /// Successes and failures: what an error rate is a share of.
    pub(crate) const fn judged(&self) -> u64 {
        self.success as u64 + self.failure as u64
    }

    fn subtract(&mut self, other: &Self) {
        // Saturating, as the additions are.
        self.success = self.success.saturating_sub(other.success);
        self.failure = self.failure.saturating_sub(other.failure);
        self.ignored = self.ignored.saturating_sub(other.ignored);
        self.timed = self.timed.saturating_sub(other.timed);
        for (slow, other) in self.slow.iter_mut().zip(other.slow) {
            *slow = slow.saturating_sub(other);
        }
    }
}

// === impl Contents ===

impl Contents {
    fn new() -> Self {
        Self {
            counts: [WindowCounts::default(); SLICES],
            sum: WindowCounts::default(),
            failed: None,
            standing: [0; SLICES],
            recounted: Timestamp::ZERO,
            latency: SlicedHistogram::default(),
            concurrency: SlicedHistogram::default(),
        }
    }

    /// Makes slice number `current` the live one, `passed` slices after the last. Returns how many
    /// answers stand that began in the slices which are forgotten.
    fn advance(&mut self, current: u64, passed: usize) -> u32 {
        let mut standing = 0;
        for number in (current + 1 - passed as u64)..=current {
            let index = (number % SLICES as u64) as usize;
            let expired = &mut self.counts[index];
            self.sum.subtract(expired);
            *expired = WindowCounts::default();
            for failed in self.failed.as_deref_mut().into_iter().flatten() {
                failed[index] = 0;
            }
            standing += std::mem::take(&mut self.standing[index]);
        }
        self.latency.advance(passed);
        self.concurrency.advance(passed);
        standing
    }
}

/// The slices of a window.
pub(crate) const SLICES: usize = 10;
const MAX_LATENCY_MICROS: u64 = 3_600_000_000;
const MAX_CONCURRENCY: u64 = 1 << 24;

#[cfg(test)]
mod tests;
