//! A policy of ours on the real `breaker-core`, driven as `breaker-tower` drives it: a command or
//! an event, the events out, one timer.
//!
//! It is a breaker of a route: of endpoints it knows nothing (`balanced` does). Streams begin at
//! their head; a caller that leaves is ignored, as in the layer.

use std::time::Duration;

use breaker_core::policy::LatencyMeasure;
use breaker_core::{
    Attribution, Breaker, Classification, Event, Feed, Outcome, Permit, Policy, Reason, Sample,
    SourceId, State as CoreState, Timestamp,
};

use super::shedding::Shedding;
use super::{
    Arrival, Completion, Decision, DependencySpan, Ending, Events, Setup, State, Status, System,
};
use crate::time::{NEVER, Nanos};

/// A breaker with one policy.
pub(super) struct Ours {
    breaker: Breaker,
    feed: Option<SourceId>,
    /// The permits that are out, by their tag.
    permits: Vec<Option<Permit>>,
    free: Vec<u32>,
    alerts: u64,
    signals: Vec<Events>,
    /// What the closed breaker rejects is called as it is of others.
    shedding: Shedding,
    next_tick: Nanos,
}

impl Ours {
    /// A breaker with `policy`.
    pub(super) fn new(policy: Policy, setup: &Setup) -> Self {
        let mut breaker = Breaker::new(policy, setup.seed, Timestamp::ZERO);
        Self {
            feed: setup.spans.then(|| breaker.add_feed(Feed::new("spans"))),
            breaker,
            permits: Vec::new(),
            free: Vec::new(),
            alerts: 0,
            signals: Vec::new(),
            shedding: Shedding::default(),
            next_tick: NEVER,
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.breaker.poll_event() {
            let (signal, trips, alerts) = match &event {
                Event::Alert(alert) => (alert.signal(), 0, 1),
                Event::SheddingStarted { reason, .. } => (signal_of(reason), 0, 1),
                Event::Transition(change) if change.from == CoreState::Closed => {
                    (signal_of(&change.reason), 1, 0)
                }
                _ => continue,
            };
            self.alerts += alerts;
            let events = Events {
                signal,
                trips,
                alerts,
            };
            events.add(&mut self.signals);
        }
        self.next_tick = self
            .breaker
            .poll_timeout()
            .map_or(NEVER, Timestamp::as_nanos);
    }

    fn keep(&mut self, permit: Permit) -> u32 {
        if let Some(tag) = self.free.pop() {
            self.permits[tag as usize] = Some(permit);
            return tag;
        }
        self.permits.push(Some(permit));
        (self.permits.len() - 1) as u32
    }
}

impl System for Ours {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let admission = self.breaker.try_acquire(Timestamp::from_nanos(arrival.now));
        if self.breaker.state() == CoreState::Closed {
            self.shedding.count(admission.is_err(), arrival.now);
        }
        self.settle();
        match admission {
            Ok(permit) => Decision::Admit {
                endpoint: arrival.endpoint(),
                tag: self.keep(permit),
            },
            Err(_) => Decision::Reject,
        }
    }

    fn complete(&mut self, completion: &Completion) {
        let Some(permit) = self.permits[completion.tag as usize].take() else {
            return;
        };
        self.free.push(completion.tag);
        let latency = Duration::from_nanos(match self.breaker.policy().latency() {
            LatencyMeasure::Complete => completion.latency(),
            _ => completion.latency_to_head(),
        });
        let outcome = match completion.ending {
            Ending::Success | Ending::ClientError => Outcome::success(latency),
            Ending::Failure | Ending::Refused | Ending::Timeout | Ending::Broken => {
                Outcome::failure(latency)
            }
            Ending::Abandoned => Outcome::ignored(latency).caused_by(Attribution::Caller),
        };
        self.breaker
            .record(permit, outcome, Timestamp::from_nanos(completion.now));
        self.settle();
    }

    fn head(&mut self, head: &Completion) {
        let Some(permit) = &mut self.permits[head.tag as usize] else {
            return;
        };
        let (now, latency) = (Timestamp::from_nanos(head.now), head.latency());
        self.breaker
            .responded(permit, Duration::from_nanos(latency), now);
        self.breaker.begun(permit, now);
        self.settle();
    }

    fn abandon(&mut self, left: &Completion) {
        self.complete(left);
    }

    fn observe(&mut self, spans: &[DependencySpan], now: Nanos) {
        let Some(feed) = self.feed else { return };
        for span in spans {
            let classification = if span.failed {
                Classification::Failure
            } else {
                Classification::Success
            };
            let latency = Duration::from_nanos(span.latency);
            let sample = Sample::new(
                classification,
                Some(latency),
                Timestamp::from_nanos(span.at),
            );
            self.breaker
                .observe(feed, &sample, Timestamp::from_nanos(now));
        }
        self.settle();
    }

    fn tick(&mut self, now: Nanos) {
        self.breaker.handle_timeout(Timestamp::from_nanos(now));
        self.settle();
    }

    fn next_tick(&self) -> Nanos {
        self.next_tick
    }

    fn status(&self) -> Status {
        let state = match self.breaker.state() {
            CoreState::Closed => self.shedding.state(),
            CoreState::HalfOpen => State::HalfOpen,
            _ => State::Open,
        };
        Status {
            state,
            alerts: self.alerts,
        }
    }

    fn signals(&self) -> &[Events] {
        &self.signals
    }
}

/// What the first of the conditions watches; of another reason its name.
fn signal_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::Tripped { evidence, .. } => evidence
            .first()
            .map_or("tripped", |first| first.condition.signal()),
        other => other.label(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SETUP, admits, advance, request};
    use super::*;
    use crate::time::{MILLI, SECOND};

    #[test]
    fn it_opens_probes_and_closes_by_its_policy() {
        let mut ours = Ours::new(Policy::sensitive(), &SETUP);
        for index in 0..20 {
            request(&mut ours, index * 10 * MILLI, MILLI, Ending::Failure);
        }
        assert_eq!(ours.status().state, State::Open);
        assert!(!admits(&mut ours, SECOND));
        advance(&mut ours, 13 * SECOND);
        assert_eq!(ours.status().state, State::HalfOpen);
        for index in 0..5 {
            assert!(request(
                &mut ours,
                13 * SECOND + index * 10 * MILLI,
                MILLI,
                Ending::Success
            ));
        }
        advance(&mut ours, 30 * SECOND);
        assert_eq!(ours.status().state, State::Closed);
    }

    #[test]
    fn permits_are_given_back_and_their_tags_used_again() {
        let mut ours = Ours::new(Policy::sensitive(), &SETUP);
        for index in 0..1000 {
            request(&mut ours, index * MILLI, MILLI / 2, Ending::Success);
        }
        assert_eq!(ours.permits.len(), 1);
    }
}
