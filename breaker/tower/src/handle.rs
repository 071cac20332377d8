//! A breaker that many tasks share: one lock, one clock, one timer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_core::{
    Breaker, Event, Mode, Policy, Rejected, Sample, Snapshot, SourceId, State, Timestamp,
};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::request::InFlight;

/// A breaker that is shared by services and operators; clones are the same breaker.
///
/// The lock is held for tens of nanoseconds and never over an await. A task on the runtime of whoever used the breaker first waits for the
/// breaker's next timeout; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct BreakerHandle(Arc<Shared>);

pub(crate) struct Shared {
    name: Arc<str>,
    state: Mutex<Locked>,
    origin: Instant,
    driver: Driver,
    /// Told at every change that may let a request in.
    changed: Arc<Notify>,
    events: broadcast::Sender<Event>,
}

struct Locked {
    breaker: Breaker,
    /// For when the driver's timer is set.
    armed: Option<Timestamp>,
}

/// A subscription to a breaker's events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

// === impl BreakerHandle ===

impl BreakerHandle {
    /// A closed breaker called `name`, with a seed of its own.
    pub fn new(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        // Distinct breakers must not jitter in step; what the numbers are does not matter.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Self::with_seed(name, policy, seed)
    }

    /// A closed breaker whose random numbers follow from `seed`.
    pub fn with_seed(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>, seed: u64) -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self(Arc::new(Shared {
            name: name.into(),
            state: Mutex::new(Locked {
                breaker: Breaker::new(policy, seed, Timestamp::ZERO),
                armed: None,
            }),
            origin: Instant::now(),
            driver: Driver::default(),
            changed: Arc::default(),
            events,
        }))
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Asks to send one request. What is returned reports the request as [`Verdict::Ignored`](breaker_core::Verdict::Ignored) when it is
    /// dropped before its outcome is known.
    ///
    /// # Errors
    /// [`Rejected`], when the breaker refuses.
    pub fn try_acquire(&self) -> Result<InFlight, Rejected> {
        self.with(|breaker, now| {
            let permit = breaker.try_acquire(now)?;
            let policy = breaker.policy().clone();
            Ok((permit, policy))
        })
        .map(|(permit, policy)| InFlight::new(self.clone(), permit, policy))
    }

    /// Refuses a request, whatever the state.
    pub(crate) fn refuse(&self) -> Rejected {
        self.with(Breaker::refuse)
    }

    /// Whether a request would be refused now.
    pub fn would_reject(&self) -> bool {
        self.with(Breaker::would_reject)
    }

    /// The state.
    pub fn state(&self) -> State {
        self.with(|breaker, _| breaker.state())
    }

    /// The policy.
    pub fn policy(&self) -> Arc<Policy> {
        self.with(|breaker, _| breaker.policy().clone())
    }

    /// What the breaker knows now.
    pub fn snapshot(&self) -> Snapshot {
        self.with(Breaker::snapshot)
    }

    /// Sets who decides.
    pub fn force(&self, mode: Mode) {
        self.with(|breaker, now| breaker.force(mode, now));
    }

    /// Takes over another policy; the state stays.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.with(|breaker, now| breaker.set_policy(policy, now));
    }

    /// Adds a telemetry feed as a source with a window of its own.
    pub fn add_source(&self, name: impl Into<Arc<str>>) -> SourceId {
        self.with(|breaker, _| breaker.add_source(name))
    }

    /// A telemetry feed observed a request.
    pub fn observe(&self, source: SourceId, sample: Sample) {
        self.with(|breaker, now| breaker.observe(source, sample, now));
    }

    /// Follows the events from now on.
    pub fn subscribe(&self) -> Events {
        Events(self.0.events.subscribe())
    }

    /// Time since the breaker was made, as its events tell it.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// The next change that may let a request in, for a service that waits for it.
    pub(crate) fn changed(&self) -> OwnedNotified {
        self.0.changed.clone().notified_owned()
    }

    /// Does something with the breaker, and sees to what follows from it: events, and the timer.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Breaker, Timestamp) -> T) -> T {
        let shared = &self.0;
        let now = shared.now();
        let mut locked = shared.lock();
        let result = act(&mut locked.breaker, now);
        let rearm = shared.settle(&mut locked);
        drop(locked);
        if rearm {
            shared.driver.wake_or_start(shared);
        }
        result
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Lets the breaker see the time, and says when it wants to see it next.
    pub(crate) fn handle_timeout(&self) -> Option<Instant> {
        let now = self.now();
        let mut locked = self.lock();
        locked.breaker.handle_timeout(now);
        self.settle(&mut locked);
        locked.armed = locked.breaker.poll_timeout();
        locked
            .armed
            .map(|at| self.origin + Duration::from_nanos(at.as_nanos()))
    }

    /// Passes events on. Says whether the timer is set for too late.
    fn settle(&self, locked: &mut Locked) -> bool {
        let mut may_admit_more = locked.breaker.state() == State::HalfOpen;
        while let Some(event) = locked.breaker.poll_event() {
            may_admit_more = true;
            // An error says that nobody is subscribed.
            let _ = self.events.send(event);
        }
        if may_admit_more {
            self.changed.notify_waiters();
        }
        let due = locked.breaker.poll_timeout();
        let rearm = due.is_some_and(|due| locked.armed.is_none_or(|armed| due < armed));
        if rearm {
            locked.armed = due;
        }
        rearm
    }

    /// The driver is gone: the next use of the breaker starts one.
    pub(crate) fn driver_ended(&self) {
        self.driver.ended();
        self.lock().armed = None;
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        // The core does not panic; if it did, its numbers would still be good enough to go on with.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.driver.end();
    }
}

// === impl Events ===

impl Events {
    /// The next event; `None` when the breaker is gone. Events that came while more than 64 were unread are skipped.
    ///
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Transitions are seconds apart: this many are minutes.
const EVENTS_KEPT: usize = 64;
