//! The endpoints of one upstream: which of them gets the next attempt, and which are left out.
//!
//! An endpoint that is worse than the others is ejected, which callers do not notice. What is wrong
//! with all of them is the matter of the route's [`Breaker`](crate::Breaker), one level above:
//! every *attempt* is an outcome of its endpoint, and the *final* answer is one of the route.
//!
//! * **Load** ([`Load`]): peak EWMA of the latency × (in flight + 1 + a penalty for failures).
//!   Of two endpoints, drawn by weight, the one with less load gets the attempt.
//! * **Ejection**: the sequential test of the anomaly detectors, against what the other endpoints
//!   have just observed (`detector::relative`), on two signals: failures, and missed deadlines.
//! * **Guard**: at most a share of the endpoints is out. If more are bad, all are in (a *panic*)
//!   for some time, and the route's breaker decides alone.
//! * **Return**: when its time is up, one probe at a time; after enough good ones the endpoint is
//!   in, at first with a small share of the requests.
//! * Operators eject and admit endpoints by hand, and health checks take them out inside the guard.
//!
//! The methods are commands, events in, polls and getters, as of [`Breaker`](crate::Breaker). An
//! endpoint is named by an id of the caller's, which stays its own when the set changes.
//!
//! ```
//! use std::time::Duration;
//! use breaker_core::{Candidate, EndpointId, EndpointSettings, Endpoints, Outcome, Timestamp};
//!
//! let now = Timestamp::ZERO;
//! let mut endpoints = Endpoints::new(EndpointSettings::default(), 42, now)?;
//! endpoints.replace([(EndpointId(1), 1), (EndpointId(2), 1)], now);
//! for request in 0..500 {
//!     let now = Timestamp::from_millis(request * 10);
//!     let pick = endpoints.pick(now, request, |_| Candidate::Fresh).expect("there are two");
//!     let dead = pick.id() == EndpointId(2);
//!     let attempt = endpoints.begin(pick, now);
//!     let latency = Duration::from_millis(2);
//!     let outcome = if dead { Outcome::failure(latency) } else { Outcome::success(latency) };
//!     endpoints.end(attempt, outcome, now + latency);
//! }
//! let told = endpoints.poll_event().expect("one of them fails");
//! assert!(told.to_string().starts_with("endpoint 2 ejected: 100% of the requests fail"));
//! # Ok::<(), breaker_core::InvalidField>(())
//! ```
//!
//! # Time without a request
//! Endpoints that are out stay out until a request probes them, or their health checks are good. An
//! operator's time and a panic end by themselves. Latencies and penalties fade: after 1 min without
//! a request a four-hundredth is left. The evidence fades as that of a breaker, within minutes.

mod attempt;
mod event;
mod guard;
mod hanging;
mod load;
mod member;
mod pick;
mod probing;
mod set;
mod settings;
mod snapshot;
mod told;

use std::collections::VecDeque;
use std::fmt;

pub use self::attempt::Attempt;
pub use self::event::{EjectReason, EndpointEvent, Readmission};
use self::guard::Panic;
pub use self::load::Load;
use self::load::Pace;
pub use self::member::EndpointTotals;
use self::member::Member;
pub use self::pick::{Candidate, Pick};
use self::set::Gone;
pub use self::set::MAX_ENDPOINTS;
pub use self::settings::{Balance, EndpointSettings};
pub use self::snapshot::{EndpointSnapshot, EndpointState, EndpointsSnapshot};
use crate::detector::Peers;
use crate::field::InvalidField;
use crate::rng::Rng;
use crate::time::Timestamp;

/// Names an endpoint. What it stands for is the caller's matter, such as a hash of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number, made by the caller")]
pub struct EndpointId(pub u64);

/// The endpoints of one upstream.
///
/// No method takes longer than the walk over all endpoints (about 10 µs for 1,024); [`Self::pick`],
/// [`Self::begin`] and [`Self::end`] do not walk, but for once in an eighth of the deadline. So one
/// lock around it is held for well below a microsecond.
#[derive(Clone, Debug)]
pub struct Endpoints {
    settings: EndpointSettings,
    pace: Pace,
    rng: Rng,
    /// The latest time seen.
    now: Timestamp,
    /// Ascending, with what is known of each at the same place in `loads` and `members`.
    ids: Vec<EndpointId>,
    loads: Vec<Load>,
    members: Vec<Member>,
    /// Those that left lately, and how many were ever born.
    gone: Vec<Gone>,
    births: u32,
    /// The places of those that are in, and of those that are out.
    available: Vec<u32>,
    out: Vec<u32>,
    /// The weights of those that are in, summed up; empty if all are equal.
    cumulative: Vec<u64>,
    /// The attempts so far, for round robin.
    turn: u64,
    /// When the next of those that are out may be probed.
    probe_from: Timestamp,
    peers: Peers,
    /// The usual latency of a success, in seconds.
    latency: f64,
    panic: Panic,
    /// When something happens by the passing of time alone, at the earliest.
    next: Timestamp,
    events: VecDeque<EndpointEvent>,
}

impl Endpoints {
    /// No endpoints yet: add them by [`Self::replace`]. Times out are jittered by `seed`.
    ///
    /// # Errors
    /// The first field of `settings` that is out of its range.
    pub fn new(
        settings: EndpointSettings,
        seed: u64,
        now: Timestamp,
    ) -> Result<Self, InvalidField> {
        settings.validate()?;
        Ok(Self {
            pace: pace(&settings),
            rng: Rng::new(seed),
            now,
            ids: Vec::new(),
            loads: Vec::new(),
            members: Vec::new(),
            gone: Vec::new(),
            births: 0,
            available: Vec::new(),
            out: Vec::new(),
            cumulative: Vec::new(),
            turn: 0,
            probe_from: NEVER,
            peers: Peers::new(),
            latency: settings.default_latency.as_secs_f64(),
            panic: Panic::default(),
            next: NEVER,
            events: VecDeque::new(),
            settings,
        })
    }

    /// The settings in force.
    pub const fn settings(&self) -> &EndpointSettings {
        &self.settings
    }

    /// The ids of the set, ascending.
    pub fn ids(&self) -> &[EndpointId] {
        &self.ids
    }

    /// How many endpoints there are.
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether an endpoint is in the set, and not out.
    pub fn is_in(&self, id: EndpointId) -> bool {
        self.find(id, 0)
            .is_some_and(|place| !self.members[place].out)
    }

    /// The load of an endpoint.
    pub fn load(&self, id: EndpointId) -> Option<&Load> {
        self.find(id, 0).map(|place| &self.loads[place])
    }

    /// Whether too many endpoints are bad, so that all are in.
    pub const fn is_panicking(&self) -> bool {
        self.panic.is_on()
    }

    /// The next event that was not told yet. Of more than 1,024 of those the oldest are dropped.
    pub fn poll_event(&mut self) -> Option<EndpointEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due at the latest. Without a call it is done with the next
    /// attempt that begins or ends; a timer is needed only to hear of it in silence.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        (self.next < NEVER).then_some(self.next)
    }

    /// Lets time pass until `now`: attempts become late, lost probes fail, an operator's time or a
    /// panic ends.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.pass(now);
        self.sweep(now);
    }

    /// The latest time seen, which is `now` unless that goes backwards; what is due by then is
    /// done.
    fn pass(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        if self.now >= self.next {
            self.sweep(self.now);
        }
        self.now
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.next = self.next.min(at);
    }

    fn tell(&mut self, event: EndpointEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The place of `id`, which is often `hint`.
    fn find(&self, id: EndpointId, hint: usize) -> Option<usize> {
        if self.ids.get(hint) == Some(&id) {
            Some(hint)
        } else {
            self.ids.binary_search(&id).ok()
        }
    }
}

fn pace(settings: &EndpointSettings) -> Pace {
    Pace {
        decay: settings.decay.as_secs_f64() * 1e9,
        start: settings.ramp.start.get() as f32,
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);
const MAX_EVENTS: usize = 1024;

#[cfg(test)]
mod tests;
