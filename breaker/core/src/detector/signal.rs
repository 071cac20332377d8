//! The detectors of one signal: several time scales with one baseline.

mod alarm;
mod learning;
mod params;

use std::time::Duration;

use self::params::{ERRORS, FEED_ERRORS, HARD, LATENCY, PROXY_ERRORS, SLOW};
use super::UsualChange;
use super::baseline::{Baseline, Bounds};
use super::calm::Calm;
use super::pace::Pace;
use super::sequential_test::SequentialTest;
use super::settled::Settled;
use super::slow::Slow;
use super::usual::Alarmed;
use crate::policy::Signal;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct SignalDetector {
    signal: Signal,
    baseline: Baseline,
    scales: Box<[SequentialTest]>,
    pace: Pace,
    alarmed: Alarmed,
    /// An `at_least` above zero is raised to this share, which is midway between the usual share
    /// and near-total failure.
    unusual: f64,
    alarming: bool,
    last_hit: Timestamp,
    /// The bounds of the normal share until a higher share is accepted, and the share that the
    /// policy declares as usual (0 if none).
    bounds: Bounds,
    declared: f64,
    settled: Settled,
    /// Whether the policy has an entry for any alarm, without `at_least`. Then there is also a slow
    /// scale, once something was learned.
    tells: bool,
    slow: Option<Box<Slow>>,
    /// Whether there was an alarm in the live block.
    spoiled: bool,
    calm: Calm,
    /// The budget, of how many detectors.
    run_length: Duration,
    family_size: usize,
    /// The share of the last steady hours, if it was accepted or gave no alarm; and the accepted
    /// share that has raised the cap.
    usual: Option<f64>,
    accepted: Option<f64>,
    /// A change of the usual share that is to be reported.
    change: Option<UsualChange>,
}

impl SignalDetector {
    /// The detectors of `signal`, for the proxy's own source or for a feed.
    ///
    /// `tells` says whether the policy has an entry for any alarm, without `at_least`.
    pub(super) fn new(signal: Signal, feed: bool, tells: bool) -> Self {
        let (rules, bounds) = match signal {
            Signal::Errors => (&ERRORS[..], if feed { FEED_ERRORS } else { PROXY_ERRORS }),
            Signal::Latency => (&LATENCY[..], SLOW),
            Signal::Deadline => (&LATENCY[..], HARD),
        };
        let mut detector = Self {
            signal,
            baseline: Baseline::new(bounds),
            scales: rules.iter().map(SequentialTest::new).collect(),
            pace: Pace::default(),
            alarmed: Alarmed::new(),
            unusual: 0.0,
            alarming: false,
            last_hit: Timestamp::ZERO,
            bounds,
            declared: 0.0,
            settled: Settled::default(),
            tells,
            slow: None,
            spoiled: false,
            calm: Calm::default(),
            run_length: Duration::MAX,
            family_size: 1,
            usual: None,
            accepted: None,
            change: None,
        };
        detector.take_over_baseline();
        detector
    }

    pub(super) const fn signal(&self) -> Signal {
        self.signal
    }

    /// Whether the policy has an entry for any alarm, without `at_least`.
    pub(super) const fn tells(&self) -> bool {
        self.tells
    }

    /// The number of detectors.
    pub(super) fn detectors(&self) -> usize {
        self.scales.len() + usize::from(self.tells)
    }

    pub(super) fn set_budget(&mut self, run_length: Duration, detectors: usize) {
        for scale in &mut self.scales {
            scale.set_budget(run_length, detectors);
        }
        (self.run_length, self.family_size) = (run_length, detectors);
        if let Some(slow) = &mut self.slow {
            slow.set_budget(run_length, detectors);
        }
    }

    /// Observes `count` hits or misses at `at`. They are learned if `learn` is set. Returns whether
    /// there is a change to report.
    pub(super) fn observe(&mut self, hit: bool, count: u32, at: Timestamp, learn: bool) -> bool {
        let news = learn && self.learn(hit, count, at);
        if hit {
            self.last_hit = at;
            self.begin_episode();
        }
        let mut alarming = false;
        for scale in &mut self.scales {
            scale.observe(hit, count, at, &self.pace);
            alarming |= scale.is_alarming();
        }
        // After the scales, because the gap before this observation must not change the half-life
        // for itself.
        if self.pace.turns(at) {
            self.pace.turn(at);
        }
        self.settle_alarm(alarming);
        news
    }

    /// The request that was observed as a miss at `missed` became a hit at `at`.
    #[cold]
    pub(super) fn turn_into_hit(&mut self, missed: Timestamp, at: Timestamp, learn: bool) {
        if learn && !self.alarming && self.baseline.turn_into_hit(at) {
            self.take_over_baseline();
        }
        self.last_hit = at;
        self.begin_episode();
        let mut alarming = false;
        for scale in &mut self.scales {
            scale.take_back_miss(missed);
            scale.observe(true, 1, at, &self.pace);
            alarming |= scale.is_alarming();
        }
        self.settle_alarm(alarming);
    }

    /// At a hit, an episode begins if the scale that looks for 20 % has no evidence of a change.
    fn begin_episode(&mut self) {
        if self.scales[OF_EPISODES].is_at_rest() {
            for scale in &mut self.scales {
                scale.begin_episode();
            }
        }
    }

    fn settle_alarm(&mut self, alarming: bool) {
        if alarming && !self.alarming {
            self.baseline.drop_waiting();
        }
        self.alarming = alarming;
    }

    /// Discards all evidence, and the observations that wait to be learned, but keeps the
    /// baselines.
    pub(super) fn reset(&mut self) {
        for scale in &mut self.scales {
            scale.reset();
        }
        self.baseline.drop_waiting();
        self.alarmed.drop_waiting();
        self.settled.restart();
        if let Some(slow) = &mut self.slow {
            slow.reset();
        }
        self.alarming = false;
        self.calm.restart();
        self.take_over_baseline();
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let slow = self.slow.as_ref().map_or(0, |slow| size_of_val(&**slow));
        size_of_val(&*self.scales) + self.alarmed.bytes() + self.settled.bytes() + slow
    }
}

/// The index of the scale that looks for 20 % of hits, for each signal.
const OF_EPISODES: usize = 2;
