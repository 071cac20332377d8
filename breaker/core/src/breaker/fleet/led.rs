//! A recovery that the fleet leads: who probes, and which share is admitted.

use std::time::Duration;

use super::{Breaker, Lead};
use crate::breaker::Phase;
use crate::breaker::ramp::Ramp;
use crate::event::{Event, Reason};
use crate::fleet::{FRESH, FleetEffect, Ignored, Instruction, RouteVerdict, Stage};
use crate::ratio::Ratio;
use crate::state::State;
use crate::time::Timestamp;

impl Breaker {
    pub(super) fn take_lead(&mut self, instruction: &Instruction<'_>) -> &mut Lead {
        let until = instruction.received + FRESH;
        self.link(instruction.judge).lead.insert(Lead {
            until,
            is_prober: false,
            ramps: false,
            own_until: None,
        })
    }

    /// Follows the recovery that the fleet leads.
    pub(super) fn be_led(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        stage: &Stage,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        if self.fleet.as_ref().is_some_and(|link| link.left) {
            return Err(Ignored::Left);
        }
        let was_led = self.lead().is_some();
        if self.waits_as_asked() {
            self.unlead();
            return Ok(FleetEffect::None);
        }
        let is_on_its_way = self.state() == State::HalfOpen;
        if !was_led && (is_on_its_way || matches!(stage, Stage::Ramp { .. })) {
            // By its own probes; or it has just tripped by itself.
            return Ok(FleetEffect::None);
        }
        self.take_lead(instruction);
        match stage {
            Stage::Alarm => {}
            Stage::Open { remaining } => self.stay_open(instruction, verdict, *remaining, now),
            Stage::Probing { probers } => {
                let is_prober = probers.contains(&instruction.me);
                self.take_lead(instruction).is_prober = is_prober;
                if is_prober && let Phase::Open { open_for, .. } = self.phase {
                    self.probe(Reason::OpenElapsed { open_for }, now);
                }
            }
            Stage::Ramp { share } => {
                self.ramp_to(*share, verdict, now);
                self.take_lead(instruction).ramps = true;
            }
        }
        Ok(FleetEffect::Led)
    }

    fn stay_open(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        remaining: Duration,
        now: Timestamp,
    ) {
        match &mut self.phase {
            Phase::Open { until, .. } => *until = Some(now + remaining),
            Phase::Closed { .. } => {}
            Phase::Probing(_) | Phase::Ramp(_) | Phase::AdaptiveRamp(_) => {
                let reason = Reason::FeedUnhealthy {
                    source: self.link(instruction.judge).name.clone(),
                    succeeded: verdict.trial.succeeded.into(),
                    failed: verdict.trial.failed.into(),
                    needed: self.policy.half_open().success,
                };
                self.failed_recoveries = self.failed_recoveries.saturating_add(1);
                self.open(remaining, reason, now);
            }
        }
    }

    fn ramp_to(&mut self, share: Ratio, verdict: &RouteVerdict, now: Timestamp) {
        if let Phase::Ramp(ramp) = &mut self.phase {
            ramp.lead(share);
            return;
        }
        let ramp = Phase::Ramp(Ramp::led(share, now));
        if let Phase::Open { open_for, .. } = self.phase {
            self.enter(ramp, Reason::OpenElapsed { open_for }, now);
        } else {
            self.enter_phase(ramp, now);
        }
        self.forget_observations(now);
        self.events.push_back(Event::RampStarted {
            at: now,
            succeeded: verdict.trial.succeeded,
        });
    }
}
