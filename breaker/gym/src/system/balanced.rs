//! Our two levels: the endpoints of `breaker-core` below, and the route's `adaptive` breaker above,
//! as the sidecar composes them.
//!
//! Every attempt is an outcome of its endpoint, and what the caller gets is one of the route. What
//! was certainly not sent goes to another endpoint, at most once to each. With retries, a failure
//! is sent a second time, to another endpoint, within a budget of a fifth of the requests; callers
//! that retry through the proxy have the same budget.

use std::time::Duration;

use breaker_core::{
    Attempt, Candidate, EndpointEvent, EndpointId, EndpointSettings, Endpoints, Outcome, Policy,
    RetryBudget, Timestamp,
};

use super::ours::Ours;
use super::{
    Arrival, Completion, Decision, DependencySpan, Ending, Events, Setup, State, Status, System,
    hosts,
};
use crate::time::Nanos;

/// The endpoints of one upstream, and a breaker.
pub(super) struct Balanced {
    route: Ours,
    endpoints: Endpoints,
    /// The number of the first endpoint: others have taken the places so often.
    first: u64,
    retries: Option<RetryBudget>,
    sent: Vec<Option<Sent>>,
    free: Vec<u32>,
    ejections: u64,
}

/// A request that is at an endpoint.
struct Sent {
    attempt: Attempt,
    /// Of the route's breaker, and when that admitted it.
    permit: u32,
    admitted: Nanos,
    /// Where it was, a bit each, and how often something of it was sent.
    tried: u16,
    times: u8,
}

impl Balanced {
    /// All is well; `retries` says whether failures are sent again.
    pub(super) fn new(setup: &Setup, retries: bool) -> Self {
        let settings = EndpointSettings::default();
        let made = Endpoints::new(settings, setup.seed, Timestamp::ZERO);
        let mut balanced = Self {
            route: Ours::new(Policy::adaptive(), setup),
            endpoints: made.expect("the defaults keep the rules"),
            first: 0,
            retries: retries.then(RetryBudget::default),
            sent: Vec::new(),
            free: Vec::new(),
            ejections: 0,
        };
        balanced.set(setup.endpoints.into(), Timestamp::ZERO);
        balanced
    }

    fn set(&mut self, count: u64, now: Timestamp) {
        let ids = self.first..self.first + count;
        self.endpoints
            .replace(ids.map(|id| (EndpointId(id), 1)), now);
    }

    /// Sends a request to an endpoint where it has not been.
    fn send(
        &mut self,
        permit: u32,
        admitted: Nanos,
        (tried, times): (u16, u8),
        random: u32,
        now: Nanos,
    ) -> Option<Decision> {
        let now = Timestamp::from_nanos(now);
        let known = |id: EndpointId| match tried >> (id.0 - self.first) & 1 {
            1 => Candidate::Tried,
            _ => Candidate::Fresh,
        };
        let pick = self.endpoints.pick(now, random.into(), known)?;
        let attempt = self.endpoints.begin(pick, now);
        let endpoint = (pick.id().0 - self.first) as u8;
        let sent = Sent {
            attempt,
            permit,
            admitted,
            tried: tried | 1 << endpoint,
            times,
        };
        let tag = self.free.pop().unwrap_or_else(|| {
            self.sent.push(None);
            self.sent.len() as u32 - 1
        });
        self.sent[tag as usize] = Some(sent);
        self.settle();
        Some(Decision::Admit { endpoint, tag })
    }

    /// An attempt has ended: its endpoint is told.
    fn end(&mut self, sent: Attempt, completion: &Completion) {
        let now = Timestamp::from_nanos(completion.now);
        let latency = Duration::from_nanos(completion.latency_to_head());
        let outcome = match completion.ending {
            Ending::Success | Ending::ClientError => Outcome::success(latency),
            Ending::Refused => {
                self.endpoints.unreachable(sent, latency, now);
                return;
            }
            Ending::Failure | Ending::Timeout | Ending::Broken => Outcome::failure(latency),
            Ending::Abandoned => Outcome::ignored(latency),
        };
        self.endpoints.end(sent, outcome, now);
    }

    fn take(&mut self, tag: u32) -> Option<Sent> {
        let sent = self.sent[tag as usize].take()?;
        self.free.push(tag);
        Some(sent)
    }

    fn settle(&mut self) {
        while let Some(event) = self.endpoints.poll_event() {
            self.ejections += u64::from(matches!(event, EndpointEvent::Ejected { .. }));
        }
    }

    /// The route is told what became of a request.
    fn finish(&mut self, permit: u32, admitted: Nanos, completion: &Completion) {
        self.route.complete(&Completion {
            tag: permit,
            sent: admitted,
            ..*completion
        });
        self.settle();
    }
}

impl System for Balanced {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        if !arrival.retry
            && let Some(budget) = &mut self.retries
        {
            budget.request(Timestamp::from_nanos(arrival.now));
        }
        let Decision::Admit { tag, .. } = self.route.arrive(arrival) else {
            return Decision::Reject;
        };
        let sent = self.send(tag, arrival.now, (0, 0), arrival.pick, arrival.now);
        sent.expect("there is an endpoint")
    }

    fn complete(&mut self, completion: &Completion) {
        if let Some(sent) = self.take(completion.tag) {
            self.end(sent.attempt, completion);
            self.finish(sent.permit, sent.admitted, completion);
        }
    }

    fn again(&mut self, failed: &Completion, pick: u32) -> Option<Decision> {
        let now = Timestamp::from_nanos(failed.now);
        let sent = self.sent[failed.tag as usize].as_ref()?;
        let refused = failed.ending == Ending::Refused;
        let elsewhere = sent.tried.count_ones() < self.endpoints.len() as u32;
        // A probe of the route, and a request while that sheds, is sent once.
        let is_well = self.route.status().state == State::Closed;
        let budget = self.retries.as_mut().filter(|_| sent.times == 0 && is_well);
        let may = elsewhere && (refused || budget.is_some_and(|budget| budget.withdraw(now)));
        if !may {
            return None;
        }
        let sent = self.take(failed.tag)?;
        self.end(sent.attempt, failed);
        let times = sent.times + u8::from(!refused);
        let tried = (sent.tried, times);
        self.send(sent.permit, sent.admitted, tried, pick, failed.now)
    }

    fn may_retry(&mut self, now: Nanos) -> bool {
        let budget = self.retries.as_mut();
        budget.is_none_or(|budget| budget.withdraw(Timestamp::from_nanos(now)))
    }

    fn replaced(&mut self, now: Nanos) {
        let count = self.endpoints.len() as u64;
        self.first += count;
        self.set(count, Timestamp::from_nanos(now));
        self.settle();
    }

    fn head(&mut self, head: &Completion) {
        let Some(sent) = &mut self.sent[head.tag as usize] else {
            return;
        };
        let now = Timestamp::from_nanos(head.now);
        let latency = Duration::from_nanos(head.latency());
        self.endpoints.responded(&mut sent.attempt, latency, now);
        self.endpoints.begun(&mut sent.attempt, now);
        let (tag, sent) = (sent.permit, sent.admitted);
        self.route.head(&Completion { tag, sent, ..*head });
        self.settle();
    }

    fn abandon(&mut self, left: &Completion) {
        self.complete(left);
    }

    fn observe(&mut self, spans: &[DependencySpan], now: Nanos) {
        self.route.observe(spans, now);
    }

    fn tick(&mut self, now: Nanos) {
        if self.route.next_tick() <= now {
            self.route.tick(now);
        }
        self.endpoints.handle_timeout(Timestamp::from_nanos(now));
        self.settle();
    }

    fn next_tick(&self) -> Nanos {
        let next = self.endpoints.poll_timeout().map(Timestamp::as_nanos);
        next.unwrap_or(Nanos::MAX).min(self.route.next_tick())
    }

    fn status(&self) -> Status {
        let of_route = self.route.status();
        let endpoints = self.endpoints.len();
        let out = self
            .endpoints
            .ids()
            .iter()
            .filter(|id| !self.endpoints.is_in(**id));
        Status {
            state: match of_route.state {
                State::Closed => hosts::state(out.count(), endpoints),
                other => other,
            },
            alerts: of_route.alerts + self.ejections,
        }
    }

    fn signals(&self) -> &[Events] {
        self.route.signals()
    }
}
