//! Where the state goes: every change of it is here.

use std::sync::Arc;
use std::time::Duration;

use super::aimd::{Aimd, Progress};
use super::trial::{SEQUENTIAL_PROBES, Trial, opens_at};
use super::{Breaker, Finding, Phase, Probing, Ramp};
use crate::detector::interval;
use crate::event::{Event, Reason, Transition};
use crate::policy::{HalfOpen, Policy, Recovery};
use crate::ratio::Ratio;
use crate::snapshot::TransitionCount;
use crate::source::{SourceId, find};
use crate::state::{Mode, State};
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trace::TraceId;

impl Breaker {
    /// Lets time pass: what was due by `now` happens. Returns the time it is, which is never before the time it was.
    #[inline]
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        let now = self.now.max(now);
        self.now = now;
        let phase_is_due = match self.phase {
            Phase::Closed { .. } => false,
            Phase::Open { until, .. } => until.is_some_and(|until| until <= now),
            Phase::Probing(_) | Phase::Ramp(_) | Phase::Aimd(_) => true,
        };
        if phase_is_due
            || self.mode_until.is_some()
            || self.shedding.is_some()
            || self.alerts_due.is_some()
        {
            self.do_what_is_due(now);
        }
        now
    }

    #[inline(never)]
    fn do_what_is_due(&mut self, now: Timestamp) {
        self.end_mode(now);
        self.judge_shedding(now);
        if self.alerts_due.is_some_and(|due| due <= now) {
            self.end_alerts(now);
        }
        match &mut self.phase {
            Phase::Closed { .. } => {}
            Phase::Open {
                until: Some(until),
                open_for,
            } if *until <= now => {
                let open_for = *open_for;
                self.probe(Reason::OpenElapsed { open_for }, now);
            }
            Phase::Open { .. } => {}
            Phase::Aimd(ramp) => {
                if ramp.is_clean() && self.waiting == 0 && self.trial_quiet_at() <= now {
                    // Nothing goes on that a limit could be for.
                    self.shedding = None;
                    self.end_aimd(now);
                }
            }
            Phase::Probing(probing) => {
                probing.expire(now);
                self.judge_probes(now);
            }
            Phase::Ramp(ramp) => {
                if ramp.ends_at(&self.policy.ramp()) <= now {
                    self.end_ramp(now);
                }
            }
        }
    }

    /// Opens on a trip entry that holds on `source`. `latency_bound` is the bound of its condition on latency, if it has one.
    pub(super) fn trip(
        &mut self,
        source: SourceId,
        reason: Reason,
        latency_bound: Option<Duration>,
        now: Timestamp,
    ) {
        self.tripped_by = Some(source);
        self.tripped_latency = latency_bound;
        self.reopen(reason, now);
    }

    /// Opens because the upstream asked for it: for the time it asked for, not less.
    pub(super) fn leave_alone(&mut self, asked: Duration, now: Timestamp) {
        if self.mode == Mode::ForcedClosed {
            return;
        }
        (self.tripped_by, self.tripped_latency) = (Some(SourceId::PROXY), None);
        let open_for = asked.min(self.policy.open().max);
        self.open(open_for, Reason::RetryAfter { asked }, now);
    }

    /// The policy that a source is tried on.
    fn policy_of(&self, id: SourceId) -> &Policy {
        let source = self.sources.iter().find(|source| source.id == id);
        let own = source.and_then(|source| source.policy.as_ref());
        own.unwrap_or(&self.policy)
    }

    /// The share of failures of a source that is usual; 0 where that is not known.
    fn usual_errors(&self, id: SourceId) -> f64 {
        let source = self.sources.iter().find(|source| source.id == id);
        let detectors = source.and_then(|source| source.detectors.as_ref());
        detectors.map_or(0.0, |detectors| detectors.usual_errors())
    }

    /// Decides on the trial, if the probes and the feeds have shown enough.
    pub(super) fn judge_probes(&mut self, now: Timestamp) {
        let Phase::Probing(probing) = &self.phase else {
            return;
        };
        let (succeeded, failed) = (probing.succeeded(), probing.failed());
        let abandoned = probing.abandoned();
        match (self.finding_of_probes(probing), self.judge_feeds(now)) {
            (Finding::Bad, _) => {
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
            (Finding::Good, Ok(Finding::Good))
                if self.policy.recovery() == Recovery::Sequential =>
            {
                self.begin_aimd(succeeded, failed, now);
            }
            (Finding::Good, Ok(Finding::Good)) => {
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
    pub(super) fn finding_of_probes(&self, probing: &Probing) -> Finding {
        if self.telemetry_only {
            Finding::Good
        } else {
            match self.policy.recovery() {
                Recovery::Counted => probing.finding(&self.policy.half_open()),
                Recovery::Sequential => {
                    let tally = probing.tally();
                    let quiet =
                        probing.next_expiry().is_none() && self.trial_quiet_at() <= self.now;
                    self.trial(SourceId::PROXY).finding(tally, quiet)
                }
            }
        }
    }

    /// The rules of the trial. A service that is slow by nature gets the time for its probes that it takes.
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

    /// From when on the silence of a trial that has shown nothing bad counts as health: time goes by for a service as requests do.
    fn trial_quiet_at(&self) -> Timestamp {
        let proxy = &self.sources[SourceId::PROXY.0];
        let last = proxy.last_judged.unwrap_or_default().max(self.since);
        let own = (!self.telemetry_only).then_some(last + QUIET);
        let feeds = self.judging_feeds().map(|feed| self.quiet_end(feed));
        let quiet = own.into_iter().chain(feeds).max();
        quiet.unwrap_or(last + QUIET)
    }

    /// When the trial of a sequential recovery goes on or ends for silence, if nothing happens before.
    pub(super) fn trial_ends(&self) -> Option<Timestamp> {
        let goes_well = match &self.phase {
            Phase::Probing(probing) => {
                let tally = probing.tally();
                self.policy.recovery() == Recovery::Sequential
                    && !self.telemetry_only
                    && tally.succeeded > 0
                    && probing.next_expiry().is_none()
                    && self.trial(SourceId::PROXY).finding(tally, true) == Finding::Good
            }
            Phase::Aimd(ramp) => ramp.is_clean() && self.waiting == 0,
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
        let ramp = Aimd::new(self.policy.ramp().start, probes, usual, line, now);
        self.enter_phase(Phase::Aimd(Box::new(ramp)), now);
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
        let Phase::Aimd(ramp) = &mut self.phase else {
            return;
        };
        let progress = ramp.judge(now);
        // The proxy's own requests may go well where the dependency that a feed tells of does not.
        if let Some(unhealthy) = self.failing_feed(now) {
            self.reopen(unhealthy, now);
            return;
        }
        match progress {
            Progress::GoesOn => {}
            // A feed tells late: what it says of the ramp is waited for.
            Progress::Done if self.waits_for_feed(now) => {}
            Progress::Done => self.end_aimd(now),
            Progress::Failed(slice) => {
                let reason = Reason::RampFailed {
                    succeeded: slice.success(),
                    samples: slice.samples(),
                    needed: Aimd::needed(),
                };
                self.reopen(reason, now);
            }
        }
    }

    fn end_aimd(&mut self, now: Timestamp) {
        let Phase::Aimd(ramp) = &self.phase else {
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

    fn end_ramp(&mut self, now: Timestamp) {
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

    /// Begins the back-off anew after a full window of healthy traffic since closing. Silence is not health.
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

    /// Opens for the next back-off. A trip before a recovery has shown its health is one more failed recovery.
    fn reopen(&mut self, reason: Reason, now: Timestamp) {
        if self.mode == Mode::ForcedClosed {
            return;
        }
        let recovered =
            matches!(self.phase, Phase::Closed { recovering: None }) || self.has_held(now);
        self.failed_recoveries = if recovered {
            0
        } else {
            self.failed_recoveries.saturating_add(1)
        };
        let open = self.policy.open();
        let open_for = match self.policy.recovery() {
            Recovery::Counted => open.backed_off(self.failed_recoveries),
            Recovery::Sequential => {
                open.for_traffic(self.arrivals.get(now), self.failed_recoveries)
            }
        };
        let open_for = open.jittered(open_for, &mut self.rng);
        self.open(open_for, reason, now);
    }

    /// Whether a sequential recovery has lasted long enough for the next trip to be the first of another incident.
    fn has_held(&self, now: Timestamp) -> bool {
        self.policy.recovery() == Recovery::Sequential
            && matches!(self.phase, Phase::Closed { .. })
            && now.saturating_since(self.since) >= HELD
    }

    fn open(&mut self, open_for: Duration, reason: Reason, now: Timestamp) {
        let until = Some(now + open_for);
        self.enter(Phase::Open { until, open_for }, reason, now);
    }

    /// Begins the trial.
    pub(super) fn probe(&mut self, reason: Reason, now: Timestamp) {
        self.enter(Phase::Probing(Probing::new()), reason, now);
        self.forget_observations(now);
    }

    pub(super) fn close(&mut self, recovering: Option<Tally>, reason: Reason, now: Timestamp) {
        self.enter(Phase::Closed { recovering }, reason, now);
        self.unlimit_ramp(now);
        self.tripped = None;
    }

    /// Changes the state and tells it. When the state stays what it is, only the phase changes.
    pub(super) fn enter(&mut self, phase: Phase, reason: Reason, now: Timestamp) {
        let from = self.state();
        self.enter_phase(phase, now);
        let to = self.state();
        self.reason = Arc::new(reason);
        if to == State::Open && self.is_another_trip() {
            (self.tripped, self.tripped_at) = (Some(self.reason.clone()), now);
        }
        if from == to {
            return;
        }
        let lasted = now.saturating_since(std::mem::replace(&mut self.since, now));
        self.count_transition(from, to);
        let traces = self.suspects(now);
        self.events.push_back(Event::Transition(Transition {
            at: now,
            from,
            to,
            reason: self.reason.clone(),
            lasted,
            open_for: match self.phase {
                Phase::Open {
                    until: Some(_),
                    open_for,
                } => Some(open_for),
                _ => None,
            },
            traces,
        }));
    }

    /// Whether the reason is that of another incident. What a trial or its ramp runs into is still the first, whose numbers are kept.
    fn is_another_trip(&self) -> bool {
        match *self.reason {
            Reason::Forced(_) => true,
            _ => self.tripped.is_none() && !self.reason.is_of_trial(),
        }
    }

    /// The traces behind a trip that has just happened.
    fn suspects(&mut self, now: Timestamp) -> Vec<TraceId> {
        match (&*self.reason, self.tripped_by) {
            (Reason::Tripped { .. }, Some(source)) => {
                find(&mut self.sources, source).map_or_else(Vec::new, |source| source.suspects(now))
            }
            _ => Vec::new(),
        }
    }

    /// Every permit that is out belongs to an earlier epoch from now on.
    fn enter_phase(&mut self, phase: Phase, now: Timestamp) {
        if matches!(phase, Phase::Open { .. } | Phase::Probing(_)) {
            self.stop_shedding(now);
            self.clear_alerts(now);
        }
        if let Some(shedding) = &mut self.shedding {
            shedding.restart(now);
        }
        self.phase = phase;
        self.epoch += 1;
        self.waiting = 0;
        self.answers.let_go();
        self.in_flight.clear();
        self.next_ageing = None;
    }

    fn forget_observations(&mut self, now: Timestamp) {
        for source in &mut self.sources {
            source.forget(now);
        }
    }

    fn count_transition(&mut self, from: State, to: State) {
        let reason = self.reason.label();
        let known = self
            .transitions
            .iter_mut()
            .find(|known| (known.from, known.to, known.reason) == (from, to, reason));
        match known {
            Some(known) => known.count += 1,
            None => self.transitions.push(TransitionCount {
                from,
                to,
                reason,
                count: 1,
            }),
        }
    }
}

/// How long a breaker must stay closed after a sequential recovery for its back-off to begin anew.
const HELD: Duration = Duration::from_secs(60);
/// So long a trial must have been silent, after it had shown nothing bad, to count as health.
const QUIET: Duration = Duration::from_secs(5);
/// How many times longer a probe may take where most good answers miss the deadline.
const SLOW_PROBE: u32 = 10;
/// A share of failures that is not worth telling.
const NO_NEWS: f64 = 0.02;
/// Arrivals a second below which a sequential recovery has no ramp.
const LEAST_RATE: f64 = 2.0;
