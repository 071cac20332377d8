//! The fleet as a source of this breaker: what it reports, and how it follows verdicts.
//!
//! A verdict is an event like an outcome: it changes the phase, which each request reads anyway. So
//! the fleet costs a request nothing, on or off. What it may do is little:
//!
//! * It opens a closed breaker on the policy's own entries, if no own evidence contradicts it.
//! * It leads the recovery of a breaker that is open: who probes, and which share is admitted. Own
//!   conditions stay on; a breaker that trips in a led ramp goes its own way until the route is
//!   quiet. The fleet closes only what it has led through a ramp, and only if the own requests of
//!   that ramp went well.
//! * A brain leads nothing: a breaker stays open while the brain is open, and then tries by itself.
//! * When no verdict is in force for 3 s, each breaker goes on by itself: open, with twice the
//!   jitter, so that not all of them probe at once.

mod held;
mod led;
mod opening;

use std::sync::Arc;

use super::{Breaker, Phase};
use crate::alert::StandingAlert;
use crate::event::Reason;
use crate::fleet::{
    FRESH, FleetCounts, FleetEffect, Ignored, Instruction, Judge, RouteVerdict, SignalCounts, Stage,
};
use crate::policy::{Open, Signal};
use crate::ratio::Ratio;
use crate::source::{SourceId, find};
use crate::state::{Mode, State};
use crate::time::Timestamp;

/// What the fleet has to do with this breaker.
#[derive(Clone, Debug)]
pub(super) struct FleetLink {
    judge: Judge,
    name: Arc<str>,
    lead: Option<Lead>,
    /// It has tripped by itself while it was led: it is on its own until the route is quiet.
    left: bool,
    /// By trip entry, like those of a source.
    alerts: Vec<Option<Box<StandingAlert>>>,
    /// When a verdict last gave one.
    told: Timestamp,
    /// When it last began to try by itself, after a brain had held it open.
    tried: Timestamp,
}

/// The fleet leads the recovery.
#[derive(Clone, Copy, Debug)]
struct Lead {
    /// Until when the last verdict is in force.
    until: Timestamp,
    /// Whether this instance may send probes.
    is_prober: bool,
    /// Whether it ramps: if it is open then, it has tripped by itself.
    ramps: bool,
    /// Where a brain holds it open: until when it would be open by itself.
    own_until: Option<Timestamp>,
}

impl Breaker {
    /// What this breaker has counted of `source`, for the report to the fleet. Call it each half
    /// second while the breaker is in a fleet, and in between where requests must not wait.
    pub fn fleet_counts(&mut self, source: SourceId, now: Timestamp) -> FleetCounts {
        self.advance(now);
        let mut counts = FleetCounts {
            state: self.state(),
            led: self.lead().is_some(),
            epoch: self.epoch,
            ..FleetCounts::default()
        };
        if source == SourceId::PROXY {
            let totals = self.totals.totals();
            counts.arrivals = totals.success + totals.failure + totals.rejected;
            if let Phase::Probing(probing) = &self.phase {
                counts.probes.succeeded = probing.succeeded();
                counts.probes.failed = probing.failed();
            }
        }
        let Some(source) = find(&mut self.sources, source) else {
            return counts;
        };
        let (hits, good) = (source.totals.failure, source.totals.success);
        counts.signals[Signal::Errors as usize] = SignalCounts {
            observations: hits + good,
            hits,
            normal: UNKNOWN_NORMAL,
            ..SignalCounts::default()
        };
        if let Some(detectors) = &mut source.detectors {
            for signal in Signal::ALL {
                let of = &mut counts.signals[signal as usize];
                if let Some(normal) = detectors.normal(signal) {
                    of.normal = normal;
                }
                if signal == Signal::Errors {
                    (of.learned, of.learned_hits) = detectors.learned_for_fleet(signal);
                } else {
                    // What is usual of these varies with the load.
                    (of.observations, of.hits) = detectors.counted(signal);
                }
            }
        }
        counts
    }

    /// Follows what the verdict in force says of this breaker's route.
    ///
    /// # Errors
    /// Says why it does not: it is ignored, and the breaker is on its own.
    pub fn follow_fleet(
        &mut self,
        instruction: &Instruction<'_>,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        let now = self.advance(now);
        if matches!(self.mode, Mode::ForcedOpen | Mode::ForcedClosed) {
            self.unlead();
            return match instruction.verdict {
                Some(_) => Err(Ignored::Forced),
                None => Ok(FleetEffect::None),
            };
        }
        self.note_own_trip();
        let Some(verdict) = instruction.verdict else {
            if instruction.settled {
                return Ok(self.fleet_is_quiet(now));
            }
            // A new aggregator: it must first hear how things stand.
            self.renew_lead(instruction);
            return Ok(FleetEffect::None);
        };
        if instruction.judge == Judge::Brain {
            return self.follow_brain(instruction, verdict, now);
        }
        instruction.has_quorum(verdict)?;
        match (&verdict.stage, self.state()) {
            (Stage::Alarm, State::Closed) => self.fleet_alerts(instruction, verdict, now),
            (Stage::Alarm, _) => Ok(self.fleet_is_quiet(now)),
            (Stage::Open { remaining }, State::Closed) => {
                self.fleet_opens(instruction, verdict, *remaining, now)
            }
            // The verdict that opened was lost on the way here. It would else admit all its
            // requests until the fleet opens again, seconds later.
            (Stage::Probing { .. }, State::Closed) if self.was_closed_before(verdict, now) => {
                self.fleet_opens(instruction, verdict, FRESH, now)
            }
            // It has recovered by itself, or the worst is over.
            (_, State::Closed) => Ok(FleetEffect::None),
            (stage, _) => self.be_led(instruction, verdict, stage, now),
        }
    }

    /// Whether it was already closed when the change began: it has not opened in this incident.
    fn was_closed_before(&self, verdict: &RouteVerdict, now: Timestamp) -> bool {
        now.saturating_since(self.since) >= verdict.since
    }

    /// Whether the fleet leads the recovery, or a brain holds it open.
    pub fn is_led(&self) -> bool {
        self.lead().is_some()
    }

    /// Whether a probe may be sent, as far as it is for the fleet to say.
    pub(super) fn may_probe(&self) -> bool {
        self.lead().is_none_or(|lead| lead.is_prober)
    }

    /// When the last verdict that leads this breaker is no longer in force.
    pub(super) fn lead_ends(&self) -> Option<Timestamp> {
        self.lead().map(|lead| lead.until)
    }

    /// Goes on alone if no verdict is in force any more: open, for the next open time with twice
    /// the jitter.
    pub(super) fn end_lead(&mut self, now: Timestamp) {
        if self.lead().is_none_or(|lead| lead.until > now) {
            return;
        }
        self.note_own_trip();
        if self.unlead() && !self.waits_as_asked() {
            self.go_on_alone(now);
        }
    }

    /// Whether the upstream itself has said how long.
    fn waits_as_asked(&self) -> bool {
        matches!(*self.reason, Reason::RetryAfter { .. })
    }

    fn lead(&self) -> Option<&Lead> {
        self.fleet.as_ref()?.lead.as_ref()
    }

    /// Ends the lead of the fleet. Returns whether there was one.
    pub(super) fn unlead(&mut self) -> bool {
        let link = self.fleet.as_mut();
        link.is_some_and(|link| link.lead.take().is_some())
    }

    fn link(&mut self, judge: Judge) -> &mut FleetLink {
        let link = self.fleet.get_or_insert_with(|| {
            Box::new(FleetLink {
                judge,
                name: Arc::from(judge.name()),
                lead: None,
                left: false,
                alerts: Vec::new(),
                told: Timestamp::ZERO,
                tried: Timestamp::ZERO,
            })
        });
        if link.judge != judge {
            (link.judge, link.name) = (judge, Arc::from(judge.name()));
        }
        link
    }

    /// Why it goes on alone.
    pub(super) fn silence(&self) -> Reason {
        match self.judge_followed() {
            Judge::Fleet => Reason::FleetSilent,
            Judge::Brain => Reason::BrainSilent,
        }
    }

    fn judge_followed(&self) -> Judge {
        self.fleet.as_ref().map_or(Judge::Fleet, |link| link.judge)
    }

    fn renew_lead(&mut self, instruction: &Instruction<'_>) {
        if let Some(link) = &mut self.fleet
            && let Some(lead) = &mut link.lead
        {
            lead.until = instruction.received + FRESH;
        }
    }

    /// A breaker that is open although the fleet let it ramp has tripped by itself.
    fn note_own_trip(&mut self) {
        let is_open = self.state() == State::Open;
        if let Some(link) = &mut self.fleet
            && is_open
            && link.lead.is_some_and(|lead| lead.ramps)
        {
            (link.lead, link.left) = (None, true);
        }
    }

    fn go_on_alone(&mut self, now: Timestamp) {
        if self.state() == State::Closed {
            return;
        }
        let jitter = Ratio::new(2.0 * self.policy.open().jitter.get()).unwrap_or(Ratio::ONE);
        let open = Open {
            jitter,
            ..self.policy.open()
        };
        let backed_off = self.backed_off(now);
        let open_for = open.jittered(backed_off, &mut self.rng);
        let reason = self.silence();
        self.open(open_for, reason, now);
    }

    /// The route is quiet, or only has an alarm.
    fn fleet_is_quiet(&mut self, now: Timestamp) -> FleetEffect {
        let Some(link) = &mut self.fleet else {
            return FleetEffect::None;
        };
        link.left = false;
        self.drop_fleet_alerts(now);
        if self.judge_followed() == Judge::Brain {
            self.try_by_itself(now);
            return FleetEffect::None;
        }
        if !self.unlead() {
            return FleetEffect::None;
        }
        if matches!(self.phase, Phase::Ramp(_)) {
            // Against own failures nothing closes: then it opens again.
            self.end_ramp(now);
        } else {
            self.go_on_alone(now);
        }
        match self.state() {
            State::Closed => FleetEffect::Closed,
            State::Open | State::HalfOpen => FleetEffect::None,
        }
    }
}

/// The share of failures that is normal at most where nothing is learned.
const UNKNOWN_NORMAL: f64 = 0.02;
