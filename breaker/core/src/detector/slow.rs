//! Lasting faults that are too small for the other scales.
//!
//! The other scales have a floor of the normal share, because they judge within seconds and are
//! acted on. This scale has slices of half a minute and no floor, and compares with the usual share
//! of the last hours. Its alarms are only reported. It gets its observations every ten seconds, and
//! costs a request nothing.
//!
//! It is one more of the detectors that share the budget, with the same statistic and the same
//! bound. Its normal share is learned from blocks that have ended, so it is known before the slices
//! that it judges. For latencies, it leaves half of its part of the budget to the test for a rise
//! on the first day ([`super::trend`]), which is only reported too.

use std::time::Duration;

use super::baseline::{Bucket, normal_at_most};
use super::pace::Pace;
use super::sequential_test::{DetectorParams, SequentialTest};
use super::settled::Span;
use crate::policy::Signal;
use crate::time::Timestamp;

/// After 1 min without a request half of its evidence is left, and after 1 h none, as with any
/// [`SequentialTest`]. The usual share stays.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    scale: SequentialTest,
    /// How many tests share one detector's part of the budget.
    sharers: usize,
    /// The blocks without an alarm, with a half-life of two hours.
    known: Span,
    normal: f64,
}

impl Slow {
    pub(super) fn new(signal: Signal, run_length: Duration, detectors: usize) -> Box<Self> {
        let (rule, sharers) = match signal {
            Signal::Errors => (&ERRORS, 1),
            Signal::Latency => (&LATENCY, SHARERS),
            Signal::Deadline => (&LATENCY, 1),
        };
        let mut slow = Box::new(Self {
            scale: SequentialTest::new(rule),
            sharers,
            known: Span {
                observations: 0.0,
                hits: 0.0,
            },
            normal: 1.0,
        });
        slow.set_budget(run_length, detectors);
        slow
    }

    pub(super) fn set_budget(&mut self, run_length: Duration, detectors: usize) {
        let detectors = detectors.saturating_mul(self.sharers);
        self.scale.set_budget(run_length, detectors);
    }

    /// Observes the counts that `passed` until `at`.
    pub(super) fn observe(&mut self, passed: Bucket, at: Timestamp, pace: &Pace) {
        let misses = passed.observations.saturating_sub(passed.hits);
        if passed.observations > 0 {
            self.scale.add(passed.hits as f64, misses as f64, at, pace);
        }
    }

    /// Learns a block without an alarm. If the policy declares a usual share, the normal share is
    /// at least one and a half times `declared`.
    pub(super) fn learn(&mut self, block: Bucket, declared: f64) {
        self.know(
            Span {
                observations: self.known.observations * FADING + block.observations as f64,
                hits: self.known.hits * FADING + block.hits as f64,
            },
            declared,
        );
    }

    /// The share in `span` is the new usual share. The evidence against it is discarded.
    pub(super) fn accept(&mut self, span: Span, declared: f64) {
        self.know(span, declared);
        self.scale.reset();
    }

    fn know(&mut self, known: Span, declared: f64) {
        let normal = normal_at_most(known.hits, known.observations);
        self.normal = normal.max(1.5 * declared).min(MOST);
        self.scale.set_normal(self.normal);
        self.known = known;
    }

    pub(super) fn reset(&mut self) {
        self.scale.reset();
    }

    pub(super) const fn is_alarming(&self) -> bool {
        self.scale.is_alarming()
    }

    pub(super) const fn scale(&self) -> &SequentialTest {
        &self.scale
    }

    /// The upper bound of the normal share.
    pub(super) const fn normal(&self) -> f64 {
        self.normal
    }

    /// The usual share.
    pub(super) fn usual(&self) -> f64 {
        self.known.share()
    }
}

const fn rule(alternative: f64) -> DetectorParams {
    DetectorParams {
        slice: Duration::from_secs(30),
        alternative,
        times: 3.0,
        slices: 3.0,
        at_least: 0.0,
    }
}

/// A rise from 0.01 to 0.1 % is not reported: so small a share varies by itself.
static ERRORS: DetectorParams = rule(0.005);
/// Latencies vary far more. A deploy that makes all requests a little slower is no anomaly.
static LATENCY: DetectorParams = rule(0.1);

/// The slow scale of latencies and the test for a rise on the first day count as one detector in
/// the budget.
pub(super) const SHARERS: usize = 2;
/// The decay over a block: 2^(−1/12).
const FADING: f64 = 0.943_874_312_7;
const MOST: f64 = 0.8;
