//! Anomaly detectors: sequential tests with a fixed false-alarm budget. They need no minimum of
//! requests and no window.
//!
//! A detector observes a [`Signal`], which is a sequence of hits and misses. A hit is a failure, a
//! request slower than usual, or a request that missed the deadline. Several detectors watch each
//! signal, on time scales from a tenth of a second to five seconds. They compare it with the share
//! of hits that was learned to be normal (`baseline`). Their alarm thresholds (`line` in this
//! module) follow from the budget (`sequential_test`). Assume that requests are independent and hit
//! no more often than is normal. Then the probability that any detector of a breaker raises a false
//! alarm within t is at most t / run length.
//!
//! References: Shiryaev 1963, Roberts 1966, Pollak, Ann. Stat. 13 (1985) 206; Page, Biometrika 41
//! (1954) 100; Lorden 1971; Moustakides, Ann. Stat. 36 (2008) 787; Shin, Ramdas, Rinaldo,
//! "E-detectors", arXiv 2203.03532.

mod anomaly;
mod baseline;
mod calm;
mod counting;
mod crossed;
mod pace;
mod peers;
mod relative;
mod sequential_test;
mod settled;
mod signal;
mod slow;
mod sure;
mod threshold;
mod trend;
mod usual;
mod wilson;

use std::sync::Arc;
use std::time::Duration;

use self::anomaly::of_rise;
pub use self::anomaly::{Anomaly, Creep, UsualChange};
pub(crate) use self::baseline::usual_at_most;
use self::counting::Counted;
pub(crate) use self::crossed::Crossed;
pub(crate) use self::pace::Pace;
pub use self::relative::Difference;
pub(crate) use self::relative::{Circumstances, Peers, Relative};
pub(crate) use self::sequential_test::{ALARM_ENDS, line_of, log_ratios, shiryaev_roberts};
use self::signal::SignalDetector;
pub(crate) use self::threshold::LEAST as LEAST_THRESHOLD;
use self::threshold::{Rise, Threshold};
pub(crate) use self::usual::{NEAR_TOTAL, midway, midway_to_total};
pub(crate) use self::wilson::interval;
use crate::baseline::{LatencyBounds, SourceBaseline};
use crate::policy::{FalseAlarmBudget, Policy, Signal};
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// The detectors of one source.
#[derive(Clone, Debug)]
pub(crate) struct Detectors {
    /// The share of failures that the policy declares as usual.
    declared: Ratio,
    budget: FalseAlarmBudget,
    bounds: LatencyBounds,
    signals: Vec<SignalDetector>,
    /// Learned if the policy watches latencies.
    threshold: Option<Threshold>,
    /// A bit for each signal of which hits were observed since its last judgement. Silence sets no
    /// bit.
    struck: u8,
    /// How many requests were answered well, within the deadline and after it. Silence does not
    /// change them.
    on_time: u32,
    late: u32,
    /// Counts for a fleet, once it has asked for them.
    counted: Counted,
}

impl Detectors {
    /// The detectors that `policy` needs, for the proxy's own source or for a feed; `None` if it
    /// needs none.
    pub(crate) fn of(policy: &Policy, feed: bool) -> Option<Box<Self>> {
        let signals: Vec<_> = policy
            .signals()
            .map(|signal| SignalDetector::new(signal, feed, policy.asks_for_any(signal)))
            .collect();
        if signals.is_empty() {
            return None;
        }
        let watches_latency = signals
            .iter()
            .any(|detector| detector.signal() == Signal::Latency);
        let mut detectors = Self {
            declared: policy.usual_errors(),
            budget: policy.false_alarm_budget(),
            bounds: bounds(policy),
            signals,
            threshold: watches_latency
                .then(|| Threshold::new(policy.asks_for_any(Signal::Latency))),
            struck: 0,
            on_time: 0,
            late: 0,
            counted: None,
        };
        detectors.set_family_size(detectors.count());
        let declared = detectors.declared.get();
        if let Some(errors) = detectors.detector_mut(Signal::Errors) {
            errors.declare(declared);
        }
        Some(Box::new(detectors))
    }

    /// Whether these are the detectors that `policy` needs.
    pub(crate) fn fit(&self, policy: &Policy) -> bool {
        let own = self.signals.iter().map(SignalDetector::signal);
        let asks = |signal: &SignalDetector| signal.tells() == policy.asks_for_any(signal.signal());
        own.eq(policy.signals())
            && self.signals.iter().all(asks)
            && (self.budget, self.bounds) == (policy.false_alarm_budget(), bounds(policy))
            && self.declared == policy.usual_errors()
    }

    /// The number of detectors.
    pub(crate) fn count(&self) -> usize {
        self.signals.iter().map(SignalDetector::detectors).sum()
    }

    /// Shares the budget among `detectors`, which includes the detectors of other sources.
    pub(crate) fn set_family_size(&mut self, detectors: usize) {
        for signal in &mut self.signals {
            signal.set_budget(self.budget.run_length(), detectors);
        }
        if let Some(threshold) = &mut self.threshold {
            threshold.set_budget(self.budget.run_length(), detectors);
        }
    }

    /// The latency from which on a request is slow; `None` if latencies are not watched.
    pub(crate) fn threshold(&self) -> Option<Duration> {
        self.threshold.as_ref().map(Threshold::value)
    }

    /// `count` requests ended at `at`.
    pub(crate) fn ended(&mut self, failed: bool, count: u32, at: Timestamp, learn: bool) {
        self.observe(Signal::Errors, failed, count, at, learn);
    }

    /// A request failed at `at`. At `begun` it had been observed as no failure.
    pub(crate) fn failed_after(&mut self, begun: Timestamp, at: Timestamp, learn: bool) {
        self.struck |= bit(Signal::Errors);
        if let Some(detector) = self.detector_mut(Signal::Errors) {
            detector.turn_into_hit(begun, at, learn);
        }
    }

    /// `count` requests that ended at `at` took `latency`. They are not observed again for a bound
    /// that they `crossed` while they hung.
    pub(crate) fn took(
        &mut self,
        latency: Duration,
        crossed: Crossed,
        count: u32,
        at: Timestamp,
        learn: bool,
    ) {
        let turns = self.threshold.as_ref().is_some_and(|known| known.turns(at));
        let told = turns && self.is_told(Signal::Latency);
        if let Some(threshold) = &mut self.threshold {
            let slow = latency >= threshold.value();
            if learn {
                threshold.learn(latency, count, told, at);
            }
            if !crossed.threshold {
                self.observe(Signal::Latency, slow, count, at, learn);
            }
        }
        if !crossed.deadline {
            let late = latency >= self.bounds.deadline;
            self.observe(Signal::Deadline, late, count, at, learn);
        }
    }

    /// A request was answered well after `latency`, in any state of the breaker.
    pub(crate) fn answered(&mut self, latency: Duration) {
        if latency >= self.bounds.deadline {
            self.late += 1;
        } else {
            self.on_time += 1;
        }
        if self.on_time.saturating_add(self.late) >= ANSWERED {
            (self.on_time, self.late) = (self.on_time / 2, self.late / 2);
        }
    }

    /// Whether most good answers miss the deadline. Then the service is slow by nature, and a
    /// missed deadline is no evidence.
    pub(crate) const fn is_slow_by_nature(&self) -> bool {
        self.late >= FEW_LATE && self.late >= self.on_time
    }

    /// Whether a hit of `signal` is only reported and never acted on, because the service usually
    /// exceeds this bound.
    pub(crate) fn only_tells(&self, signal: Signal) -> bool {
        match signal {
            Signal::Errors => false,
            Signal::Deadline => self.is_slow_by_nature(),
            Signal::Latency => {
                let known = self.threshold.as_ref().is_some_and(Threshold::is_known);
                !known && self.is_slow_by_nature()
            }
        }
    }

    /// The usual share of failures, even if it is above the normal share; 0 if nothing was learned.
    pub(crate) fn usual_errors(&self) -> f64 {
        self.detector(Signal::Errors)
            .map_or(0.0, SignalDetector::usual)
    }

    /// `count` requests in flight have just reached the age at which they are hits of `signal`.
    pub(crate) fn crossed(&mut self, signal: Signal, count: u32, at: Timestamp, learn: bool) {
        self.observe(signal, true, count, at, learn);
    }

    /// Whether [`Self::alarm`] returns an anomaly.
    pub(crate) fn has_alarm(&self, signal: Signal, at_least: Ratio, blip: Duration) -> bool {
        let mut detector = self.detector(signal).into_iter();
        detector.any(|detector| detector.has_alarm(at_least, blip))
            || at_least == Ratio::ZERO && self.rise(signal).is_some()
    }

    /// The anomaly of `signal`: there is an alarm, the lower bound of the share of hits is
    /// `at_least` or more, and the change has lasted for `blip` or longer.
    pub(crate) fn alarm(&self, signal: Signal, at_least: Ratio, blip: Duration) -> Option<Anomaly> {
        let alarm = self.detector(signal)?.alarm(at_least, blip);
        alarm.or_else(|| {
            let rise = self.rise(signal).filter(|_| at_least == Ratio::ZERO);
            rise.map(|rise| of_rise(&rise))
        })
    }

    /// Whether there is no alarm, and each hit has been judged.
    pub(crate) fn are_well(&self) -> bool {
        let mut signals = self.signals.iter();
        self.struck == 0
            && !signals.any(|signal| signal.is_alarming() || signal.is_slow())
            && self
                .threshold
                .as_ref()
                .is_none_or(|known| known.rise().is_none())
    }

    /// Whether `signal` has an alarm only of its slow scale, or its latency rises slowly.
    pub(crate) fn is_slow(&self, signal: Signal) -> bool {
        self.detector(signal).is_some_and(SignalDetector::is_slow) || self.rise(signal).is_some()
    }

    /// The slow rise of `signal`, if no scale has an alarm.
    fn rise(&self, signal: Signal) -> Option<Rise<'_>> {
        let rise = self.threshold.as_ref()?.rise()?;
        (signal == Signal::Latency && !self.is_told(signal)).then_some(rise)
    }

    /// Whether the alarm of `signal` tells of a share that has been so from the first request on,
    /// as far as is known.
    pub(crate) fn may_be_usual(&self, signal: Signal) -> bool {
        let detector = self.detector(signal);
        detector.is_some_and(SignalDetector::may_be_usual)
    }

    /// Whether a scale of `signal` has an alarm.
    fn is_told(&self, signal: Signal) -> bool {
        let detector = self.detector(signal);
        detector.is_some_and(|detector| detector.is_alarming() || detector.is_slow())
    }

    /// Whether a hit of `signal` was observed since the last call of [`Self::forget_struck`].
    pub(crate) const fn has_struck(&self, signal: Signal) -> bool {
        self.struck & bit(signal) != 0
    }

    /// Call this when all observations so far have been judged.
    pub(crate) const fn forget_struck(&mut self) {
        self.struck &= NEWS;
    }

    /// The changes of the usual share that have not been reported yet.
    pub(crate) fn take_changes(&mut self) -> impl Iterator<Item = UsualChange> {
        let news = self.struck & NEWS != 0;
        self.struck &= !NEWS;
        let signals = self.signals.iter_mut().filter(move |_| news);
        signals.filter_map(SignalDetector::take_change)
    }

    /// For each signal, the result of the detector that is nearest to an alarm.
    pub(crate) fn scores(&self) -> Vec<Anomaly> {
        let score = |detector: &SignalDetector| {
            let rise = self.rise(detector.signal());
            rise.map(|rise| of_rise(&rise)).or_else(|| detector.score())
        };
        self.signals.iter().filter_map(score).collect()
    }

    /// Discards all evidence, but keeps the baselines.
    pub(crate) fn reset(&mut self) {
        for signal in &mut self.signals {
            signal.reset();
        }
        if let Some(threshold) = &mut self.threshold {
            threshold.reset();
        }
    }

    /// The baselines of these detectors. `name` is the name of their source.
    pub(crate) fn learned(&self, name: &Arc<str>) -> Option<SourceBaseline> {
        let signals = self.signals.iter().filter_map(SignalDetector::learned);
        let p95s = self.threshold.as_ref().map(Threshold::learned);
        let p95s = p95s.unwrap_or_default();
        SourceBaseline::new(name.clone(), self.bounds, signals.collect::<Vec<_>>(), p95s).ok()
    }

    /// Restores the baselines that were learned under the same bounds, and discards the evidence.
    /// Returns whether anything was restored.
    pub(crate) fn restore(&mut self, learned: &SourceBaseline) -> bool {
        let same_measure = learned.bounds().measure == self.bounds.measure;
        let mut restored = false;
        for signal in &mut self.signals {
            let comparable = match signal.signal() {
                Signal::Errors => true,
                Signal::Latency => same_measure,
                Signal::Deadline => learned.bounds() == self.bounds,
            };
            let mut known = learned.signals().iter().filter(|_| comparable);
            if let Some(known) = known.find(|known| known.signal() == signal.signal()) {
                signal.reset();
                signal.restore(known);
                restored = true;
            }
        }
        if let Some(threshold) = &mut self.threshold
            && same_measure
        {
            threshold.restore(learned.p95s());
        }
        restored
    }

    /// The size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let signals: usize = self
            .signals
            .iter()
            .map(|signal| size_of_val(signal) + signal.bytes())
            .sum();
        size_of::<Self>() + signals + self.threshold.as_ref().map_or(0, Threshold::bytes)
    }

    fn detector(&self, signal: Signal) -> Option<&SignalDetector> {
        let mut signals = self.signals.iter();
        signals.find(|detector| detector.signal() == signal)
    }

    fn detector_mut(&mut self, signal: Signal) -> Option<&mut SignalDetector> {
        let mut signals = self.signals.iter_mut();
        signals.find(|detector| detector.signal() == signal)
    }

    fn observe(&mut self, signal: Signal, hit: bool, count: u32, at: Timestamp, learn: bool) {
        if hit {
            self.struck |= bit(signal);
        }
        self.count_for_fleet(signal, hit, count);
        if let Some(detector) = self.detector_mut(signal)
            && detector.observe(hit, count, at, learn)
        {
            self.struck |= NEWS;
        }
    }
}

/// At this many answers, the counts of answers are halved.
const ANSWERED: u32 = 100_000;
/// The fewest late answers with which a service counts as slow by nature.
const FEW_LATE: u32 = 3;

/// A bit of [`Detectors::struck`]: there is a change to report.
const NEWS: u8 = 1 << 7;

const fn bit(signal: Signal) -> u8 {
    1 << signal as u8
}

const fn bounds(policy: &Policy) -> LatencyBounds {
    LatencyBounds {
        deadline: policy.deadline(),
        measure: policy.latency(),
    }
}

#[cfg(test)]
mod bound;
#[cfg(test)]
mod tests;
