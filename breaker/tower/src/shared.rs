//! What the clones of a handle share: the breaker under its lock, and what follows from each use of
//! it.

pub(crate) mod audience;
pub(crate) mod clock;
pub(crate) mod driver;
mod feeds;
pub(crate) mod flight;
mod lock;
#[cfg(feature = "tracing")]
mod log;
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub(crate) mod tally;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// Whether it was closed, with nothing said by an operator, when that was last noted. Under the
    /// lock.
    admits_all: AtomicBool,
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
    /// Made when there is something to count: a breaker of a key is to be small.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    tally: Option<Box<tally::Tally>>,
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
    /// For how long the breaker was open, if it no longer is.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    was_open: Vec<Duration>,
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
                #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
                tally: None,
            }),
            clock,
            driver,
            rejecting: AtomicBool::new(false),
            admits_all: AtomicBool::new(true),
            weight: AtomicU8::new(Weight::Closed as u8),
            admitting: Arc::default(),
            events: OnceLock::new(),
            audience,
        }
    }

    /// Does something with the breaker, and sees to what follows from it: events, waiting services,
    /// the timer.
    pub(crate) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Breaker, Timestamp) -> T) -> T {
        self.with_locked(|locked, now| act(&mut locked.breaker, now))
    }

    #[inline]
    fn with_locked<T>(self: &Arc<Self>, act: impl FnOnce(&mut Locked, Timestamp) -> T) -> T {
        let now = self.now();
        let mut locked = self.lock();
        let result = act(&mut locked, now);
        if !self.is_settled(&locked, now) {
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
            Some(_) => self.admits_all() && !locked.breaker.has_events(),
            None => self.is_settled(&locked, now),
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
        #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
        let mut was_open = Vec::new();
        while let Some(event) = locked.breaker.poll_event() {
            #[cfg(feature = "tracing")]
            events.push(event.clone());
            #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
            if let Event::Transition(change) = &event
                && change.from == State::Open
            {
                was_open.push(change.lasted);
            }
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
        let admits_all = weight == Weight::Closed && !rejecting;
        self.admits_all.store(admits_all, Ordering::Relaxed);
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
            #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
            was_open,
        }
    }

    fn tell(&self, follow_up: &FollowUp) {
        #[cfg(feature = "tracing")]
        for event in &follow_up.events {
            log::event(&self.name, self.id, event);
        }
        #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
        for lasted in &follow_up.was_open {
            #[cfg(feature = "metrics")]
            metrics::histogram!(OPEN_DURATION, "breaker.name" => self.name.clone())
                .record(lasted.as_secs_f64());
            #[cfg(feature = "opentelemetry")]
            self.count(|tally| tally.was_open(*lasted));
        }
        if follow_up.admits_again {
            self.admitting.notify_waiters();
        }
    }

    /// Whether nothing follows from the last use of the breaker, which is nearly always so.
    #[inline]
    fn is_settled(&self, locked: &Locked, now: Timestamp) -> bool {
        let breaker = &locked.breaker;
        self.admits_all()
            && breaker.state() == State::Closed
            && breaker.mode() == Mode::Auto
            && !breaker.has_events()
            && !locked.is_late(now)
            && match (breaker.poll_timeout(), locked.armed) {
                (None, _) => true,
                (Some(due), armed) => armed.is_some_and(|armed| armed <= due),
            }
    }

    #[inline]
    fn admits_all(&self) -> bool {
        self.admits_all.load(Ordering::Relaxed)
    }

    /// Counts what metrics tell beside the snapshot.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    pub(crate) fn count(&self, count: impl FnOnce(&mut tally::Tally)) {
        count(self.lock().tally());
    }

    /// What metrics tell beside the snapshot.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    pub(crate) fn tally(&self) -> tally::Tally {
        self.lock().tally.as_deref().cloned().unwrap_or_default()
    }
}

impl Locked {
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    fn tally(&mut self) -> &mut tally::Tally {
        self.tally.get_or_insert_default()
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

#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
pub(crate) const OPEN_DURATION: &str = "breaker.open.duration";
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// How late the driver may be on a busy runtime. If it is later, its runtime may not run at all.
const PATIENCE_WITH_DRIVER: Duration = Duration::from_millis(50);
/// Transitions are seconds apart: this many are minutes.
const EVENTS_KEPT: usize = 64;
