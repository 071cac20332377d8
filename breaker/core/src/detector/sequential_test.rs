//! One detector: the evidence that the share of hits is now about its alternative, and no longer
//! the normal share.
//!
//! The evidence is a Shiryaev–Roberts statistic over slices of time. In a slice, the log-likelihood
//! ratios of its observations are added up. At the end of the slice,
//! `R = (1 + R) · exp(min(sum, cap))`. A slice without an observation changes nothing. Because of
//! the cap, the detector waits through short blips: an alarm needs at least `line / cap` slices.
//!
//! # The budget, and why silence keeps it
//! Number the slices that have an observation. Let `L` be the likelihood ratio of one of them, and
//! `F` what is known before it. While hits have at most the normal share, `E[L | F] ≤ 1`. It is
//! equal to 1 at the normal share, and less below it, because the ratio rises with each hit (Shin,
//! Ramdas, Rinaldo, arXiv 2203.03532, on e-detectors for composite hypotheses). Capping only lowers
//! `L`.
//!
//! Over a gap of k empty slices, R is multiplied by `f = 2^(−k · slice / half-life)`, in one step.
//! `f ≤ 1`, and it is known when the next slice begins. It depends only on the times of arrivals,
//! which are independent of the outcomes. The half-life depends on the gaps before this one
//! ([`Pace`](super::pace::Pace)). So with n slices observed,
//!
//! `E[R after | F] = f · (1 + R) · E[L | F] ≤ 1 + R`,
//!
//! and R − n is a supermartingale that begins at 0, as it is without decay (Pollak, Ann. Stat. 13
//! (1985) 206; Shiryaev 1963; Roberts 1966). Hence
//! `P(R reaches exp(line) within n slices) ≤ n · exp(−line)` (Doob). A time t has at most t / slice
//! slices with an observation. So with `line = ln(detectors · run length / slice)`, the probability
//! of a false alarm of any detector within t is at most t / run length (union bound). Silence only
//! makes n smaller: a night is no evidence, and uses nothing of the budget. R is not raised above
//! the line; before the alarm, this changes nothing.
//!
//! The bound does not cover two cases. Outcomes may depend on each other (a real blip); the cap is
//! for this case. And the learned normal share may be wrong.
//!
//! # Time without a request
//! After k half-lives, `2^−k` of R is left, and as much of the counts of the estimate. The
//! half-life is a minute or ten usual gaps between requests, whichever is longer, and at most an
//! hour. At a few requests a second, half is left after 1 min, and nothing after 1 h and 3 d. At
//! one request every 5 min, nearly all is left after 1 min, 40 % after 1 h, and nothing after 3 d.
//!
//! In parallel, a CUSUM of the same ratios (Page 1954) estimates when the share of hits changed,
//! and what it has been since then.

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
    /// The share of hits that the scale detects soonest. It is at least `times` the normal share.
    pub(super) alternative: f64,
    pub(super) times: f64,
    /// The least number of slices that an alarm takes.
    pub(super) slices: f64,
    /// There is no alarm while the lower bound of the estimated share is below this.
    pub(super) at_least: f64,
}

#[derive(Clone, Debug)]
pub(super) struct SequentialTest {
    rule: &'static DetectorParams,
    slice: u64,
    /// The alarm threshold of the evidence, in nats.
    line: f64,
    /// The most evidence that one slice can add.
    cap: f64,
    /// The log-likelihood ratios of a hit and of a miss. That of a miss is negative.
    hit: f64,
    miss: f64,
    /// `ln(1 + R)` of the slices that have ended, as of the beginning of the live slice. It is at
    /// most the line, so that the end of a long anomaly does not take as long as the anomaly.
    ended: f64,
    /// The sum over the live slice, and the end of the live slice. No slice is live before the
    /// first observation.
    live: f64,
    live_ends: Timestamp,
    started: bool,
    /// The CUSUM, and the counts since it was zero. The counts decay, so that the estimate follows
    /// the latest observations while a change lasts.
    drift: f64,
    since: Timestamp,
    observations: f64,
    hits: f64,
    choice: Choice,
    /// Whether there was an alarm at the last observation. Silence does not change this. The next
    /// observation decides again, by the evidence that has decayed until then.
    alarming: bool,
}

/// What a scale has observed since the change of the share of hits.
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

    /// Sets the line for `run_length`, if the budget is shared by `detectors`.
    pub(super) fn set_budget(&mut self, run_length: Duration, detectors: usize) {
        self.line = line_of(run_length, self.rule.slice, detectors);
        self.cap = self.line / self.rule.slices;
        self.ended = self.ended.min(self.line);
    }

    /// Sets the normal share of hits. The scale then looks for at least `times` this share: where
    /// 10 % are usual, 6 % are no anomaly.
    pub(super) fn set_normal(&mut self, share: f64) {
        (self.hit, self.miss) = log_ratios(self.rule.alternative, self.rule.times, share);
    }

    /// Sets the share of hits up to which nothing is wrong, if it is known from another source. The
    /// scale looks for the alternative of its rule. While the alternative is hardly more than
    /// `share`, the scale is off, and its observations are no evidence.
    pub(super) fn set_null(&mut self, share: f64) {
        let alternative = self.rule.alternative;
        (self.hit, self.miss) = if alternative <= HARDLY_MORE * share {
            (0.0, 0.0)
        } else {
            let miss = (1.0 - alternative) / (1.0 - share);
            ((alternative / share).ln(), miss.ln())
        };
    }

    /// Whether there is an alarm and the scale is not off.
    pub(super) fn is_alarming_relatively(&self) -> bool {
        self.alarming && self.hit > 0.0
    }

    /// Observes `count` hits or misses at `at`. A time before the live slice counts as within it.
    /// `pace` defines the decay of the evidence.
    #[inline]
    pub(super) fn observe(&mut self, hit: bool, count: u32, at: Timestamp, pace: &Pace) {
        // In health, nearly all observations are misses, which only reduce the evidence.
        if !hit && self.drift == 0.0 && !self.alarming && at < self.live_ends {
            self.live += f64::from(count) * self.miss;
        } else {
            self.weigh(hit, count, at, pace);
        }
    }

    /// Takes back one miss that was observed at `missed`, if it is still known. In the live slice
    /// and in the estimate, it is as if the miss had never been. A slice that has ended keeps the
    /// miss. The request then has less weight than a hit, and never more.
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

    /// Observes `hits` and `misses` at `at`.
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

    /// Ends the live slice. The evidence decays over the empty slices since then, in one step.
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
            // The estimate follows the latest observations, also while requests arrive without
            // gaps.
            let kept = pace.fading(passed);
            self.drift *= left;
            self.observations *= kept;
            self.hits *= kept;
        }
        self.live_ends = self.live_ends + Duration::from_nanos(passed);
    }

    /// Discards all evidence.
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

    /// The alarm threshold of the evidence.
    pub(super) const fn line(&self) -> f64 {
        self.line
    }

    /// Whether the evidence has reached the line, and has not fallen to half of it since.
    pub(super) const fn is_alarming(&self) -> bool {
        self.alarming
    }

    /// Whether there is no evidence of a change.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.drift == 0.0
    }

    /// Begins an episode: the starts of earlier changes no longer count.
    pub(super) const fn begin_episode(&mut self) {
        self.choice.forget_starts();
    }

    /// Whether the lower bound of the share since the change is `least` or more.
    pub(super) fn is_at_least(&self, least: f64) -> bool {
        self.choice.is_at_least(least)
    }

    /// The lower bound of the share since the change.
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

/// The log-likelihood ratios of a hit and of a miss if `normal` is the normal share. The
/// alternative is `alternative` or `times` the normal share, whichever is more.
pub(crate) fn log_ratios(alternative: f64, times: f64, normal: f64) -> (f64, f64) {
    let times = (times * normal).min(f64::midpoint(1.0, normal));
    let alternative = alternative.max(times);
    let miss = (1.0 - alternative) / (1.0 - normal);
    ((alternative / normal).ln(), miss.ln())
}

/// A step of the Shiryaev–Roberts statistic, R = (1 + R) · exp(`ratio`), of which the part `left`
/// remains after decay. Both `evidence` and the result are ln(1 + R).
pub(crate) fn shiryaev_roberts(evidence: f64, ratio: f64, left: f64) -> f64 {
    (left * (evidence + ratio).exp()).ln_1p()
}

/// The alarm threshold for `run_length`, if each of `detectors` judges once a slice: ln(detectors ·
/// run length / slice).
pub(crate) fn line_of(run_length: Duration, slice: Duration, detectors: usize) -> f64 {
    let slices = run_length.as_secs_f64() / slice.as_secs_f64();
    (detectors.max(1) as f64 * slices).ln()
}

const fn nanos_of(slice: Duration) -> u64 {
    slice.as_nanos() as u64
}

/// An alarm ends when the evidence has fallen to this part of the line. So an anomaly near the line
/// is one alarm and not a hundred.
pub(crate) const ALARM_ENDS: f64 = 0.5;
/// If the alternative is at most this many times the null hypothesis, the two can hardly be
/// distinguished.
const HARDLY_MORE: f64 = 1.2;
/// With fewer observations than this, nothing is known of a change.
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
