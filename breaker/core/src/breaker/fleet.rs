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
//! * When no verdict is in force for 3 s, each breaker goes on by itself: open, with twice the
//!   jitter, so that not all of them probe at once.

use std::sync::Arc;
use std::time::Duration;

use super::ramp::Ramp;
use super::{Breaker, Phase, count_alert};
use crate::alert::StandingAlert;
use crate::detector::Anomaly;
use crate::event::{Alert, Event, Evidence, Reason};
use crate::fleet::{
    Asked, FRESH, FleetCounts, FleetEffect, Ignored, Instruction, RouteVerdict, Stage,
    StreamCounts, asked, has_quorum, raised,
};
use crate::policy::{Action, Condition, Stream};
use crate::ratio::Ratio;
use crate::source::{SourceId, find};
use crate::state::{Mode, State};
use crate::time::{Timestamp, nanos};

/// What the fleet has to do with this breaker.
#[derive(Clone, Debug)]
pub(super) struct FleetLink {
    name: Arc<str>,
    lead: Option<Lead>,
    /// It has tripped by itself while it was led: it is on its own until the route is quiet.
    left: bool,
    /// By trip entry, like those of a source.
    alerts: Vec<Option<Box<StandingAlert>>>,
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
}

impl Breaker {
    /// What this breaker has counted of `source`, for the report to the fleet. Call it each half
    /// second while the breaker is in a fleet.
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
        counts.streams[Stream::Errors as usize] = StreamCounts {
            observations: hits + good,
            hits,
            normal: UNKNOWN_NORMAL,
        };
        if let Some(detectors) = &mut source.detectors {
            for stream in Stream::ALL {
                let of = &mut counts.streams[stream as usize];
                if let Some(normal) = detectors.normal(stream) {
                    of.normal = normal;
                }
                if stream != Stream::Errors {
                    (of.observations, of.hits) = detectors.counted(stream);
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
        has_quorum(verdict)?;
        match (&verdict.stage, self.state()) {
            (Stage::Alarm, State::Closed) => self.fleet_alerts(instruction, verdict, now),
            (Stage::Alarm, _) => Ok(self.fleet_is_quiet(now)),
            (Stage::Open { remaining }, State::Closed) => {
                self.fleet_opens(instruction, verdict, *remaining, now)
            }
            // It never opened, or has recovered by itself.
            (_, State::Closed) => Ok(FleetEffect::None),
            (stage, _) => self.be_led(instruction, verdict, stage, now),
        }
    }

    /// Whether the fleet leads the recovery.
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
        if self.unlead() {
            self.go_on_alone(now);
        }
    }

    fn lead(&self) -> Option<&Lead> {
        self.fleet.as_ref()?.lead.as_ref()
    }

    fn unlead(&mut self) -> bool {
        let link = self.fleet.as_mut();
        link.is_some_and(|link| link.lead.take().is_some())
    }

    fn link(&mut self) -> &mut FleetLink {
        self.fleet.get_or_insert_with(|| {
            Box::new(FleetLink {
                name: Arc::from("fleet"),
                lead: None,
                left: false,
                alerts: Vec::new(),
            })
        })
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
        let open = crate::policy::Open {
            jitter,
            ..self.policy.open()
        };
        let backed_off = self.backed_off(now);
        let open_for = open.jittered(backed_off, &mut self.rng);
        self.open(open_for, Reason::FleetSilent, now);
    }

    /// The route is quiet, or only has an alarm.
    fn fleet_is_quiet(&mut self, now: Timestamp) -> FleetEffect {
        let Some(link) = &mut self.fleet else {
            return FleetEffect::None;
        };
        link.left = false;
        let name = link.name.clone();
        let standing = link.alerts.iter_mut().filter_map(Option::take);
        let ended: Vec<_> = standing
            .filter_map(|mut alert| alert.end(&name, now))
            .collect();
        self.events.extend(ended);
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

    /// Gives the alerts that the policy asks for, each at its begin and ever more rarely.
    fn fleet_alerts(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        let policy = self.policy.clone();
        let mut refused = None;
        let mut told = false;
        for asked in asked(&policy, verdict.stream, Action::Alert) {
            if let Err(why) = instruction.may_open(verdict, asked.at_least) {
                refused = Some(why);
                continue;
            }
            if verdict.since < asked.blip {
                continue;
            }
            told = true;
            self.fleet_alert(verdict, &asked, now);
        }
        match refused {
            Some(why) if !told => Err(why),
            _ if told => Ok(FleetEffect::Alert),
            _ => Ok(FleetEffect::None),
        }
    }

    fn fleet_alert(&mut self, verdict: &RouteVerdict, asked: &Asked, now: Timestamp) {
        let evidence = evidence(verdict, asked, now);
        let stream = asked.condition.stream();
        let entries = self.policy.trip().len();
        let link = self.link();
        link.alerts.resize(entries, None);
        let standing = &mut link.alerts[asked.entry];
        let tells = match standing {
            Some(standing) => standing.hold(true, || evidence.observed, now),
            None => {
                *standing = Some(Box::new(StandingAlert::new(stream, evidence.observed, now)));
                true
            }
        };
        let since = standing.as_ref().map_or(now, |standing| standing.begun);
        let source = link.name.clone();
        if tells {
            self.totals.alerts += 1;
            count_alert(&mut self.alerts, &source, stream, 1);
            self.events.push_back(Event::Alert(Alert {
                at: now,
                since,
                source,
                evidence: vec![evidence],
                traces: Vec::new(),
            }));
        }
    }

    /// Opens on the entries of the own policy, as on any other source.
    fn fleet_opens(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        remaining: Duration,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        let policy = self.policy.clone();
        let usual = match verdict.stream {
            Stream::Errors => self.usual_errors(SourceId::PROXY),
            Stream::Latency | Stream::Deadline => 0.0,
        };
        let mut refused = None;
        for mut asked in asked(&policy, verdict.stream, Action::Open) {
            asked.at_least = raised(asked.at_least, usual);
            if verdict.since < asked.blip {
                refused = refused.or(Some(Ignored::Weak));
                continue;
            }
            if let Err(why) = instruction.may_open(verdict, asked.at_least) {
                refused = Some(why);
                continue;
            }
            let source = self.link().name.clone();
            let reason = Reason::Tripped {
                source,
                evidence: vec![evidence(verdict, &asked, now)],
            };
            // Own probes judge the recovery if the fleet falls silent.
            (self.tripped_by, self.tripped_latency) = (Some(SourceId::PROXY), None);
            self.count_incident(now);
            self.open(remaining, reason, now);
            self.take_lead(instruction);
            return Ok(FleetEffect::Opened);
        }
        match refused {
            Some(why) => Err(why),
            None => self.fleet_alerts(instruction, verdict, now),
        }
    }

    fn take_lead(&mut self, instruction: &Instruction<'_>) -> &mut Lead {
        let until = instruction.received + FRESH;
        self.link().lead.insert(Lead {
            until,
            is_prober: false,
            ramps: false,
        })
    }

    /// Follows the recovery that the fleet leads.
    fn be_led(
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
        if !was_led {
            if matches!(*self.reason, Reason::RetryAfter { .. }) {
                // The upstream itself has said how long.
                return Ok(FleetEffect::None);
            }
            if self.state() == State::HalfOpen {
                // It is on its way already, by its own probes.
                return Ok(FleetEffect::None);
            }
        }
        self.take_lead(instruction);
        match stage {
            Stage::Alarm => {}
            Stage::Open { remaining } => self.stay_open(verdict, *remaining, now),
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

    fn stay_open(&mut self, verdict: &RouteVerdict, remaining: Duration, now: Timestamp) {
        match &mut self.phase {
            Phase::Open { until, .. } => *until = Some(now + remaining),
            Phase::Closed { .. } => {}
            Phase::Probing(_) | Phase::Ramp(_) | Phase::AdaptiveRamp(_) => {
                let reason = Reason::FeedUnhealthy {
                    source: self.link().name.clone(),
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

/// The numbers of a verdict as those of the condition that it satisfies.
fn evidence(verdict: &RouteVerdict, asked: &Asked, now: Timestamp) -> Evidence {
    let numbers = &verdict.numbers;
    let share = Ratio::of(numbers.hits, numbers.observations);
    let since = now.as_nanos().saturating_sub(nanos(verdict.since));
    let is_anomaly = matches!(asked.condition, Condition::Anomaly { .. });
    Evidence {
        condition: asked.condition,
        observed: share.get(),
        threshold: match is_anomaly {
            true => numbers.normal.get(),
            false => asked.at_least.get(),
        },
        samples: numbers.observations,
        window: verdict.since,
        abandoned: 0,
        anomaly: is_anomaly.then_some(Anomaly {
            stream: verdict.stream,
            share,
            low: numbers.low,
            high: numbers.high,
            normal: numbers.normal,
            observations: numbers.observations,
            since: Timestamp::from_nanos(since),
            evidence: numbers.evidence,
            line: numbers.line,
            alarming: true,
            usual: numbers.normal,
            slow: false,
            crept: None,
        }),
    }
}

/// The share of failures that is normal at most where nothing is learned.
const UNKNOWN_NORMAL: f64 = 0.02;
