//! How a trial is judged: the probes, the ramp after them, and the health that is still owed once
//! closed.

use super::{Breaker, Phase, Probing, Ramp, TrialResult};
use crate::adaptive_ramp::{AdaptiveRamp, RampStep};
use crate::detector::interval;
use crate::event::{Event, Reason};
use crate::policy::{HalfOpen, Policy, Recovery};
use crate::ratio::Ratio;
use crate::source::SourceId;
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trial::{LEAST_RATE, QUIET, SEQUENTIAL_PROBES, Trial, opens_at};

impl Breaker {
    /// The policy that a source is tried on.
    pub(super) fn policy_of(&self, id: SourceId) -> &Policy {
        let source = self.sources.iter().find(|source| source.id == id);
        let own = source.and_then(|source| source.policy.as_ref());
        own.unwrap_or(&self.policy)
    }

    /// The share of failures of a source that is usual; 0 where that is not known.
    pub(super) fn usual_errors(&self, id: SourceId) -> f64 {
        let source = self.sources.iter().find(|source| source.id == id);
        let detectors = source.and_then(|source| source.detectors.as_ref());
        detectors.map_or(0.0, |detectors| detectors.usual_errors())
    }

    /// Decides on the trial, if the probes and the feeds have shown enough.
    pub(super) fn judge_probes(&mut self, now: Timestamp) {
        let Phase::Probing(probing) = &self.phase else {
            return;
        };
        if self.is_led() {
            // They are judged together with those of the other probers.
            return;
        }
        let (succeeded, failed) = (probing.succeeded(), probing.failed());
        let abandoned = probing.abandoned();
        match (self.finding_of_probes(probing), self.judge_feeds(now)) {
            (TrialResult::Bad, _) => {
                let reason = Reason::ProbesFailed {
                    succeeded,
                    failed,
                    abandoned,
                    needed: match self.policy.recovery() {
                        Recovery::Counted => self.policy.half_open().needed(),
                        Recovery::Sequential => SEQUENTIAL_PROBES,
                    },
                };
                self.reopen(reason, now);
            }
            (_, Err(unhealthy)) => self.reopen(unhealthy, now),
            (TrialResult::Good, Ok(TrialResult::Good))
                if self.policy.recovery() == Recovery::Sequential =>
            {
                self.begin_aimd(succeeded, failed, now);
            }
            (TrialResult::Good, Ok(TrialResult::Good)) => {
                self.enter_phase(Phase::Ramp(Ramp::new(now)), now);
                self.forget_observations(now);
                self.events
                    .push_back(Event::RampStarted { at: now, succeeded });
                if self.policy.ramp().period.is_zero() {
                    self.end_ramp(now);
                }
            }
            _ => {}
        }
    }

    /// What the probes have shown, where there are any.
    pub(super) fn finding_of_probes(&self, probing: &Probing) -> TrialResult {
        if self.telemetry_only {
            TrialResult::Good
        } else {
            match self.policy.recovery() {
                Recovery::Counted => probing.finding(&self.policy.half_open()),
                Recovery::Sequential => {
                    let tally = probing.tally();
                    let quiet = probing.is_quiet() && self.trial_quiet_at() <= self.now;
                    self.trial(SourceId::PROXY).finding(tally, quiet)
                }
            }
        }
    }

    /// The rules of the trial. A service that is slow by nature gets the time for its probes that
    /// it takes.
    pub(super) fn trial_rules(&self) -> HalfOpen {
        let mut rules = self.policy.half_open();
        if self.is_slow_by_nature() {
            rules.probe_timeout *= SLOW_PROBE;
        }
        rules
    }

    /// The test of a sequential recovery, by a source.
    pub(super) fn trial(&self, id: SourceId) -> Trial {
        let usual = self.usual_errors(id);
        Trial::new(usual, opens_at(self.policy_of(id), usual))
    }

    /// From when on the silence of a trial that has shown nothing bad counts as health: time goes
    /// by for a service as requests do.
    pub(super) fn trial_quiet_at(&self) -> Timestamp {
        let proxy = &self.sources[SourceId::PROXY.0];
        let last = proxy.last_judged.unwrap_or_default().max(self.since);
        let own = (!self.telemetry_only).then_some(last + QUIET);
        let feeds = self.judging_feeds().map(|feed| self.quiet_end(feed));
        let quiet = own.into_iter().chain(feeds).max();
        quiet.unwrap_or(last + QUIET)
    }

    /// When the trial of a sequential recovery goes on or ends for silence, if nothing happens
    /// before.
    pub(super) fn trial_ends(&self) -> Option<Timestamp> {
        let goes_well = match &self.phase {
            Phase::Probing(probing) => {
                let tally = probing.tally();
                self.policy.recovery() == Recovery::Sequential
                    && !self.telemetry_only
                    && tally.succeeded > 0
                    && probing.is_quiet()
                    && self.trial(SourceId::PROXY).finding(tally, true) == TrialResult::Good
            }
            Phase::AdaptiveRamp(ramp) => ramp.is_clean() && self.waiting == 0,
            _ => false,
        };
        let ends = goes_well.then(|| self.trial_quiet_at());
        // What has passed already waits for something else.
        ends.filter(|ends| *ends > self.now)
    }

    /// Goes back to open if too many requests of the ramp fail, though no trip entry holds.
    pub(super) fn judge_ramp(&mut self, now: Timestamp) {
        let enough = self.policy.half_open().probes;
        if let Some(reason) = self.ramp_shortfall(enough.into()) {
            self.reopen(reason, now);
        }
    }

    /// Begins the ramp of a sequential recovery; with few requests there is nothing to ramp.
    fn begin_aimd(&mut self, succeeded: u32, failed: u32, now: Timestamp) {
        let rate = self.arrivals.get(now);
        let judge = self.tripped_by.unwrap_or(SourceId::PROXY);
        let usual = self.usual_errors(judge);
        let line = opens_at(self.policy_of(judge), usual);
        let probes = Tally {
            succeeded: succeeded.into(),
            failed: failed.into(),
        };
        let ramp = AdaptiveRamp::new(self.policy.ramp().start, probes, usual, line, now);
        self.enter_phase(Phase::AdaptiveRamp(Box::new(ramp)), now);
        self.forget_observations(now);
        self.events
            .push_back(Event::RampStarted { at: now, succeeded });
        if rate < LEAST_RATE {
            self.end_aimd(now);
        } else {
            self.limit_ramp(now);
        }
    }

    /// Lets the ramp of a sequential recovery follow what its requests have shown.
    pub(super) fn judge_aimd(&mut self, now: Timestamp) {
        let Phase::AdaptiveRamp(ramp) = &mut self.phase else {
            return;
        };
        let progress = ramp.judge(now);
        // The proxy's own requests may go well where the dependency that a feed tells of does not.
        if let Some(unhealthy) = self.failing_feed(now) {
            self.reopen(unhealthy, now);
            return;
        }
        match progress {
            RampStep::GoesOn => {}
            // A feed tells late: what it says of the ramp is waited for.
            RampStep::Done if self.waits_for_feed(now) => {}
            RampStep::Done => self.end_aimd(now),
            RampStep::Failed(slice) => {
                let reason = Reason::RampFailed {
                    succeeded: slice.success(),
                    samples: slice.samples(),
                    needed: AdaptiveRamp::needed(),
                };
                self.reopen(reason, now);
            }
        }
    }

    pub(super) fn end_aimd(&mut self, now: Timestamp) {
        let Phase::AdaptiveRamp(ramp) = &self.phase else {
            return;
        };
        let total = ramp.total();
        let Tally { succeeded, failed } = total;
        let usual = ramp.usual();
        let (low, _) = interval(failed as f64, total.samples() as f64);
        let reason = Reason::RampCompleted { succeeded, failed };
        self.close(Some(Tally::default()), reason, now);
        if low > usual.max(NO_NEWS) {
            self.events.push_back(Event::ClosedWithErrors {
                at: now,
                share: Ratio::of(failed, total.samples()),
                usual: Ratio::new(usual).unwrap_or(Ratio::ONE),
                samples: total.samples(),
            });
        }
    }

    pub(super) fn end_ramp(&mut self, now: Timestamp) {
        let Phase::Ramp(ramp) = &self.phase else {
            return;
        };
        let Tally { succeeded, failed } = ramp.tally();
        match self.ramp_shortfall(1) {
            Some(reason) => self.reopen(reason, now),
            None => {
                let reason = Reason::RampCompleted { succeeded, failed };
                self.close(Some(Tally::default()), reason, now);
            }
        }
    }

    /// Why the ramp has failed, by at least so many requests.
    fn ramp_shortfall(&self, at_least: u64) -> Option<Reason> {
        let Phase::Ramp(ramp) = &self.phase else {
            return None;
        };
        let rules = self.policy.half_open();
        let failed = ramp
            .shortfall(&rules, at_least)
            .map(|(succeeded, samples)| Reason::RampFailed {
                succeeded,
                samples,
                needed: rules.success,
            });
        failed.or_else(|| self.feed_shortfall(at_least))
    }

    /// Begins the back-off anew after a full window of healthy traffic since closing. Silence is
    /// not health.
    pub(super) fn judge_health(&mut self, now: Timestamp) {
        let held = self.has_held(now);
        let Phase::Closed { recovering } = &mut self.phase else {
            return;
        };
        if held {
            *recovering = None;
            self.failed_recoveries = 0;
        }
        let Some(tally) = *recovering else {
            return;
        };
        let healthy = tally.success() >= self.policy.half_open().success;
        let full_window = now.saturating_since(self.since) >= self.policy.window();
        if healthy && full_window && tally.succeeded >= self.policy.min_requests() {
            *recovering = None;
            self.failed_recoveries = 0;
        }
    }
}

/// How many times longer a probe may take where most good answers miss the deadline.
const SLOW_PROBE: u32 = 10;
/// A share of failures that is not worth telling.
const NO_NEWS: f64 = 0.02;
