//! The detectors of one stream of hits and misses: several time scales over one baseline.

use std::time::Duration;

use super::baseline::{Baseline, Bounds, normal_at_most};
use super::pace::Pace;
use super::sequential_test::{DetectorParams, SequentialTest};
use super::settled::{Settled, Span};
use super::slow::Slow;
use super::usual::{Alarmed, MOST, midway_to_total};
use super::{Anomaly, UsualChange};
use crate::baseline::StreamBaseline;
use crate::policy::Stream;
use crate::ratio::Ratio;
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct StreamDetector {
    stream: Stream,
    baseline: Baseline,
    scales: Box<[SequentialTest]>,
    pace: Pace,
    alarmed: Alarmed,
    /// The least share of hits that is another thing than usual.
    unusual: f64,
    alarming: bool,
    last_hit: Timestamp,
    /// Between which shares the normal one is held while none above was accepted, and what a policy
    /// declares to be usual; 0 if nothing.
    bounds: Bounds,
    declared: f64,
    settled: Settled,
    /// Whether an alarm of whatever share is asked for: then there is a slow scale too, from when
    /// something is known on.
    tells: bool,
    slow: Option<Box<Slow>>,
    /// Whether there was an alarm in the live block.
    spoiled: bool,
    /// The budget, of how many detectors.
    run_length: Duration,
    family_size: usize,
    /// The share that was usual for hours, whatever it is, and the one by which the cap was raised.
    usual: Option<f64>,
    accepted: Option<f64>,
    /// What is to be told.
    change: Option<UsualChange>,
}

impl StreamDetector {
    /// The detectors of `stream` of the proxy's own source, or of a feed.
    ///
    /// `tells` says whether an alarm of whatever share is asked for.
    pub(super) fn new(stream: Stream, feed: bool, tells: bool) -> Self {
        let (rules, bounds) = match stream {
            Stream::Errors => (&ERRORS[..], if feed { FEED_ERRORS } else { PROXY_ERRORS }),
            Stream::Latency => (&LATENCY[..], SLOW),
            Stream::Deadline => (&LATENCY[..], HARD),
        };
        let mut detector = Self {
            stream,
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
            run_length: Duration::MAX,
            family_size: 1,
            usual: None,
            accepted: None,
            change: None,
        };
        detector.take_over_baseline();
        detector
    }

    /// Says that this share of hits is usual, whatever is learned.
    pub(super) fn declare(&mut self, usual: f64) {
        self.declared = usual;
        self.settle_bounds();
    }

    pub(super) const fn stream(&self) -> Stream {
        self.stream
    }

    /// Whether an alarm of whatever share is asked for.
    pub(super) const fn tells(&self) -> bool {
        self.tells
    }

    /// How many detectors these are.
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

    /// Observes `count` hits or misses at `at`. They are learned from if `learn` says so and
    /// nothing is wrong. Returns whether something is to be told.
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
        // After the scales: this gap must not say how fast evidence fades over itself.
        if self.pace.turns(at) {
            self.pace.turn(at);
        }
        self.settle_alarm(alarming);
        news
    }

    /// What was observed as a miss at `missed` is a hit at `at`, and no miss.
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

    /// A hit while the scale that looks for a fifth has nothing that speaks for a change: an
    /// episode begins.
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

    #[inline]
    fn learn(&mut self, hit: bool, count: u32, at: Timestamp) -> bool {
        let turns = if self.alarming {
            self.alarmed.learn(hit, count, at)
        } else {
            self.baseline.learn(hit, count, at)
        };
        turns && self.turn(at)
    }

    /// Ten seconds have passed: what they have shown is learned. Returns whether something is to be
    /// told.
    #[cold]
    fn turn(&mut self, at: Timestamp) -> bool {
        self.baseline.pass(at);
        self.alarmed.pass(at);
        let passed = self.baseline.take_passed().and(self.alarmed.take_passed());
        if let Some(slow) = &mut self.slow {
            // They were observed before the request that tells that they have passed.
            slow.observe(passed, self.pace.last().min(at), &self.pace);
        }
        self.spoiled |= self.alarming || self.is_slow();
        if let Some(block) = self.settled.count(passed, at) {
            if !std::mem::take(&mut self.spoiled) && self.tells {
                let made = || Slow::new(self.stream, self.run_length, self.family_size);
                let slow = self.slow.get_or_insert_with(made);
                slow.learn(block, self.declared);
            }
            self.judge_usual();
        }
        self.take_over_baseline();
        self.change.is_some()
    }

    /// Whether the last hours were all alike, with a share for which what is normal is too little,
    /// or far more than was accepted.
    fn judge_usual(&mut self) {
        let Some(span) = self.settled.steady() else {
            return;
        };
        let (low, high) = span.bounds();
        let cap = self.baseline.bounds().cap;
        let normal = normal_at_most(span.hits, span.observations);
        let slowly = |slow: &Slow| slow.is_alarming() && normal > slow.normal();
        let rises = (self.alarming || 1.5 * low > cap) && normal > cap
            || self.slow.as_deref().is_some_and(slowly);
        let falls = self
            .accepted
            .is_some_and(|accepted| 1.5 * high < accepted && cap > self.bounds.cap);
        if span.share() <= MOST && (falls || rises) {
            self.accept(span);
        }
        if !self.alarming && !self.is_slow() {
            self.usual = Some(span.share());
        }
    }

    /// From now on, what was observed in these hours is usual. What there was to say against it is
    /// void.
    fn accept(&mut self, span: Span) {
        let before = self.usual.or(self.accepted);
        self.accepted = (1.5 * span.share() > self.bounds.cap).then(|| span.share());
        self.usual = Some(span.share());
        self.baseline.restore(span.observations, span.hits);
        self.alarmed = Alarmed::new();
        self.settle_bounds();
        for scale in &mut self.scales {
            scale.reset();
        }
        if let Some(slow) = &mut self.slow {
            slow.accept(span, self.declared);
        }
        self.alarming = false;
        let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
        self.change = Some(UsualChange {
            stream: self.stream,
            before: before.map(share),
            now: share(span.share()),
        });
    }

    /// The change of what is usual that has not been told.
    pub(super) fn take_change(&mut self) -> Option<UsualChange> {
        self.change.take()
    }

    fn settle_bounds(&mut self) {
        let known = self.accepted.unwrap_or_default().max(self.declared);
        self.baseline.set_bounds(Bounds {
            floor: (1.5 * self.declared).max(self.bounds.floor),
            cap: (2.0 * known).clamp(self.bounds.cap, MOST_NORMAL),
        });
        self.take_over_baseline();
    }

    /// The share of hits that is normal at most.
    pub(super) const fn normal(&self) -> f64 {
        self.baseline.share()
    }

    pub(super) const fn is_alarming(&self) -> bool {
        self.alarming
    }

    /// The share of hits that is usual, normal or not; 0, if nothing is known.
    pub(super) fn usual(&self) -> f64 {
        self.alarmed.usual(&self.baseline).max(self.declared)
    }

    /// Whether only the slow scale has an alarm.
    pub(super) fn is_slow(&self) -> bool {
        !self.alarming && self.slow.as_ref().is_some_and(|slow| slow.is_alarming())
    }

    /// What there is to say, if there is an alarm with a share of hits that is `at_least`, surely,
    /// and it is no `blip`.
    pub(super) fn alarm(&self, at_least: Ratio, blip: Duration) -> Option<Anomaly> {
        if !self.alarming {
            let slow = self.slow.as_ref().filter(|slow| slow.is_alarming())?;
            return (at_least == Ratio::ZERO).then(|| self.told_slowly(slow));
        }
        let alarming = self.alarming(at_least, blip);
        let clearest = alarming.max_by(|a, b| a.evidence().total_cmp(&b.evidence()))?;
        Some(self.told(clearest))
    }

    /// Whether [`Self::alarm`] has something to say.
    pub(super) fn has_alarm(&self, at_least: Ratio, blip: Duration) -> bool {
        if self.alarming {
            self.alarming(at_least, blip).next().is_some()
        } else {
            at_least == Ratio::ZERO && self.is_slow()
        }
    }

    fn alarming(&self, at_least: Ratio, blip: Duration) -> impl Iterator<Item = &SequentialTest> {
        // Near-total is relative: what is usual here must not open.
        let least = at_least.get().max(self.unusual);
        let lasts = move |scale: &&SequentialTest| {
            // To the latest hit, not to now: what is over gets no longer.
            blip == Duration::ZERO || self.last_hit.saturating_since(scale.estimate().since) >= blip
        };
        self.scales.iter().filter(lasts).filter(move |scale| {
            if at_least == Ratio::ZERO {
                return scale.is_alarming();
            }
            // The finest scale raises no alarm before it is sure of near-total failure; beside
            // another's it may be as sure as is asked.
            let speaks = scale.is_alarming() || scale.evidence() >= scale.line();
            speaks && scale.is_at_least(least)
        })
    }

    /// What the scale says that is nearest to an alarm.
    pub(super) fn score(&self) -> Option<Anomaly> {
        if let Some(slow) = self.slow.as_ref().filter(|_| self.is_slow()) {
            return Some(self.told_slowly(slow));
        }
        let share = |scale: &SequentialTest| scale.evidence() / scale.line();
        let nearest = self
            .scales
            .iter()
            .max_by(|a, b| share(a).total_cmp(&share(b)))?;
        Some(self.told(nearest))
    }

    /// Forgets all evidence, and what would be learned from; not what was learned.
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
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let slow = self.slow.as_ref().map_or(0, |slow| size_of_val(&**slow));
        size_of_val(&*self.scales) + self.settled.bytes() + slow
    }

    /// What was learned.
    pub(super) fn learned(&self) -> Option<StreamBaseline> {
        let (observations, hits) = self.baseline.learned();
        StreamBaseline::new(self.stream, observations, hits).ok()
    }

    /// Begins with what was learned before.
    pub(super) fn restore(&mut self, learned: &StreamBaseline) {
        let (observations, hits) = (learned.observations(), learned.hits());
        // A share above the cap is learned only where it was accepted, or was never alarming.
        let share = (hits / observations.max(1.0)).min(MOST);
        self.accepted = (1.5 * share > self.bounds.cap).then_some(share);
        self.usual = (observations >= 1.0).then_some(share);
        self.baseline.restore(observations, hits);
        self.settle_bounds();
    }

    fn take_over_baseline(&mut self) {
        for scale in &mut self.scales {
            scale.set_normal(self.baseline.share());
        }
        self.unusual = midway_to_total(self.usual());
    }

    fn told(&self, scale: &SequentialTest) -> Anomaly {
        let estimate = scale.estimate();
        let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
        Anomaly {
            stream: self.stream,
            share: share(estimate.hits / estimate.observations.max(1e-9)),
            low: share(scale.low()),
            high: share(estimate.high),
            normal: share(self.baseline.share()),
            observations: estimate.observations.round() as u64,
            since: estimate.since,
            evidence: scale.evidence(),
            line: scale.line(),
            alarming: self.alarming,
            usual: share(self.slow.as_ref().map_or(self.usual(), |slow| slow.usual())),
            slow: false,
            crept: None,
        }
    }

    fn told_slowly(&self, slow: &Slow) -> Anomaly {
        let normal = Ratio::new(slow.normal()).unwrap_or(Ratio::ONE);
        Anomaly {
            normal,
            alarming: true,
            slow: true,
            ..self.told(slow.scale())
        }
    }
}

const fn rule(millis: u64, alternative: f64, slices: f64, at_least: f64) -> DetectorParams {
    DetectorParams {
        slice: Duration::from_millis(millis),
        alternative,
        times: 2.0,
        slices,
        at_least,
    }
}

/// Failures are judged within tenths of seconds where nearly all fail, which the finest scale must
/// be sure of.
static ERRORS: [DetectorParams; 4] = [
    rule(100, 0.9, 3.0, 0.7),
    rule(1500, 0.5, 3.0, 0.0),
    rule(2000, 0.2, 3.0, 0.0),
    rule(2500, 0.06, 3.0, 0.0),
];
/// Latencies take longer to show, and pauses of a second are common: no alarm comes from fewer than
/// four slices.
static LATENCY: [DetectorParams; 3] = [
    rule(1000, 0.9, 4.0, 0.0),
    rule(2000, 0.5, 4.0, 0.0),
    rule(5000, 0.2, 4.0, 0.0),
];

/// The scale that looks for a fifth of hits, of each stream.
const OF_EPISODES: usize = 2;

/// Nothing above is ever normal.
const MOST_NORMAL: f64 = 0.8;

const PROXY_ERRORS: Bounds = Bounds {
    floor: 0.01,
    cap: 0.02,
};
const FEED_ERRORS: Bounds = Bounds {
    floor: 0.01,
    cap: 0.05,
};
const SLOW: Bounds = Bounds {
    floor: 0.02,
    cap: 0.05,
};
const HARD: Bounds = Bounds {
    floor: 0.01,
    cap: 0.02,
};
