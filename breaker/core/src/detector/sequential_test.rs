//! One detector: the evidence that the share of hits is now of the order of its alternative, and no
//! longer what is normal.
//!
//! A Shiryaev–Roberts statistic over slices of time. In a slice the log-likelihood ratio of its
//! observations is summed; at its end `R = (1 + R) · exp(min(sum, cap))`. Slices without an
//! observation say nothing and add nothing. The cap is what makes the detector wait through short
//! blips: no alarm comes from fewer slices than `line / cap`.
//!
//! # The budget, and why silence keeps it
//! Number the slices that have an observation; let `L` be the likelihood ratio of one of them and
//! `F` what is known before it. While hits have at most the normal share, `E[L | F] ≤ 1`: equal to
//! 1 at the normal share, less below it, since the ratio rises with each hit (Shin, Ramdas,
//! Rinaldo, arXiv 2203.03532, on e-detectors for composite hypotheses). Capping only lowers `L`.
//!
//! Over a gap of k empty slices R is multiplied by `f = 2^(−k · slice / half-life)`, in one step.
//! `f ≤ 1`, and it is known when the next slice begins: it follows from the time of arrivals alone,
//! of which independent outcomes know nothing, and the half-life from the gaps before this one
//! ([`Pace`](super::pace::Pace)). So with n slices observed,
//!
//! `E[R after | F] = f · (1 + R) · E[L | F] ≤ 1 + R`,
//!
//! and R − n is a supermartingale that begins at 0, as it is without fading (Pollak, Ann. Stat. 13
//! (1985) 206; Shiryaev 1963; Roberts 1966). Hence
//! `P(R reaches exp(line) within n slices) ≤ n · exp(−line)` (Doob). A time t has at most t / slice
//! slices with an observation, so that with `line = ln(detectors · run length / slice)` the
//! probability of a false alarm within t is at most t / run length over all detectors (union).
//! Silence only makes n smaller: a night is no evidence, and costs none of the budget. That R is
//! held at the line once it is there changes nothing before the alarm.
//!
//! What the bound does not cover is dependence between outcomes (a real blip), for which there is
//! the cap, and a normal share learned wrong.
//!
//! # Time without a request
//! After k half-lives `2^−k` of R is left, and of the counts of the estimate. The half-life is a
//! minute, or the time that ten requests usually take, at most an hour. At some requests a second:
//! after 1 min half is left, after 1 h and after 3 d nothing; at one request each 5 min: after 1
//! min nearly all, after 1 h 40 %, after 3 d nothing.
//!
//! Beside it a CUSUM of the same ratios (Page 1954) says since when the share has been another, and
//! what it has been since then.

use std::time::Duration;

use super::pace::Pace;
use super::sure::Choice;
use super::wilson;
use crate::time::Timestamp;

/// What a scale looks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct DetectorParams {
    /// The length of a slice.
    pub(super) slice: Duration,
    /// The share of hits that it notices soonest, and how many times what is normal that is at
    /// least.
    pub(super) alternative: f64,
    pub(super) times: f64,
    /// How many slices it takes to reach the line at least.
    pub(super) slices: f64,
    /// There is no alarm while the lower bound of the estimated share is less.
    pub(super) at_least: f64,
}

#[derive(Clone, Debug)]
pub(super) struct SequentialTest {
    rule: &'static DetectorParams,
    slice: u64,
    /// Evidence (in nats) from which on there is an alarm.
    line: f64,
    /// The most evidence that one slice adds.
    cap: f64,
    /// What a hit adds, and what a miss takes away.
    hit: f64,
    miss: f64,
    /// `ln(1 + R)` of the slices that have ended, as of the beginning of the live one. It is held
    /// at the line: an anomaly that lasts must not take as long to be over.
    ended: f64,
    /// The sum over the live slice, and when that ends; until the first observation none is live.
    live: f64,
    live_ends: Timestamp,
    started: bool,
    /// The CUSUM, and the observations since it was zero, which fade: of a change that lasts, the
    /// estimate follows what comes.
    drift: f64,
    since: Timestamp,
    observations: f64,
    hits: f64,
    choice: Choice,
    /// As of the last observation: in silence it stays, and the first observation after it decides
    /// anew, of what has faded till then.
    alarming: bool,
}

/// What a scale has observed since the share of hits changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) hits: f64,
    pub(super) observations: f64,
    pub(super) since: Timestamp,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl SequentialTest {
    pub(super) fn new(rule: &'static DetectorParams) -> Self {
        Self {
            slice: nanos_of(rule.slice),
            rule,
            line: f64::INFINITY,
            cap: f64::INFINITY,
            hit: 0.0,
            miss: 0.0,
            ended: 0.0,
            live: 0.0,
            live_ends: Timestamp::ZERO,
            started: false,
            drift: 0.0,
            since: Timestamp::ZERO,
            observations: 0.0,
            hits: 0.0,
            choice: Choice::default(),
            alarming: false,
        }
    }

    /// Sets the line for a run length of `run_length` with `detectors` of its kind at once.
    pub(super) fn set_budget(&mut self, run_length: Duration, detectors: usize) {
        self.line = line_of(run_length, self.rule.slice, detectors);
        self.cap = self.line / self.rule.slices;
        self.ended = self.ended.min(self.line);
    }

    /// Sets the share of hits that is normal. What the scale looks for is twice that at least, or
    /// more times: where a tenth is usual, 6 % are no anomaly.
    pub(super) fn set_normal(&mut self, share: f64) {
        (self.hit, self.miss) = log_ratios(self.rule.alternative, self.rule.times, share);
    }

    /// Sets the share of hits up to which nothing is wrong, where it is known from elsewhere, and
    /// looks for the rule's alternative. While that is hardly more, the scale is off: what it
    /// observes then is no evidence for anything.
    pub(super) fn set_null(&mut self, share: f64) {
        let alternative = self.rule.alternative;
        (self.hit, self.miss) = if alternative <= HARDLY_MORE * share {
            (0.0, 0.0)
        } else {
            let miss = (1.0 - alternative) / (1.0 - share);
            ((alternative / share).ln(), miss.ln())
        };
    }

    /// Whether there is an alarm, and the scale is not off.
    pub(super) fn is_alarming_relatively(&self) -> bool {
        self.alarming && self.hit > 0.0
    }

    /// Observes `count` hits or misses at `at`. A time before the live slice is taken as one in it.
    /// `pace` says how fast evidence fades.
    #[inline]
    pub(super) fn observe(&mut self, hit: bool, count: u32, at: Timestamp, pace: &Pace) {
        // Nearly all there is to observe are misses while nothing is wrong. They only take evidence
        // away.
        if !hit && self.drift == 0.0 && !self.alarming && at < self.live_ends {
            self.live += f64::from(count) * self.miss;
        } else {
            self.weigh(hit, count, at, pace);
        }
    }

    /// Takes back one miss that was observed at `missed`, as far as it is still known: from the
    /// live slice if it is there, where it is as if it had never been, and from the estimate if it
    /// is in that. A slice that has ended keeps it: the request then weighs less than a hit, and
    /// never more.
    pub(super) fn take_back_miss(&mut self, missed: Timestamp) {
        let live_from = self.live_ends.as_nanos().saturating_sub(self.slice);
        if self.started && missed.as_nanos() >= live_from {
            self.live -= self.miss;
        }
        if self.drift > 0.0 && missed >= self.since && self.observations > self.hits {
            self.drift -= self.miss;
            self.observations -= 1.0;
            self.choice.count(0.0, -1.0);
        }
    }

    #[inline(never)]
    fn weigh(&mut self, hit: bool, count: u32, at: Timestamp, pace: &Pace) {
        let count = f64::from(count);
        if hit {
            self.add(count, 0.0, at, pace);
        } else {
            self.add(0.0, count, at, pace);
        }
    }

    /// Observes so many hits and misses at `at`.
    pub(super) fn add(&mut self, hits: f64, misses: f64, at: Timestamp, pace: &Pace) {
        if at >= self.live_ends {
            self.turn(at, pace);
        }
        let ratio = hits * self.hit + misses * self.miss;
        self.live += ratio;
        if self.observations < FORGOTTEN {
            self.forget_change();
            self.since = at;
            if hits > 0.0 {
                self.choice.begin();
            }
        }
        self.drift += ratio;
        if self.drift > 0.0 {
            self.observations += hits + misses;
            self.hits += hits;
            self.choice.count(hits, misses);
        } else {
            self.forget_change();
        }
        let evidence = self.evidence();
        if evidence >= self.line {
            self.alarming = self.alarming || self.estimate().low >= self.rule.at_least;
        } else if evidence < self.line * ALARM_ENDS {
            self.alarming = false;
        }
    }

    const fn forget_change(&mut self) {
        (self.drift, self.observations, self.hits) = (0.0, 0.0, 0.0);
    }

    /// Ends the live slice, and lets what it leaves fade over the empty ones since then, in one
    /// step.
    #[cold]
    fn turn(&mut self, at: Timestamp, pace: &Pace) {
        let length = Duration::from_nanos(self.slice);
        if !self.started {
            self.started = true;
            self.live_ends = at + length;
            return;
        }
        let late = at.as_nanos().saturating_sub(self.live_ends.as_nanos());
        let empty = late / self.slice;
        let passed = self.slice.saturating_mul(empty.saturating_add(1));
        let left = if empty == 0 {
            1.0
        } else {
            pace.fading(passed - self.slice)
        };
        self.ended = shiryaev_roberts(self.ended, self.live.min(self.cap), left).min(self.line);
        self.live = 0.0;
        if self.drift > 0.0 {
            // What a change has come to follows what comes, while requests come too.
            let kept = pace.fading(passed);
            self.drift *= left;
            self.observations *= kept;
            self.hits *= kept;
        }
        self.live_ends = self.live_ends + Duration::from_nanos(passed);
    }

    /// Forgets all evidence.
    pub(super) fn reset(&mut self) {
        (self.ended, self.live) = (0.0, 0.0);
        self.forget_change();
        self.choice = Choice::default();
        (self.started, self.live_ends) = (false, Timestamp::ZERO);
        self.alarming = false;
    }

    /// The evidence in nats, as of the last observation.
    pub(super) fn evidence(&self) -> f64 {
        self.ended + self.live.min(self.cap)
    }

    /// The evidence from which on there is an alarm.
    pub(super) const fn line(&self) -> f64 {
        self.line
    }

    /// Whether the line was reached, and the evidence has not fallen to half of it since.
    pub(super) const fn is_alarming(&self) -> bool {
        self.alarming
    }

    /// Whether it has gathered nothing that speaks for a change.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.drift == 0.0
    }

    /// Where changes began before counts no longer: it is all over.
    pub(super) const fn begin_episode(&mut self) {
        self.choice.forget_starts();
    }

    /// Whether the share since the change is at least `least`, surely.
    pub(super) fn is_at_least(&self, least: f64) -> bool {
        self.choice.is_at_least(least)
    }

    /// The share since the change, at least.
    pub(super) fn low(&self) -> f64 {
        self.choice.low()
    }

    pub(super) fn estimate(&self) -> Estimate {
        let (low, high) = wilson::interval(self.hits, self.observations);
        Estimate {
            hits: self.hits,
            observations: self.observations,
            since: self.since,
            low,
            high,
        }
    }
}

/// What a hit and a miss add to the log-likelihood ratio where the share `normal` is normal: of
/// `alternative`, or of `times` what is normal where that is more.
pub(crate) fn log_ratios(alternative: f64, times: f64, normal: f64) -> (f64, f64) {
    let times = (times * normal).min(f64::midpoint(1.0, normal));
    let alternative = alternative.max(times);
    let miss = (1.0 - alternative) / (1.0 - normal);
    ((alternative / normal).ln(), miss.ln())
}

/// A step of the statistic of Shiryaev and Roberts, R = (1 + R) · exp(`ratio`), of which the part
/// `left` stays. What goes in and comes out is ln(1 + R).
pub(crate) fn shiryaev_roberts(evidence: f64, ratio: f64, left: f64) -> f64 {
    (left * (evidence + ratio).exp()).ln_1p()
}

/// The evidence from which on there is an alarm, of a run length and `detectors` that judge once a
/// slice each: ln(detectors · run length / slice).
pub(crate) fn line_of(run_length: Duration, slice: Duration, detectors: usize) -> f64 {
    let slices = run_length.as_secs_f64() / slice.as_secs_f64();
    (detectors.max(1) as f64 * slices).ln()
}

const fn nanos_of(slice: Duration) -> u64 {
    slice.as_nanos() as u64
}

/// An alarm is over when the evidence is this part of the line: an anomaly at the line is one
/// alarm, and not a hundred.
pub(crate) const ALARM_ENDS: f64 = 0.5;
/// An alternative that is no more than so many times the null is hardly another thing.
const HARDLY_MORE: f64 = 1.2;
/// Of fewer observations nothing is left to say.
const FORGOTTEN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn rule(at_least: f64) -> DetectorParams {
        DetectorParams {
            slice: Duration::from_millis(100),
            alternative: 0.5,
            times: 2.0,
            slices: 3.0,
            at_least,
        }
    }

    static SURE: DetectorParams = rule(0.7);
    static ANY: DetectorParams = rule(0.0);

    fn scale(rule: &'static DetectorParams) -> SequentialTest {
        let mut scale = SequentialTest::new(rule);
        scale.set_budget(Duration::from_secs(3600), 10);
        scale.set_normal(0.01);
        scale
    }

    proptest! {
        #[test]
        fn the_short_way_of_misses_comes_to_the_same(
            observations in prop::collection::vec((prop::bool::weighted(0.3), 0..4_u32, 0..60_u64), 0..300),
            sure in any::<bool>(),
        ) {
            let mut short = scale(if sure { &SURE } else { &ANY });
            let mut long = short.clone();
            let mut millis = 0;
            for (hit, count, later) in observations {
                millis += later;
                let at = Timestamp::from_millis(millis);
                short.observe(hit, count, at, &Pace::default());
                long.weigh(hit, count, at, &Pace::default());
                prop_assert_eq!(short.evidence(), long.evidence());
                prop_assert_eq!(short.is_alarming(), long.is_alarming());
                if short.drift > 0.0 {
                    prop_assert_eq!(short.estimate(), long.estimate());
                }
            }
        }
    }
}
