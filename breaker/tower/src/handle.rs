//! A breaker that many tasks share: one lock, one clock, one timer.

mod fleet;
mod in_flight;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use breaker_core::{
    Attribution, Baseline, Breaker, Diagnosis, Event, Feed, Mode, Observed, Outcome, Permit,
    Policy, Rejected, Sample, Snapshot, SourceId, State, Timestamp,
};
use tokio::sync::broadcast;
use tokio::sync::futures::OwnedNotified;

pub use self::in_flight::{InFlight, OnDrop, Upload};
use crate::shared::SharedBreaker;
use crate::shared::audience::Audience;
use crate::shared::clock::Clock;
#[cfg(feature = "testing")]
use crate::shared::clock::ManualClock;
use crate::shared::driver::Driver;
use crate::shared::flight::Flight;
#[cfg(any(feature = "metrics", feature = "opentelemetry"))]
use crate::shared::tally::{FailureKind, Tally};

/// A breaker that services and operators share. Clones are the same breaker.
///
/// The lock is held for tens of nanoseconds and never over an await. A task waits for the breaker's
/// next timeout, on the runtime of whoever used the breaker first. It moves to the runtime of
/// whoever waits for the breaker, or finds that the task is late, and ends when the last clone is
/// dropped.
#[derive(Clone)]
pub struct BreakerHandle(Arc<SharedBreaker>);

/// A subscription to a breaker's events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

// === impl BreakerHandle ===

impl BreakerHandle {
    /// A closed breaker called `name`, with a random seed.
    pub fn new(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        Self::with_seed(name, policy, random_seed())
    }

    /// A closed breaker whose random numbers follow from `seed`.
    pub fn with_seed(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>, seed: u64) -> Self {
        let breaker = Breaker::new(policy, seed, Timestamp::ZERO);
        Self(Arc::new(SharedBreaker::new(
            name.into(),
            breaker,
            Clock::start(),
            Arc::default(),
            None,
        )))
    }

    /// A breaker of something that is not called through it. Its feeds trip it, and judge its
    /// half-open state. If someone asks it for a permit, it still admits or rejects as usual.
    pub fn telemetry_only(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        let breaker = Breaker::new(policy, random_seed(), Timestamp::ZERO).telemetry_only();
        Self(Arc::new(SharedBreaker::new(
            name.into(),
            breaker,
            Clock::start(),
            Arc::default(),
            None,
        )))
    }

    /// A closed breaker of a set.
    pub(crate) fn in_set(
        name: String,
        policy: Arc<Policy>,
        driver: Arc<Driver>,
        audience: Arc<Audience>,
    ) -> Self {
        let breaker = Breaker::new(policy, random_seed(), Timestamp::ZERO);
        let clock = Clock::start();
        Self(Arc::new(SharedBreaker::new(
            name.into(),
            breaker,
            clock,
            driver,
            Some(audience),
        )))
    }

    /// A closed breaker with a clock of its own.
    #[cfg(feature = "testing")]
    pub(crate) fn with_clock(
        name: impl Into<Arc<str>>,
        policy: impl Into<Arc<Policy>>,
        clock: ManualClock,
    ) -> Self {
        let breaker = Breaker::new(policy, 1, Timestamp::ZERO);
        let clock = Clock::Manual(clock);
        Self(Arc::new(SharedBreaker::new(
            name.into(),
            breaker,
            clock,
            Arc::default(),
            None,
        )))
    }

    /// When time alone does something next.
    #[cfg(feature = "testing")]
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.with(|breaker, _| breaker.poll_timeout())
    }

    /// Does what time alone does.
    #[cfg(feature = "testing")]
    pub(crate) fn pass_time(&self) {
        self.with(|breaker, now| breaker.handle_timeout(now));
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The id. No other breaker of this process has it, also none of the same name.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Asks for a permit to send one request. If the returned value is dropped before the outcome
    /// is known, the request counts as `on_drop` says. [`Self::call`] can't forget the outcome:
    /// prefer it.
    ///
    /// # Errors
    /// [`Rejected`] if the breaker rejects.
    pub fn try_acquire(&self, on_drop: OnDrop) -> Result<InFlight, Rejected> {
        self.clone().into_in_flight(on_drop)
    }

    /// [`Self::try_acquire`] of a handle that its caller has no more use for: what is returned
    /// holds it.
    pub(crate) fn into_in_flight(self, on_drop: OnDrop) -> Result<InFlight, Rejected> {
        let flight = self.0.admit()?;
        Ok(InFlight::new(self, flight, on_drop))
    }

    /// Asks for a verdict without a permit, for a request that another proxy sends and whose
    /// outcome nobody reports.
    ///
    /// # Errors
    /// [`Rejected`] if the breaker rejects; this is counted.
    pub fn check(&self) -> Result<(), Rejected> {
        self.with(Breaker::check)
    }

    /// Counts a request as ignored, because it ended before the breaker was asked. It takes no
    /// permit and no half-open slot.
    pub fn ignore(&self, by: Attribution) {
        self.with(|breaker, _| breaker.ignore(by));
    }

    /// Refuses a request, whatever the state.
    pub(crate) fn refuse(&self) -> Rejected {
        self.with(Breaker::refuse)
    }

    /// Whether a request would be rejected now. For a closed breaker this needs no lock.
    pub fn would_reject(&self) -> bool {
        self.0.rejecting() && self.with(Breaker::would_reject)
    }

    /// How much would be lost with it, without its lock.
    pub(crate) fn weight(&self) -> u8 {
        self.0.weight()
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.with(|breaker, _| breaker.mode())
    }

    /// The state, as of now: what was due by time alone has happened.
    pub fn state(&self) -> State {
        self.with(|breaker, now| {
            if breaker.poll_timeout().is_some_and(|due| due <= now) {
                breaker.handle_timeout(now);
            }
            breaker.state()
        })
    }

    /// The policy.
    pub fn policy(&self) -> Arc<Policy> {
        self.with(|breaker, _| breaker.policy().clone())
    }

    /// What metrics tell beside the snapshot.
    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    pub(crate) fn tally(&self) -> Tally {
        self.0.tally()
    }

    #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
    fn failed(&self, kind: FailureKind) {
        self.0.count(|tally| tally.failed(kind));
    }

    /// The current snapshot of the breaker.
    pub fn snapshot(&self) -> Snapshot {
        self.with(Breaker::snapshot)
    }

    /// Sets the mode.
    pub fn force(&self, mode: Mode) {
        self.with(|breaker, now| breaker.force(mode, now));
    }

    /// Sets the mode for `period`; then the policy decides again.
    pub fn force_for(&self, mode: Mode, period: Duration) {
        self.with(|breaker, now| breaker.force_for(mode, period, now));
    }

    /// Forces the breaker closed until [`Self::release`], whatever the mode. Modes that are set
    /// meanwhile take effect then.
    pub fn hold_closed(&self) {
        self.with(Breaker::hold_closed);
    }

    /// Ends [`Self::hold_closed`]: the breaker gets the mode that it would have without it.
    pub fn release(&self) {
        self.with(Breaker::release);
    }

    /// Replaces the policy; the state stays.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.with(|breaker, now| breaker.set_policy(policy, now));
    }

    /// Resets the breaker: closed, with empty windows and no baselines. Totals and mode stay.
    pub fn reset(&self) {
        self.with(Breaker::reset);
    }

    /// The learned baselines of the anomaly detectors.
    pub fn baseline(&self) -> Baseline {
        self.with(|breaker, _| breaker.baseline())
    }

    /// Starts with baselines that were learned before. Returns how many sources took something.
    pub fn restore_baseline(&self, baseline: &Baseline) -> usize {
        self.with(|breaker, _| breaker.restore_baseline(baseline))
    }

    /// Discards the baselines.
    pub fn forget_baseline(&self) {
        self.with(|breaker, _| breaker.forget_baseline());
    }

    /// How far the breaker is from opening. It is found out on a copy, without the lock.
    pub fn diagnosis(&self) -> Diagnosis {
        let (copy, now) = self.with(|breaker, now| (breaker.clone(), now));
        copy.diagnosis(now)
    }

    /// The policy, what the breaker knows, and how far it is from opening: all of one moment.
    pub fn examine(&self) -> (Arc<Policy>, Snapshot, Diagnosis) {
        let (mut copy, now) = self.with(|breaker, now| (breaker.clone(), now));
        let snapshot = copy.snapshot(now);
        (copy.policy().clone(), snapshot, copy.diagnosis(now))
    }

    /// Adds a telemetry feed as a source with its own window.
    pub fn add_feed(&self, feed: Feed) -> SourceId {
        self.0.add_feed(feed)
    }

    /// Replaces all feeds by these, and returns their ids in the same order. A feed that keeps its
    /// name keeps its id, and its observations where its policy counts the same things.
    pub fn set_feeds(&self, feeds: impl IntoIterator<Item = Feed>) -> Vec<SourceId> {
        // What the caller's iterator does is not done under the lock.
        self.0.set_feeds(feeds.into_iter().collect())
    }

    /// Observes requests that a telemetry feed reports, in the order in which they ended as far as
    /// that is known. `told` is called with the result for each sample, under the breaker's lock.
    pub fn observe(
        &self,
        feed: SourceId,
        samples: impl IntoIterator<Item = Sample>,
        mut told: impl FnMut(Observed),
    ) {
        #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
        let mut fates = Vec::new();
        self.with(|breaker, now| {
            for sample in samples {
                let observed = breaker.observe(feed, &sample, now);
                #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
                fates.push((observed, u64::from(sample.count)));
                told(observed);
            }
        });
        #[cfg(any(feature = "metrics", feature = "opentelemetry"))]
        self.0.count(|tally| tally.observed(feed, fates));
    }

    /// Subscribes to events from now on.
    pub fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }

    /// The time since the breaker was created, as in its events.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// The next time that the breaker stops refusing, for a service that waits for it.
    pub(crate) fn admitting(&self) -> OwnedNotified {
        self.0.drive_here();
        self.0.admitting()
    }

    /// Records the end of a request, by what `outcome` makes of it; of one that ended well when its
    /// head came, then.
    fn end<T>(
        &self,
        flight: Box<Flight>,
        with_head: Option<Timestamp>,
        outcome: impl FnOnce(&Flight, &Permit, Timestamp) -> (Outcome, T),
    ) -> Option<T> {
        self.0.end(flight, with_head, outcome)
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Breaker, Timestamp) -> T) -> T {
        self.0.with(act)
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle")
            .field("name", &self.0.name)
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

// === impl Events ===

impl Events {
    /// The next event; `None` when the breaker is gone. If more than 64 events are unread, the
    /// oldest are skipped.
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

/// Distinct breakers must not jitter in step; what the numbers are does not matter.
fn random_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}
