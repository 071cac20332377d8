//! What a breaker would have done on recorded requests, in virtual time.
//!
//! A request is admitted or rejected at its start. Its outcome is known after its latency, and only
//! if it was admitted. So a replay knows what a live breaker would have known at each time, with
//! one exception. The heads of answers are not recorded, so a success counts at its end and not
//! when it [begins](Breaker::begun). On a route with long answers, a replay therefore overestimates
//! the share of failures. It also assumes that the upstream would have behaved the same with less
//! traffic. So it is too pessimistic about an overload that a breaker would have relieved.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::Breaker;
use crate::event::Event;
use crate::outcome::{Classification, Outcome};
use crate::permit::Permit;
use crate::policy::Policy;
use crate::state::State;
use crate::time::Timestamp;

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is built by whoever reads traces, which has to say each of its fields"
)]
pub struct Request {
    /// When it began. A request that is passed after later ones is processed at their time, and
    /// ends when it ended.
    pub at: Timestamp,
    /// How long it took. `None` means that no answer ever came: it fails after the timeout of the
    /// replay.
    pub latency: Option<Duration>,
    /// How it ended, if it was answered.
    pub classification: Classification,
    /// Whether the sender's timeout ended it. It did so for each request that was never answered.
    pub timed_out: bool,
}

/// What a breaker did in a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// All requests.
    pub requests: u64,
    /// Admitted requests.
    pub admitted: u64,
    /// Rejected requests.
    pub rejected: u64,
    /// Rejected requests that had succeeded: the price.
    pub rejected_good: u64,
    /// Admitted requests that failed in spite of the breaker.
    pub admitted_bad: u64,
    /// Transitions from closed to open.
    pub trips: u64,
    /// The time of the first trip.
    pub first_trip: Option<Timestamp>,
    /// How many of the rejected requests were over the concurrency limit.
    pub shed: u64,
    /// Alerts given.
    pub alerts: u64,
}

/// A breaker that is replayed with the recorded requests of its route, in the order of their start.
///
/// ```
/// use std::time::Duration;
/// use breaker_core::replay::{Replay, Request};
/// use breaker_core::{Policy, Timestamp, Classification};
///
/// let mut replay = Replay::new(Policy::sensitive(), 1, Timestamp::ZERO);
/// for request in 0..100 {
///     replay.request(&Request {
///         at: Timestamp::from_millis(request * 10),
///         latency: Some(Duration::from_millis(5)),
///         classification: Classification::Failure,
///         timed_out: false,
///     });
/// }
/// replay.finish();
/// let report = replay.report();
/// assert_eq!((report.trips, report.admitted, report.rejected), (1, 20, 80));
/// ```
#[derive(Debug)]
pub struct Replay {
    breaker: Breaker,
    /// When a request that was never answered has failed.
    timeout: Duration,
    now: Timestamp,
    in_flight: BinaryHeap<Reverse<Pending>>,
    /// What those in flight have, each at its place: a heap moves its entries all the time.
    places: Vec<Option<(Permit, Outcome)>>,
    free: Vec<u32>,
    /// Orders those that end at the same time.
    admitted: u64,
    events: VecDeque<Event>,
    report: Report,
}

/// An admitted request, until its outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    ends: Timestamp,
    number: u64,
    place: u32,
}

impl Replay {
    /// The default time after which a request without an answer has failed.
    pub const TIMEOUT: Duration = Duration::from_secs(60);
    /// The maximum of requests in flight. Above it, the requests that would end first end at once.
    /// This bounds the memory for a trace whose requests never end.
    pub const MAX_IN_FLIGHT: usize = 1 << 18;

    /// A replay that starts at `start` with a closed breaker. Its random numbers follow from
    /// `seed`.
    pub fn new(policy: impl Into<Arc<Policy>>, seed: u64, start: Timestamp) -> Self {
        Self {
            breaker: Breaker::new(policy, seed, start),
            timeout: Self::TIMEOUT,
            now: start,
            in_flight: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
            admitted: 0,
            events: VecDeque::new(),
            report: Report::default(),
        }
    }

    /// Sets the time after which a request without an answer has failed.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts a request: first the breaker processes everything that happened before, then it is
    /// asked. Returns whether it admits the request.
    pub fn request(&mut self, request: &Request) -> bool {
        let at = request.at.max(self.now);
        self.advance(at);
        let (latency, classification) = match request.latency {
            Some(latency) => (latency, request.classification),
            None => (self.timeout, Classification::Failure),
        };
        let timed_out = request.timed_out || request.latency.is_none();
        self.report.requests += 1;
        let admitted = match self.breaker.try_acquire(at) {
            Ok(permit) => {
                self.report.admitted += 1;
                self.report.admitted_bad += u64::from(classification == Classification::Failure);
                let ends = (request.at + latency).max(at);
                let outcome = Outcome::new(classification, latency).timed_out(timed_out);
                self.admit(permit, outcome, at, ends);
                true
            }
            Err(rejected) => {
                self.report.rejected += 1;
                self.report.shed += u64::from(rejected.shed.is_some());
                self.report.rejected_good += u64::from(classification == Classification::Success);
                false
            }
        };
        self.take_events();
        admitted
    }

    /// Ends the replay: no more requests come, and those in flight end, each at its time.
    pub fn finish(&mut self) {
        while let Some(Reverse(next)) = self.in_flight.peek() {
            self.advance(next.ends);
        }
    }

    /// The next event of any kind, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What the breaker has done so far.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn admit(&mut self, permit: Permit, outcome: Outcome, at: Timestamp, ends: Timestamp) {
        if self.in_flight.len() >= Self::MAX_IN_FLIGHT {
            self.settle(at);
        }
        self.admitted += 1;
        let held = Some((permit, outcome));
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = held;
                place
            }
            None => {
                self.places.push(held);
                (self.places.len() - 1) as u32
            }
        };
        self.in_flight.push(Reverse(Pending {
            ends,
            number: self.admitted,
            place,
        }));
    }

    /// Lets time pass: timers and outcomes happen in their order, up to `until` and with it.
    fn advance(&mut self, until: Timestamp) {
        // A timer that is still due after it was handled waits for time to move on: a replay must
        // end.
        let mut handled = None;
        loop {
            let timer = self.breaker.poll_timeout();
            let timer = timer.filter(|due| *due <= until && handled.is_none_or(|at| at < *due));
            let ends = self.in_flight.peek().map(|Reverse(next)| next.ends);
            let ends = ends.filter(|ends| *ends <= until);
            match (timer, ends) {
                (Some(due), ends) if ends.is_none_or(|ends| due <= ends) => {
                    handled = Some(due);
                    self.breaker.handle_timeout(due);
                    self.take_events();
                }
                (_, Some(ends)) => self.settle(ends),
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// The request that ends first does so `at` that time.
    fn settle(&mut self, at: Timestamp) {
        let ended = self.in_flight.pop();
        let place = ended.map(|Reverse(ended)| ended.place);
        let held = place.and_then(|place| self.places[place as usize].take());
        if let Some((permit, outcome)) = held {
            self.free.extend(place);
            self.breaker.record(permit, outcome, at);
            self.take_events();
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.breaker.poll_event() {
            match &event {
                Event::Transition(moved)
                    if (moved.from, moved.to) == (State::Closed, State::Open) =>
                {
                    self.report.trips += 1;
                    self.report.first_trip.get_or_insert(moved.at);
                }
                Event::Alert(_) => self.report.alerts += 1,
                _ => {}
            }
            self.events.push_back(event);
        }
    }
}

#[cfg(test)]
mod tests;
