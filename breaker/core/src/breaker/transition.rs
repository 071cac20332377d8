//! Where the state goes: every change of it is here.

use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, Finding, Phase, Probing, Ramp, Recovering};
use crate::event::{Event, Reason, Transition};
use crate::ratio::Ratio;
use crate::snapshot::TransitionCount;
use crate::state::State;
use crate::time::Timestamp;

impl Breaker {
    /// Lets time pass: what was due by `now` happens. Returns the time it is, which is never before the time it was.
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        let now = self.now.max(now);
        self.now = now;
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
        now
    }

    /// Opens on a trip entry. `latency_bound` is the bound of its condition on latency, if it has one.
    pub(super) fn trip(&mut self, reason: Reason, latency_bound: Option<Duration>, now: Timestamp) {
        self.tripped_latency = latency_bound;
        self.reopen(reason, now);
    }

    /// Opens because the upstream asked for it: for the time it asked for, not less.
    pub(super) fn leave_alone(&mut self, asked: Duration, now: Timestamp) {
        let open_for = asked.min(self.policy.open().max);
        self.open(open_for, Reason::RetryAfter { asked }, now);
    }

    /// Decides on the probes, if they have shown enough.
    pub(super) fn judge_probes(&mut self, now: Timestamp) {
        let Phase::Probing(probing) = &self.phase else {
            return;
        };
        let rules = self.policy.half_open();
        let (succeeded, failed) = (probing.succeeded(), probing.failed());
        match probing.finding(&rules) {
            Finding::Undecided => {}
            Finding::Good => {
                self.enter_phase(Phase::Ramp(Ramp::new(now)));
                self.forget_observations();
                self.events
                    .push_back(Event::RampStarted { at: now, succeeded });
                if self.policy.ramp().period.is_zero() {
                    self.end_ramp(now);
                }
            }
            Finding::Bad => {
                let reason = Reason::ProbesFailed {
                    succeeded,
                    failed,
                    needed: rules.needed(),
                };
                self.reopen(reason, now);
            }
        }
    }

    /// Goes back to open if too many requests of the ramp fail, though no trip entry holds.
    pub(super) fn judge_ramp(&mut self, now: Timestamp) {
        if let Phase::Ramp(ramp) = &self.phase {
            let rules = self.policy.half_open();
            if let Some(shortfall) = ramp.shortfall(&rules, rules.probes.into()) {
                self.fail_ramp(shortfall, now);
            }
        }
    }

    fn end_ramp(&mut self, now: Timestamp) {
        let Phase::Ramp(ramp) = &self.phase else {
            return;
        };
        match ramp.shortfall(&self.policy.half_open(), 1) {
            Some(shortfall) => self.fail_ramp(shortfall, now),
            None => {
                let reason = Reason::RampCompleted {
                    succeeded: ramp.succeeded(),
                    failed: ramp.failed(),
                };
                self.close(Some(Recovering::default()), reason, now);
            }
        }
    }

    fn fail_ramp(&mut self, (succeeded, samples): (Ratio, u64), now: Timestamp) {
        let reason = Reason::RampFailed {
            succeeded,
            samples,
            needed: self.policy.half_open().success,
        };
        self.reopen(reason, now);
    }

    /// Begins the back-off anew after a full window of healthy traffic since closing. Silence is not health.
    pub(super) fn judge_health(&mut self, now: Timestamp) {
        let Phase::Closed { recovering } = &mut self.phase else {
            return;
        };
        let Some(Recovering { succeeded, failed }) = *recovering else {
            return;
        };
        let healthy = Ratio::of(succeeded, succeeded + failed) >= self.policy.half_open().success;
        let full_window = now.saturating_since(self.since) >= self.policy.window();
        if healthy && full_window && succeeded >= self.policy.min_requests() {
            *recovering = None;
            self.failed_recoveries = 0;
        }
    }

    /// Opens for the next back-off. A trip before a recovery has shown its health is one more failed recovery.
    fn reopen(&mut self, reason: Reason, now: Timestamp) {
        let recovered = matches!(self.phase, Phase::Closed { recovering: None });
        self.failed_recoveries = if recovered {
            0
        } else {
            self.failed_recoveries.saturating_add(1)
        };
        let open = self.policy.open();
        let open_for = open.jittered(open.backed_off(self.failed_recoveries), &mut self.rng);
        self.open(open_for, reason, now);
    }

    fn open(&mut self, open_for: Duration, reason: Reason, now: Timestamp) {
        let until = Some(now + open_for);
        self.enter(Phase::Open { until, open_for }, reason, now);
    }

    /// Begins the trial.
    pub(super) fn probe(&mut self, reason: Reason, now: Timestamp) {
        self.enter(Phase::Probing(Probing::new()), reason, now);
        self.forget_observations();
    }

    pub(super) fn close(&mut self, recovering: Option<Recovering>, reason: Reason, now: Timestamp) {
        self.enter(Phase::Closed { recovering }, reason, now);
    }

    /// Changes the state and tells it. When the state stays what it is, only the phase changes.
    pub(super) fn enter(&mut self, phase: Phase, reason: Reason, now: Timestamp) {
        let from = self.state();
        self.enter_phase(phase);
        let to = self.state();
        self.reason = Arc::new(reason);
        if from == to {
            return;
        }
        let lasted = now.saturating_since(std::mem::replace(&mut self.since, now));
        self.count_transition(from, to);
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
        }));
    }

    /// Every permit that is out belongs to an earlier epoch from now on.
    fn enter_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.epoch += 1;
        self.in_flight.clear();
        self.next_ageing = None;
    }

    fn forget_observations(&mut self) {
        for source in &mut self.sources {
            source.clear();
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
