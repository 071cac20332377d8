//! Where the state goes: every change of it is here.

use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, Phase, Probing};
use crate::event::{Event, Reason, Transition};
use crate::policy::Recovery;
use crate::snapshot::TransitionCount;
use crate::source::{SourceId, find};
use crate::state::{Mode, State};
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::trace::TraceId;

impl Breaker {
    /// Opens on a trip entry that holds on `source`. `latency_bound` is the bound of its condition
    /// on latency, if it has one.
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

    /// Opens for the next back-off. A trip before a recovery has shown its health is one more
    /// failed recovery.
    pub(super) fn reopen(&mut self, reason: Reason, now: Timestamp) {
        if self.mode == Mode::ForcedClosed {
            return;
        }
        self.count_incident(now);
        let backed_off = self.backed_off(now);
        let open_for = self.policy.open().jittered(backed_off, &mut self.rng);
        self.open(open_for, reason, now);
    }

    /// It is about to open: for the first time in an incident, or once more.
    pub(super) fn count_incident(&mut self, now: Timestamp) {
        let recovered =
            matches!(self.phase, Phase::Closed { recovering: None }) || self.has_held(now);
        self.failed_recoveries = if recovered {
            0
        } else {
            self.failed_recoveries.saturating_add(1)
        };
    }

    /// The open time after so many failed recoveries, before jitter.
    pub(super) fn backed_off(&mut self, now: Timestamp) -> Duration {
        let open = self.policy.open();
        match self.policy.recovery() {
            Recovery::Counted => open.backed_off(self.failed_recoveries),
            Recovery::Sequential => {
                open.for_traffic(self.arrivals.get(now), self.failed_recoveries)
            }
        }
    }

    /// Shortens the open time to the longest that the policy could have chosen.
    pub(super) fn limit_open_time(&mut self, now: Timestamp) {
        let longest = match *self.reason {
            Reason::RetryAfter { .. } => self.policy.open().max,
            _ => {
                let backed_off = self.backed_off(now);
                self.policy.open().longest(backed_off)
            }
        };
        if let Phase::Open {
            until: Some(until),
            open_for,
        } = &mut self.phase
            && *open_for > longest
        {
            *until = self.since + longest;
            *open_for = longest;
        }
    }

    /// Whether a sequential recovery has lasted long enough for the next trip to be the first of
    /// another incident.
    pub(super) fn has_held(&self, now: Timestamp) -> bool {
        self.policy.recovery() == Recovery::Sequential
            && matches!(self.phase, Phase::Closed { .. })
            && now.saturating_since(self.since) >= HELD
    }

    pub(super) fn open(&mut self, open_for: Duration, reason: Reason, now: Timestamp) {
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
        let traces = self.exemplars(now);
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

    /// Whether the reason is that of another incident. What a trial or its ramp runs into is still
    /// the first, whose numbers are kept.
    fn is_another_trip(&self) -> bool {
        match *self.reason {
            Reason::Forced(_) => true,
            _ => self.tripped.is_none() && !self.reason.is_of_trial(),
        }
    }

    /// The traces behind a trip that has just happened.
    fn exemplars(&mut self, now: Timestamp) -> Vec<TraceId> {
        match (&*self.reason, self.tripped_by) {
            (Reason::Tripped { .. }, Some(source)) => find(&mut self.sources, source)
                .map_or_else(Vec::new, |source| source.exemplars(now)),
            _ => Vec::new(),
        }
    }

    /// Every permit that is out belongs to an earlier epoch from now on.
    pub(super) fn enter_phase(&mut self, phase: Phase, now: Timestamp) {
        if matches!(phase, Phase::Open { .. } | Phase::Probing(_)) {
            self.stop_shedding(now);
            self.clear_alerts(now);
        }
        if let Some(shedding) = &mut self.shedding {
            shedding.restart(now);
        }
        self.phase = phase;
        self.epoch = self.epoch.wrapping_add(1);
        self.waiting = 0;
        self.sources[SourceId::PROXY.0].window.forget_standing();
        self.answers.let_go();
        self.in_flight.clear();
        self.next_ageing = None;
    }

    pub(super) fn forget_observations(&mut self, now: Timestamp) {
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
