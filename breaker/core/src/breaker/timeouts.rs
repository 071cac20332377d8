//! What happens because time passes.

use super::{Breaker, Phase};
use crate::event::Reason;
use crate::time::{NEVER, Timestamp, earliest, or_never};

impl Breaker {
    /// Call this at the time of [`Self::poll_timeout`], or later.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.advance(now);
        for source in &mut self.sources {
            source.window.expire(now);
        }
        if self.ages() && self.next_ageing.is_some_and(|at| at <= now) {
            self.detect_hanging(now);
            self.next_ageing = self.next_to_age(now);
        }
        if self.tries_conditions() {
            for index in 0..self.sources.len() {
                self.try_conditions(self.sources[index].id, now);
            }
        }
    }

    /// When [`Self::handle_timeout`] must be called next, if nothing else happens before.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        // At each use of the breaker: without branches for what there is not.
        let mut due = or_never(self.next_ageing)
            .min(or_never(self.mode_until))
            .min(or_never(self.alerts_due));
        if !matches!(self.phase, Phase::Closed { .. }) {
            due = due.min(or_never(self.phase_ends()));
        }
        if self.shedding.is_some() {
            due = due.min(or_never(self.shedding_ends()));
        }
        let tries_conditions = self.tries_conditions();
        for source in &self.sources {
            due = due.min(or_never(source.window.expires_at()));
            if tries_conditions {
                due = due.min(or_never(source.histograms_due()));
            }
        }
        (due < NEVER).then_some(due)
    }

    /// When time alone ends the phase, or lets it be judged; `None` while closed.
    #[inline(never)]
    fn phase_ends(&self) -> Option<Timestamp> {
        let ends = match &self.phase {
            Phase::Closed { .. } | Phase::AdaptiveRamp(_) => None,
            // The fleet says when, until it falls silent.
            Phase::Open { until, .. } => self.lead_ends().or(*until),
            Phase::Probing(probing) => probing.next_expiry(),
            Phase::Ramp(ramp) => ramp.ends_at(&self.policy.ramp()),
        };
        let ends = earliest(ends, self.lead_ends());
        earliest(ends, earliest(self.quiet_ends(), self.trial_ends()))
    }

    /// Lets time pass: what was due by `now` happens. Returns the time it is, which is never before
    /// the time it was.
    #[inline]
    pub(super) fn advance(&mut self, now: Timestamp) -> Timestamp {
        let now = self.now.max(now);
        self.now = now;
        let phase_is_due = match self.phase {
            Phase::Closed { .. } => false,
            Phase::Open { until, .. } => {
                self.lead_ends().or(until).is_some_and(|until| until <= now)
            }
            Phase::Probing(_) | Phase::Ramp(_) | Phase::AdaptiveRamp(_) => true,
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
        self.end_lead(now);
        if self.alerts_due.is_some_and(|due| due <= now) {
            self.end_alerts(now);
        }
        let is_led = self.is_led();
        match &mut self.phase {
            Phase::Closed { .. } => {}
            Phase::Open {
                until: Some(until),
                open_for,
            } if *until <= now && !is_led => {
                let open_for = *open_for;
                self.probe(Reason::OpenElapsed { open_for }, now);
            }
            Phase::Open { .. } => {}
            Phase::AdaptiveRamp(ramp) => {
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
                let ends = ramp.ends_at(&self.policy.ramp());
                if ends.is_some_and(|ends| ends <= now) {
                    self.end_ramp(now);
                }
            }
        }
    }
}
