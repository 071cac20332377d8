//! What the clones of a handle share: the breaker under its lock, and what follows from each use of
//! it.

pub(crate) mod audience;
pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod flight;
#[cfg(feature = "tracing")]
mod log;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use breaker_core::{Breaker, Event, Mode, Outcome, Permit, Rejected, State, Timestamp};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use self::audience::Audience;
use self::clock::Clock;
use self::driver::Driver;
use self::flight::Flight;

pub(crate) struct SharedBreaker {
    pub(crate) name: Arc<str>,
    pub(crate) id: u64,
    state: Mutex<Locked>,
    clock: Clock,
    driver: Arc<Driver>,
    /// Whether the breaker refused requests when it was last looked at. While it did not, time
    /// alone does not make it.
    rejecting: AtomicBool,
    /// How much would be lost with it, as of when it was last looked at.
    weight: AtomicU8,
    /// Told when it stops refusing.
    admitting: Arc<Notify>,
    /// Made for the first subscriber: the channel's buffer would be most of an idle breaker.
    events: OnceLock<broadcast::Sender<Event>>,
    /// Those who want to hear of all breakers of its set.
    audience: Option<Arc<Audience>>,
}

/// How much would be lost with a breaker: the larger, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Weight {
    /// It admits all.
    Closed,
    /// A trial.
    HalfOpen,
    /// What it has found out, or an operator has said.
    Standing,
}

impl Weight {
    fn of(breaker: &Breaker) -> Self {
        match breaker.state() {
            _ if breaker.mode() != Mode::Auto => Self::Standing,
            State::Closed => Self::Closed,
            State::HalfOpen => Self::HalfOpen,
            State::Open => Self::Standing,
        }
    }
}

struct Locked {
    breaker: Breaker,
    /// For when the driver's timer is set.
    armed: Option<Timestamp>,
    /// Whether it was closed, with nothing said by an operator, when that was last noted.
    admits_all: bool,
}

/// The driver's timer is to be set for `due`.
struct Rearm {
    replaces: Option<Timestamp>,
    due: Timestamp,
}

/// What is left to do when the lock is free again.
struct FollowUp {
    rearm: Option<Rearm>,
    /// The driver has not come in time.
    is_late: bool,
    admits_again: bool,
    #[cfg(feature = "tracing")]
    events: Vec<Event>,
}

impl SharedBreaker {
    pub(crate) fn new(
        name: Arc<str>,
        breaker: Breaker,
        clock: Clock,
        driver: Arc<Driver>,
        audience: Option<Arc<Audience>>,
    ) -> Self {
        Self {
            name,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            state: Mutex::new(Locked {
                breaker,
                armed: None,
                admits_all: true,
            }),
            clock,
            driver,
            rejecting: AtomicBool::new(false),
            weight: AtomicU8::new(Weight::Closed as u8),
            admitting: Arc::default(),
            events: OnceLock::new(),
            audience,
        }
    }

    /// Does something with the breaker, and sees to what follows from it: events, waiting services,
    /// the timer.
    pub(crate) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Breaker, Timestamp) -> T) -> T {
        let now = self.now();
        let mut locked = self.lock();
        let result = act(&mut locked.breaker, now);
        if !locked.is_settled(now) {
            self.follow_up(locked, now);
        }
        result
    }

    /// Asks for a permit to send a request.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Box<Flight>, Rejected> {
        self.with(|breaker, now| {
            let permit = breaker.try_acquire(now)?;
            Ok(Flight::begin(permit, breaker.policy(), breaker.state()))
        })
    }

    /// Records the end of a request, by what `outcome` makes of it; of one that ended well when its
    /// head came, then.
    pub(crate) fn end<T>(
        self: &Arc<Self>,
        mut flight: Box<Flight>,
        with_head: Option<Timestamp>,
        outcome: impl FnOnce(&Flight, &Permit, Timestamp) -> (Outcome, T),
    ) -> Option<T> {
        let permit = flight.permit.take()?;
        let now = with_head.unwrap_or_else(|| self.now());
        let (outcome, result) = outcome(&flight, &permit, now);
        let mut locked = self.lock();
        locked.breaker.record(permit, outcome, now);
        // With the head, a breaker that admits all has done what follows.
        let is_settled = match with_head {
            Some(_) => locked.admits_all && !locked.breaker.has_events(),
            None => locked.is_settled(now),
        };
        if is_settled {
            drop(locked);
        } else {
            self.follow_up(locked, now);
        }
        flight.give_back();
        Some(result)
    }

    #[inline(never)]
    fn follow_up(self: &Arc<Self>, mut locked: MutexGuard<'_, Locked>, now: Timestamp) {
        let follow_up = self.settle(&mut locked, now);
        drop(locked);
        if let Some(rearm) = &follow_up.rearm {
            self.arm(rearm);
        }
        if follow_up.is_late {
            self.driver.move_here();
        }
        self.tell(&follow_up);
    }

    /// Lets the driver run where the caller waits for what time alone does.
    pub(crate) fn drive_here(self: &Arc<Self>) {
        self.driver.move_here();
    }

    fn arm(self: &Arc<Self>, rearm: &Rearm) {
        let Some(due) = self.clock.instant(rearm.due) else {
            return;
        };
        let replaces = rearm.replaces.and_then(|at| self.clock.instant(at));
        if !self.driver.arm(self, replaces, due) {
            // Nobody keeps this time: the next use must try again.
            self.forget_timer();
        }
    }

    /// Lets the breaker see the time that was due `at`, and says when it wants to see it next. What
    /// was replaced meanwhile is not due any more.
    pub(crate) fn handle_timeout(&self, at: Instant) -> Option<Instant> {
        let now = self.now();
        let mut locked = self.lock();
        if locked.armed.and_then(|armed| self.clock.instant(armed)) != Some(at) {
            return None;
        }
        locked.breaker.handle_timeout(now);
        let follow_up = self.settle(&mut locked, now);
        locked.armed = locked.breaker.poll_timeout();
        let armed = locked.armed;
        drop(locked);
        self.tell(&follow_up);
        armed.and_then(|at| self.clock.instant(at))
    }

    /// Nobody keeps the time that is due: the next use of the breaker sees to it.
    pub(crate) fn forget_timer(&self) {
        self.lock().armed = None;
    }

    /// Whether the breaker may refuse a request now. `false` is as of its last use, and costs
    /// neither lock nor clock.
    pub(crate) fn rejecting(&self) -> bool {
        self.rejecting.load(Ordering::Acquire)
    }

    /// How much would be lost with the breaker, as of its last use; without its lock.
    pub(crate) fn weight(&self) -> u8 {
        self.weight.load(Ordering::Relaxed)
    }

    /// The next time that the breaker stops refusing.
    pub(crate) fn admitting(&self) -> OwnedNotified {
        self.admitting.clone().notified_owned()
    }

    pub(crate) fn subscribe(self: &Arc<Self>) -> broadcast::Receiver<Event> {
        self.drive_here();
        // Under the lock, so that a subscriber misses nothing that happens after this.
        let _locked = self.lock();
        self.events
            .get_or_init(|| broadcast::Sender::new(EVENTS_KEPT))
            .subscribe()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Passes events on, in their order, and notes what else has changed.
    fn settle(&self, locked: &mut Locked, now: Timestamp) -> FollowUp {
        let rejecting = locked.breaker.state() != State::Closed && locked.breaker.would_reject(now);
        #[cfg(feature = "tracing")]
        let mut events = Vec::new();
        while let Some(event) = locked.breaker.poll_event() {
            #[cfg(feature = "tracing")]
            events.push(event.clone());
            if let Some(audience) = &self.audience {
                audience.tell(&self.name, self.id, &event);
            }
            if let Some(events) = self.events.get() {
                // An error says that nobody is subscribed.
                let _ = events.send(event);
            }
        }
        let admits_again = self.rejecting.load(Ordering::Relaxed) && !rejecting;
        if self.rejecting.load(Ordering::Relaxed) != rejecting {
            self.rejecting.store(rejecting, Ordering::Release);
        }
        let weight = Weight::of(&locked.breaker);
        if self.weight.load(Ordering::Relaxed) != weight as u8 {
            self.weight.store(weight as u8, Ordering::Relaxed);
        }
        locked.admits_all = weight == Weight::Closed && !rejecting;
        let due = locked.breaker.poll_timeout();
        let is_late = locked.is_late(now);
        let sooner = due.filter(|due| locked.armed.is_none_or(|armed| *due < armed));
        let rearm = sooner.map(|due| Rearm {
            replaces: locked.armed.replace(due),
            due,
        });
        FollowUp {
            rearm,
            is_late,
            admits_again,
            #[cfg(feature = "tracing")]
            events,
        }
    }

    fn tell(&self, follow_up: &FollowUp) {
        #[cfg(feature = "tracing")]
        for event in &follow_up.events {
            log::event(&self.name, self.id, event);
        }
        if follow_up.admits_again {
            self.admitting.notify_waiters();
        }
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.try_lock().unwrap_or_else(|| self.lock_contended())
    }

    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, Locked>> {
        match self.state.try_lock() {
            Ok(locked) => Some(locked),
            // The core does not panic; if it did, its numbers would still be good enough to go on
            // with.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits for the lock awake, as it is held for less time than it takes to go to sleep and to be
    /// woken. Between two tries it waits ever longer: each takes the breaker's memory from the core
    /// that uses it, and a core that goes on for some requests before another one does is faster
    /// than two that take turns.
    #[cold]
    fn lock_contended(&self) -> MutexGuard<'_, Locked> {
        let mut pauses = FIRST_PAUSES;
        for _ in 0..TRIES {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
            if let Some(locked) = self.try_lock() {
                return locked;
            }
            pauses = (2 * pauses).min(MOST_PAUSES);
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Locked {
    /// Whether nothing follows from the last use of the breaker, which is nearly always so.
    #[inline]
    fn is_settled(&self, now: Timestamp) -> bool {
        let breaker = &self.breaker;
        self.admits_all
            && breaker.state() == State::Closed
            && breaker.mode() == Mode::Auto
            && !breaker.has_events()
            && !self.is_late(now)
            && match (breaker.poll_timeout(), self.armed) {
                (None, _) => true,
                (Some(due), armed) => armed.is_some_and(|armed| armed <= due),
            }
    }

    /// Whether the driver has not come in time.
    fn is_late(&self, now: Timestamp) -> bool {
        let armed = self.armed;
        armed.is_some_and(|armed| now.saturating_since(armed) > PATIENCE_WITH_DRIVER)
    }
}

impl Drop for SharedBreaker {
    fn drop(&mut self) {
        let locked = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = locked.armed.and_then(|armed| self.clock.instant(armed)) {
            self.driver.disarm(self.id, at);
        }
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// Pauses before the second and between later tries to take the lock, and how many tries there are:
/// some 100 µs in all, after which the thread that holds it does not run.
const FIRST_PAUSES: u32 = 64;
const MOST_PAUSES: u32 = 256;
const TRIES: u32 = 30;
/// How late the driver may be on a busy runtime. If it is later, its runtime may not run at all.
const PATIENCE_WITH_DRIVER: Duration = Duration::from_millis(50);
/// Transitions are seconds apart: this many are minutes.
const EVENTS_KEPT: usize = 64;
