//! What verdicts do to a closed breaker: it alerts or opens, by the entries of its own policy.

use std::time::Duration;

use super::Breaker;
use crate::alert::{SILENCE, StandingAlert};
use crate::breaker::count_alert;
use crate::detector::Anomaly;
use crate::event::{Alert, Event, Evidence, Reason};
use crate::fleet::{Asked, FleetEffect, Ignored, Instruction, RouteVerdict, asked, raised};
use crate::policy::{Action, Condition, Signal};
use crate::ratio::Ratio;
use crate::source::SourceId;
use crate::time::{Timestamp, earliest, nanos};

impl Breaker {
    /// Gives the alerts that the policy asks for, each at its begin and ever more rarely.
    pub(super) fn fleet_alerts(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        let policy = self.policy.clone();
        let tried = self.tried();
        let mut refused = None;
        let mut told = false;
        for asked in asked(&policy, verdict.signal, Action::Alert) {
            if let Err(why) = instruction.may_open(verdict, &asked, tried) {
                refused = Some(why);
                continue;
            }
            if verdict.since < asked.blip {
                continue;
            }
            told = true;
            self.fleet_alert(instruction, verdict, &asked, now);
        }
        match refused {
            Some(why) if !told => Err(why),
            _ if told => Ok(FleetEffect::Alert),
            _ => Ok(FleetEffect::None),
        }
    }

    fn fleet_alert(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        asked: &Asked,
        now: Timestamp,
    ) {
        let evidence = evidence(verdict, asked, now);
        let signal = asked.condition.signal();
        let entries = self.policy.trip().len();
        let link = self.link(instruction.judge);
        link.alerts.resize(entries, None);
        link.told = now;
        let standing = &mut link.alerts[asked.entry];
        let tells = match standing {
            Some(standing) => standing.hold(true, || evidence.observed, now),
            None => {
                *standing = Some(Box::new(StandingAlert::new(signal, evidence.observed, now)));
                true
            }
        };
        let since = standing.as_ref().map_or(now, |standing| standing.begun);
        let source = link.name.clone();
        self.alerts_due = earliest(self.alerts_due, Some(now + SILENCE));
        if tells {
            self.totals.alerts += 1;
            count_alert(&mut self.alerts, &source, signal, 1);
            self.events.push_back(Event::Alert(Alert {
                at: now,
                since,
                source,
                evidence: vec![evidence],
                traces: Vec::new(),
            }));
        }
    }

    /// Ends the alerts of which no verdict has spoken for so long that they are over.
    pub(in crate::breaker) fn end_fleet_alerts(&mut self, now: Timestamp) {
        let window = self.policy.window();
        let Some(link) = &mut self.fleet else {
            return;
        };
        for standing in &mut link.alerts {
            let Some(alert) = standing.as_mut().filter(|alert| alert.stands()) else {
                continue;
            };
            let ends = alert.ends(Some(link.told), window);
            if ends > now {
                self.alerts_due = earliest(self.alerts_due, Some(ends));
            } else {
                self.events.extend(alert.end(&link.name, now));
            }
        }
    }

    /// Ends all of them.
    pub(in crate::breaker) fn drop_fleet_alerts(&mut self, now: Timestamp) {
        if let Some(link) = &mut self.fleet {
            let standing = link.alerts.iter_mut().filter_map(Option::take);
            let ended = standing.filter_map(|mut alert| alert.end(&link.name, now));
            self.events.extend(ended);
        }
    }

    /// Since when own requests are of its own trial; the beginning, if no brain ever held it open.
    fn tried(&self) -> Timestamp {
        self.fleet
            .as_ref()
            .map_or(Timestamp::ZERO, |link| link.tried)
    }

    /// Opens on the entries of the own policy, as on any other source.
    pub(super) fn fleet_opens(
        &mut self,
        instruction: &Instruction<'_>,
        verdict: &RouteVerdict,
        remaining: Duration,
        now: Timestamp,
    ) -> Result<FleetEffect, Ignored> {
        let policy = self.policy.clone();
        let usual = match verdict.signal {
            Signal::Errors => self.usual_errors(SourceId::PROXY),
            Signal::Latency | Signal::Deadline => 0.0,
        };
        let tried = self.tried();
        let mut refused = None;
        for mut asked in asked(&policy, verdict.signal, Action::Open) {
            asked.at_least = raised(asked.at_least, usual);
            if verdict.since < asked.blip {
                refused = refused.or(Some(Ignored::Weak));
                continue;
            }
            if let Err(why) = instruction.may_open(verdict, &asked, tried) {
                refused = Some(why);
                continue;
            }
            let source = self.link(instruction.judge).name.clone();
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
            signal: verdict.signal,
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
