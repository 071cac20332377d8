//! Whether one endpoint of an upstream is worse than the others.
//!
//! This is the same sequential test as that of a route ([`SequentialTest`]), with another null
//! hypothesis. An endpoint is not compared with a learned normal share, but with what its peers
//! have just observed ([`Company::normal`]). So a fault of all endpoints is no evidence against any
//! of them. It is left to the breaker of the route.
//!
//! A scale is off while its alternative is hardly more than the normal share. An observation then
//! has the likelihood ratio 1, so that R − n stays a supermartingale. The null hypothesis is known
//! before the observation that it judges. So the budget of [`SequentialTest`] holds, for all
//! detectors of all endpoints of an upstream together. While no endpoint has a share of hits above
//! the normal share of its peers, the probability that any endpoint is ejected within t is at most
//! t / run length. There are two assumptions. Observations are independent, as everywhere. And the
//! share of the peers is not overestimated by chance. Therefore the normal share is one and a half
//! times the upper bound of that share.
//!
//! # Time without a request
//! After 1 min half of the evidence is left, and after 1 h and 3 d none, as for a route. Peers are
//! forgotten after 10 s. What was learned decays only when something new is learned.

use std::fmt;
use std::time::Duration;

use super::baseline::Bounds;
use super::pace::Pace;
use super::peers::{Company, Recent};
use super::sequential_test::{DetectorParams, SequentialTest};
use crate::policy::Signal;
use crate::ratio::Ratio;
use crate::time::Timestamp;

/// The detectors of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Relative {
    errors: SignalTest<{ ERRORS.len() }>,
    deadline: SignalTest<{ DEADLINE.len() }>,
}

/// What the endpoints of an upstream that are not ejected have in common.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    errors: Company,
    deadline: Company,
}

/// How an endpoint differs from its peers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The signal that differs: failures, or missed deadlines.
    pub signal: Signal,
    /// The share of hits since the change.
    pub share: Ratio,
    /// The lower bound of that share (Wilson, 95 %).
    pub low: Ratio,
    /// The upper bound of the normal share: one and a half times the share of the peers.
    pub normal: Ratio,
    /// The number of observations since the change.
    pub observations: u64,
    /// The time of the change.
    pub since: Timestamp,
    /// The evidence, in nats.
    pub evidence: f64,
    /// The evidence at which the endpoint is ejected.
    pub line: f64,
}

/// One signal of one endpoint.
#[derive(Clone, Debug)]
struct SignalTest<const SCALES: usize> {
    signal: Signal,
    scales: [SequentialTest; SCALES],
    pace: Pace,
    recent: Recent,
    normal: f64,
    /// Until this time, `normal` is accurate enough for misses. It is updated before each hit.
    fresh_until: Timestamp,
    alarming: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}, {} among the others at most (low bound {}, {} attempts, evidence {:.1} ≥ \
             {:.1})",
            self.share,
            self.signal.hits(),
            self.normal,
            self.low,
            self.observations,
            self.evidence,
            self.line,
        )
    }
}

/// The circumstances of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// The time of the observation.
    pub(crate) at: Timestamp,
    /// Whether all other endpoints are ejected.
    pub(crate) alone: bool,
    /// Whether nothing is wrong, so that the observation may be learned.
    pub(crate) learn: bool,
}

impl Relative {
    /// The detectors of one endpoint of an upstream that has `endpoints`.
    pub(crate) fn new(run_length: Duration, endpoints: usize) -> Self {
        let mut relative = Self {
            errors: SignalTest::new(Signal::Errors, &ERRORS),
            deadline: SignalTest::new(Signal::Deadline, &DEADLINE),
        };
        relative.set_budget(run_length, endpoints);
        relative
    }

    /// Shares the budget among all detectors of all `endpoints`.
    pub(crate) fn set_budget(&mut self, run_length: Duration, endpoints: usize) {
        let detectors = (ERRORS.len() + DEADLINE.len()).saturating_mul(endpoints);
        let errors = self.errors.scales.iter_mut();
        for scale in errors.chain(&mut self.deadline.scales) {
            scale.set_budget(run_length, detectors);
        }
    }

    /// A request has ended, or has been answered well so far.
    pub(crate) fn ended(&mut self, failed: bool, peers: &mut Peers, now: Circumstances) {
        self.errors.observe(failed, 1, &mut peers.errors, now);
    }

    /// A request failed. At `begun` it had been observed as no failure.
    pub(crate) fn failed_after(&mut self, begun: Timestamp, peers: &mut Peers, now: Circumstances) {
        self.errors.turn_into_hit(begun, &mut peers.errors, now);
    }

    /// `count` requests were answered within the deadline, or (if `late`) were not.
    pub(crate) fn took(&mut self, late: bool, count: u32, peers: &mut Peers, now: Circumstances) {
        self.deadline.observe(late, count, &mut peers.deadline, now);
    }

    /// Whether a failure that is about to be observed is more likely a fault of this endpoint than
    /// of all.
    pub(crate) fn is_own_failure(&mut self, peers: &mut Peers, now: Circumstances) -> bool {
        let family_size = &mut peers.errors;
        self.errors.settle_normal(family_size, now);
        let normal = self.errors.normal;
        family_size.is_alone(&mut self.errors.recent, normal, now.at)
    }

    /// How the endpoint is worse than its peers.
    pub(crate) fn alarm(&self) -> Option<Difference> {
        self.errors.alarm().or_else(|| self.deadline.alarm())
    }

    /// Whether [`Self::alarm`] returns a difference.
    pub(crate) const fn is_alarming(&self) -> bool {
        self.errors.alarming || self.deadline.alarming
    }

    /// The share of failures in the ten seconds before `now`, and the number of requests.
    pub(crate) fn failures(&self, now: Timestamp) -> (Ratio, u64) {
        let recent = self.errors.recent.of_ten_seconds(now);
        let observations = u64::from(recent.observations);
        (Ratio::of(recent.hits.into(), observations), observations)
    }

    /// The endpoint is ejected. It is no longer a peer, and keeps no evidence for its return.
    pub(crate) fn leave(&mut self, peers: &mut Peers) {
        self.errors.leave(&mut peers.errors);
        self.deadline.leave(&mut peers.deadline);
    }
}

impl Peers {
    pub(crate) fn new() -> Self {
        Self {
            errors: Company::new(NORMAL),
            deadline: Company::new(NORMAL),
        }
    }

    /// Drops the waiting observations: something is wrong, and they must not be learned.
    pub(crate) fn drop_waiting(&mut self) {
        self.errors.baseline.drop_waiting();
        self.deadline.baseline.drop_waiting();
    }
}

impl<const SCALES: usize> SignalTest<SCALES> {
    fn new(signal: Signal, rules: &'static [DetectorParams; SCALES]) -> Self {
        Self {
            signal,
            scales: rules.each_ref().map(SequentialTest::new),
            pace: Pace::default(),
            recent: Recent::default(),
            normal: 0.0,
            fresh_until: Timestamp::ZERO,
            alarming: false,
        }
    }

    fn observe(&mut self, hit: bool, count: u32, family_size: &mut Company, now: Circumstances) {
        let at = now.at;
        // A hit is judged by what is known before it. Misses are many, so `normal` is updated for
        // them only now and then.
        if hit || at >= self.fresh_until {
            self.settle_normal(family_size, now);
        }
        family_size.all.add(hit, count, at);
        self.recent.add(hit, count, at);
        if now.learn {
            family_size.baseline.learn(hit, count, at);
        }
        for scale in &mut self.scales {
            scale.observe(hit, count, at, &self.pace);
        }
        self.end_observation(at);
    }

    #[cold]
    fn turn_into_hit(&mut self, missed: Timestamp, family_size: &mut Company, now: Circumstances) {
        let at = now.at;
        self.settle_normal(family_size, now);
        family_size.all.turn_into_hit(missed, at);
        self.recent.turn_into_hit(missed, at);
        if now.learn {
            family_size.baseline.turn_into_hit(at);
        }
        for scale in &mut self.scales {
            scale.take_back_miss(missed);
            scale.observe(true, 1, at, &self.pace);
        }
        self.end_observation(at);
    }

    #[inline]
    fn end_observation(&mut self, at: Timestamp) {
        if self.pace.turns(at) {
            self.pace.turn(at);
        }
        self.alarming = self
            .scales
            .iter()
            .any(SequentialTest::is_alarming_relatively);
    }

    fn settle_normal(&mut self, family_size: &mut Company, now: Circumstances) {
        self.fresh_until = now.at + FRESH;
        let normal = if now.alone {
            ALONE
        } else {
            family_size.normal(&mut self.recent, now.at)
        };
        // Most of the cost is that of the logarithms.
        if (normal - self.normal).abs() > NEAR * self.normal {
            self.normal = normal;
            for scale in &mut self.scales {
                scale.set_null(normal);
            }
        }
    }

    fn alarm(&self) -> Option<Difference> {
        let alarming = self
            .scales
            .iter()
            .filter(|scale| scale.is_alarming_relatively());
        let scale = alarming.max_by(|a, b| a.evidence().total_cmp(&b.evidence()))?;
        let estimate = scale.estimate();
        let ratio = |share| Ratio::new(share).unwrap_or(Ratio::ONE);
        Some(Difference {
            signal: self.signal,
            share: ratio(estimate.hits / estimate.observations.max(1e-9)),
            low: ratio(estimate.low),
            normal: ratio(self.normal),
            observations: estimate.observations.round() as u64,
            since: estimate.since,
            evidence: scale.evidence(),
            line: scale.line(),
        })
    }

    fn leave(&mut self, family_size: &mut Company) {
        family_size.all.remove(&mut self.recent);
        self.recent = Recent::default();
        for scale in &mut self.scales {
            scale.reset();
        }
        self.fresh_until = Timestamp::ZERO;
        self.alarming = false;
    }
}

const fn rule(millis: u64, alternative: f64, slices: f64, at_least: f64) -> DetectorParams {
    DetectorParams {
        slice: Duration::from_millis(millis),
        alternative,
        times: 1.0,
        slices,
        at_least,
    }
}

/// The scales of a route, but with shorter slices, and a lower `at_least` for the finest scale. A
/// short fault of all endpoints is no evidence here, and ejecting an endpoint for seconds costs
/// nothing.
static ERRORS: [DetectorParams; 4] = [
    rule(100, 0.9, 3.0, 0.5),
    rule(500, 0.5, 3.0, 0.0),
    rule(1000, 0.2, 3.0, 0.0),
    rule(2500, 0.06, 3.0, 0.0),
];
static DEADLINE: [DetectorParams; 3] = [
    rule(1000, 0.9, 4.0, 0.0),
    rule(2000, 0.5, 4.0, 0.0),
    rule(5000, 0.2, 4.0, 0.0),
];

/// The bounds for both signals. A share that is usual for all endpoints is normal for each, however
/// bad it is: it is left to the breaker of the route.
const NORMAL: Bounds = Bounds {
    floor: 0.01,
    cap: 0.95,
};
/// The normal share of an endpoint without peers. It is judged only to decide whether the ejected
/// endpoints might be better, so it must fail nearly all the time.
const ALONE: f64 = 0.5;
const FRESH: Duration = Duration::from_millis(100);
/// A relative difference below this counts as none.
const NEAR: f64 = 0.02;
