//! A breaker elsewhere that this one follows, the brain: it opens this breaker and holds it open,
//! and leads nothing.
//!
//! A brain does not see who sends probes, nor how they end, other than by telemetry. So when it is
//! not open any more, each follower tries by itself, by its own policy. If the brain opens again,
//! it opens this breaker too, unless the requests of its own trial go well.

use std::sync::Arc;

use super::Breaker;
use crate::breaker::Phase;
use crate::event::Reason;
use crate::fleet::{FleetEffect, Ignored, Instruction, Judge, RouteVerdict, Stage};
use crate::state::State;
use crate::time::Timestamp;

impl Breaker {
    /// Whether a brain opened it or holds it open.
    pub(in crate::breaker) fn is_by_brain(&self) -> bool {
        let Some(link) = self.fleet.as_ref() else {
            return false;
        };
        let opened = match self.tripped.as_deref() {
            // A feed may have the same name.
            Some(Reason::Tripped { source, .. }) => Arc::ptr_eq(source, &link.name),
            _ => false,
        };
        link.judge == Judge::Brain && (opened || link.lead.is_some())
    }

    /// Follows what the brain says.
    pub(super) fn follow_brain(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        match (&verdict.stage, self.state()) {
            (Stage::Open { remaining }, State::Open) if !self.waits_as_asked() => {
                self.hold_open(instruction, now + *remaining);
                Ok(FleetEffect::Led)
            }
            (Stage::Open { .. }, State::Open) => Ok(FleetEffect::None),
            (Stage::Open { remaining }, State::Closed | State::HalfOpen) => {
                self.fleet_opens(instruction, verdict, *remaining, now)
            }
            (Stage::Alarm, State::Closed) => self.fleet_alerts(instruction, verdict, now),
            (Stage::Alarm | Stage::Probing { .. } | Stage::Ramp { .. }, _) => {
                self.try_by_itself(now);
                Ok(FleetEffect::None)
            }
        }
    }

    /// Stays open until `brain_until`, and longer if the brain says so later.
    fn hold_open(&mut self, instruction: &Instruction<'_>, brain_until: Timestamp) {
        let Phase::Open { until, .. } = self.phase else {
            return;
        };
        let own_until = match self.lead() {
            Some(lead) => lead.own_until,
            None => until,
        };
        self.take_lead(instruction).own_until = own_until;
        if let Phase::Open { until, .. } = &mut self.phase {
            *until = Some(own_until.unwrap_or_default().max(brain_until));
        }
    }

    /// The brain does not hold it open any more. What this breaker itself has against the upstream
    /// stands.
    pub(super) fn try_by_itself(&mut self, now: Timestamp) {
        let Some(link) = &mut self.fleet else {
            return;
        };
        let Some(lead) = link.lead.take() else {
            return;
        };
        link.tried = now;
        if let Phase::Open { until, .. } = &mut self.phase {
            *until = Some(lead.own_until.unwrap_or(now).max(now));
            self.advance(now);
        }
    }
}
