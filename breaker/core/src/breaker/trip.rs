//! Do all conditions of an entry hold on a source? What follows if they do is decided in
//! `Breaker::try_conditions`.

mod observed;

use std::time::Duration;

use hdrhistogram::Histogram;

use self::observed::{Observed, reaches};
use crate::alert::{SILENCE, StandingAlert};
use crate::event::{Alert, Evidence, Reason, signal_of};
use crate::in_flight::InFlight;
use crate::policy::{Action, Condition, Policy, TripEntry};
use crate::snapshot::ConditionStatus;
use crate::source::Source;
use crate::time::Timestamp;
use crate::window::Failed;

/// One source as it is seen at one time, by conditions.
pub(super) struct Observation<'a> {
    source: &'a mut Source,
    policy: &'a Policy,
    /// The requests in flight: only the proxy's own source has them.
    in_flight: Option<Own<'a>>,
    now: Timestamp,
    /// Latencies of the window, once a condition has asked for them.
    latencies: Option<Histogram<u32>>,
}

/// The proxy's requests in flight.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    /// Those that wait for the upstream, by age.
    pub(super) ages: &'a InFlight,
    /// How many there are.
    pub(super) permits: u64,
    /// Of these, how many wait for their caller.
    pub(super) callers_turn: u64,
}

impl<'a> Observation<'a> {
    pub(super) fn new(
        source: &'a mut Source,
        policy: &'a Policy,
        in_flight: Option<Own<'a>>,
        now: Timestamp,
    ) -> Self {
        source.window.expire(now);
        Self {
            source,
            policy,
            in_flight,
            now,
            latencies: None,
        }
    }

    /// Spares it to put the window's `latencies` together, which are those of `now`.
    pub(super) fn with_latencies(mut self, latencies: Option<Histogram<u32>>) -> Self {
        self.latencies = latencies;
        self
    }

    /// Whether all conditions of `entry` hold.
    pub(super) fn holds(&mut self, entry: &TripEntry) -> bool {
        entry.conditions.iter().all(|condition| match *condition {
            Condition::Anomaly {
                signal,
                at_least,
                blip,
            } => {
                let detectors = self.source.detectors.as_ref();
                detectors.is_some_and(|detectors| detectors.has_alarm(signal, at_least, blip))
            }
            _ => self.evidence(condition).is_some(),
        })
    }

    /// The alert that `entry` gives, which holds, if it is to be told: at its begin, and ever more
    /// rarely while it lasts.
    pub(super) fn alert(&mut self, index: usize, entry: &TripEntry) -> Option<Alert> {
        let now = self.now;
        let heard = self.is_heard();
        let mut standing = self.source.alerts[index].take();
        standing = standing.filter(|standing| !standing.is_past(now));
        let mut observed = || {
            let first = entry.conditions.first();
            let evidence = first.and_then(|condition| self.evidence(condition));
            evidence.map_or(0.0, |evidence| evidence.observed)
        };
        let tells = match &mut standing {
            Some(standing) => standing.hold(heard, observed, now),
            None => {
                let signal = signal_of(&entry.conditions);
                let mut alert = StandingAlert::new(signal, observed(), now);
                if self.may_be_usual(entry) {
                    alert = alert.rarely_told();
                }
                standing = Some(Box::new(alert));
                true
            }
        };
        let since = standing.as_ref().map_or(now, |standing| standing.begun);
        self.source.alerts[index] = standing;
        if !tells {
            return None;
        }
        Some(Alert {
            at: now,
            since,
            source: self.source.name.clone(),
            evidence: self.justify(entry),
            traces: self.source.exemplars(now),
        })
    }

    /// Whether all that `entry` tells has been so from the first request on, as far as is known.
    fn may_be_usual(&self, entry: &TripEntry) -> bool {
        let Some(detectors) = &self.source.detectors else {
            return false;
        };
        entry.conditions.iter().all(|condition| {
            matches!(condition, Condition::Anomaly { signal, .. } if detectors.may_be_usual(*signal))
        })
    }

    /// The entry does not hold. Returns whether an alert did until now, which so may end.
    pub(super) fn clear_alert(&mut self, index: usize) -> bool {
        let standing = &mut self.source.alerts[index];
        standing.as_mut().is_some_and(|standing| standing.clear())
    }

    /// Whether the source is heard of now: a request is in flight, or something was just judged.
    /// Not at this very moment: conditions on histograms are tried up to a tenth of a second after
    /// it.
    fn is_heard(&self) -> bool {
        let in_flight = self.in_flight.map_or(0, |own| own.permits);
        let last = self.source.last_judged;
        in_flight > 0 || last.is_some_and(|last| self.now.saturating_since(last) < JUST)
    }

    /// Whether nothing was heard of the source for so long that what holds on it holds on what is
    /// old.
    pub(super) fn is_silent(&self) -> bool {
        let in_flight = self.in_flight.map_or(0, |own| own.permits);
        let last = self.source.last_judged;
        in_flight == 0 && last.is_none_or(|last| self.now.saturating_since(last) >= SILENCE)
    }

    /// Whether what `entry` asks of the detectors was just observed, and did not merely hold till
    /// now: a state changes for what happens.
    pub(super) fn is_fresh(&self, entry: &TripEntry) -> bool {
        let detectors = self.source.detectors.as_ref();
        let struck = |signal| detectors.is_some_and(|detectors| detectors.has_struck(signal));
        entry.conditions.iter().all(|condition| match condition {
            Condition::Anomaly { signal, .. } => struck(*signal),
            _ => true,
        })
    }

    /// Whether `entry` is on latencies that the service has by nature, which are told and not acted
    /// on.
    pub(super) fn only_tells(&self, entry: &TripEntry) -> bool {
        let Some(detectors) = &self.source.detectors else {
            return false;
        };
        entry.conditions.iter().any(|condition| match condition {
            Condition::Anomaly { signal, .. } => detectors.only_tells(*signal),
            _ => false,
        })
    }

    /// Whether `entry` holds by a slow scale alone, which is told and not acted on.
    pub(super) fn holds_slowly(&self, entry: &TripEntry) -> bool {
        let Some(detectors) = &self.source.detectors else {
            return false;
        };
        entry.conditions.iter().any(|condition| match condition {
            Condition::Anomaly { signal, .. } => detectors.is_slow(*signal),
            _ => false,
        })
    }

    /// What was observed until now has been judged.
    pub(super) fn judged(&mut self) {
        if let Some(detectors) = &mut self.source.detectors {
            detectors.forget_struck();
        }
    }

    /// The reason for a trip by `entry`.
    pub(super) fn trip(&mut self, entry: &TripEntry) -> Reason {
        Reason::Tripped {
            source: self.source.name.clone(),
            evidence: self.justify(entry),
        }
    }

    /// The numbers of the conditions of `entry` that hold.
    fn justify(&mut self, entry: &TripEntry) -> Vec<Evidence> {
        entry
            .conditions
            .iter()
            .filter_map(|condition| self.evidence(condition))
            .collect()
    }

    /// The numbers of `condition`, if it holds.
    fn evidence(&mut self, condition: &Condition) -> Option<Evidence> {
        if let Condition::Anomaly {
            signal,
            at_least,
            blip,
        } = *condition
        {
            let detectors = self.source.detectors.as_ref()?;
            let anomaly = detectors.alarm(signal, at_least, blip)?;
            return Some(Evidence {
                condition: *condition,
                observed: anomaly.share.get(),
                threshold: anomaly.normal.get(),
                samples: anomaly.observations,
                window: self.now.saturating_since(anomaly.since),
                abandoned: self.abandoned(condition),
                anomaly: Some(anomaly),
            });
        }
        let (observed, threshold) = (self.observe(condition)?, condition.threshold()?);
        Some(Evidence {
            condition: *condition,
            observed: self.reached(condition, observed)?,
            threshold,
            samples: observed.samples,
            window: self.policy.window(),
            abandoned: self.abandoned(condition),
            anomaly: None,
        })
    }

    /// What was observed, if there is enough of it and it reaches the threshold.
    fn reached(&mut self, condition: &Condition, observed: Observed) -> Option<f64> {
        let threshold = condition.threshold()?;
        if observed.samples < self.least_samples(condition) || !observed.may_reach(threshold) {
            return None;
        }
        let number = self.number(observed)?;
        reaches(number, threshold).then_some(number)
    }

    /// Each condition of each trip entry, in their order.
    pub(super) fn statuses(&mut self) -> Vec<ConditionStatus> {
        let mut statuses = Vec::new();
        for (entry, trip) in self.policy.trip().iter().enumerate() {
            for condition in &trip.conditions {
                statuses.push(self.status(entry, trip.action, condition));
            }
        }
        statuses
    }

    fn status(&mut self, entry: usize, action: Action, condition: &Condition) -> ConditionStatus {
        let observed = self.observe(condition);
        let mut status = ConditionStatus {
            entry,
            action,
            condition: *condition,
            observed: observed.and_then(|observed| self.number(observed)),
            samples: observed.map_or(0, |observed| observed.samples),
            min_requests: self.least_samples(condition),
            anomaly: None,
            holds: match observed {
                Some(observed) => self.reached(condition, observed).is_some(),
                None => self.evidence(condition).is_some(),
            },
        };
        if let Condition::Anomaly { signal, .. } = *condition
            && let Some(detectors) = &self.source.detectors
        {
            let mut scores = detectors.scores().into_iter();
            let anomaly = scores.find(|score| score.signal == signal);
            status.observed = anomaly
                .filter(|anomaly| anomaly.observations > 0)
                .map(|anomaly| anomaly.share.get());
            status.samples = anomaly.map_or(0, |anomaly| anomaly.observations);
            status.anomaly = anomaly;
        }
        status
    }

    /// Of how many observations a condition must be, to be tried.
    fn least_samples(&self, condition: &Condition) -> u64 {
        match condition.is_guarded() {
            true => self.policy.min_requests(),
            false => 0,
        }
    }

    /// Of the failures in the window, those that were abandoned, where `condition` is on failures.
    fn abandoned(&self, condition: &Condition) -> u64 {
        match condition.is_on_failures() {
            true => self.source.window.failed(Failed::Abandoned),
            false => 0,
        }
    }
}

const JUST: Duration = Duration::from_secs(1);
