//! A breaker that many tasks share: one lock, one clock, one timer.

mod in_flight;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use breaker_core::{
    Attribution, Baseline, Breaker, Event, Feed, Mode, Observed, Outlook, Policy, Rejected, Sample,
    Snapshot, SourceId, State, Timestamp,
};
use tokio::sync::broadcast;
use tokio::sync::futures::OwnedNotified;

pub use self::in_flight::{InFlight, Upload};
use crate::shared::Shared;

/// A breaker that is shared by services and operators; clones are the same breaker.
///
/// The lock is held for tens of nanoseconds and never over an await. A task on the runtime of
/// whoever used the breaker first waits for the breaker's next timeout; it ends when the last clone
/// is dropped.
#[derive(Clone)]
pub struct BreakerHandle(Arc<Shared>);

/// A subscription to a breaker's events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

// === impl BreakerHandle ===

impl BreakerHandle {
    /// A closed breaker called `name`, with a seed of its own.
    pub fn new(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        Self::with_seed(name, policy, random_seed())
    }

    /// A closed breaker whose random numbers follow from `seed`.
    pub fn with_seed(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>, seed: u64) -> Self {
        Self(Arc::new(Shared::new(
            name.into(),
            Breaker::new(policy, seed, Timestamp::ZERO),
        )))
    }

    /// The breaker of something that is not called through it: its feeds trip it, and show whether
    /// a trial goes well. Who asks it for a permit all the same is admitted or refused as usual.
    pub fn telemetry_only(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        Self(Arc::new(Shared::new(
            name.into(),
            Breaker::new(policy, random_seed(), Timestamp::ZERO).telemetry_only(),
        )))
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Asks to send one request. What is returned reports the request as
    /// [`Verdict::Ignored`](breaker_core::Verdict::Ignored) when it is dropped before its outcome
    /// is known.
    ///
    /// # Errors
    /// [`Rejected`], when the breaker refuses.
    pub fn try_acquire(&self) -> Result<InFlight, Rejected> {
        self.clone().into_in_flight()
    }

    /// [`Self::try_acquire`] of a handle that its caller has no more use for: what is returned
    /// holds it.
    pub(crate) fn into_in_flight(self) -> Result<InFlight, Rejected> {
        let (permit, policy, state) = self.with(|breaker, now| {
            let permit = breaker.try_acquire(now)?;
            Ok((permit, breaker.policy().clone(), breaker.state()))
        })?;
        Ok(InFlight::new(self, permit, policy, state))
    }

    /// Asks for a verdict without a permit, for a request that somebody else sends and whose
    /// outcome nobody reports.
    ///
    /// # Errors
    /// [`Rejected`], when the breaker refuses; that is counted.
    pub fn ask(&self) -> Result<(), Rejected> {
        self.with(Breaker::ask)
    }

    /// Counts a request as ignored that ended before the breaker was asked. It takes no permit, and
    /// no trial is owed to it.
    pub fn ignore(&self, by: Attribution) {
        self.with(|breaker, _| breaker.ignore(by));
    }

    /// Refuses a request, whatever the state.
    pub(crate) fn refuse(&self) -> Rejected {
        self.with(Breaker::refuse)
    }

    /// Whether a request would be refused now. Of a closed breaker it is known without its lock.
    pub fn would_reject(&self) -> bool {
        self.0.rejecting() && self.with(Breaker::would_reject)
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.with(|breaker, _| breaker.mode())
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

    /// Sets who decides for `period`; then the policy does.
    pub fn force_for(&self, mode: Mode, period: Duration) {
        self.with(|breaker, now| breaker.force_for(mode, period, now));
    }

    /// Forces it closed until [`Self::release`], whoever decides. Modes that are set meanwhile
    /// wait.
    pub fn hold_closed(&self) {
        self.with(Breaker::hold_closed);
    }

    /// Gives it the mode again that it would have, had it not been held closed.
    pub fn release(&self) {
        self.with(Breaker::release);
    }

    /// Takes over another policy; the state stays.
    pub fn set_policy(&self, policy: impl Into<Arc<Policy>>) {
        self.with(|breaker, now| breaker.set_policy(policy, now));
    }

    /// Begins anew: closed, with empty windows, and nothing learned. Totals and mode stay.
    pub fn reset(&self) {
        self.with(Breaker::reset);
    }

    /// What the anomaly detectors have learned to be usual.
    pub fn baseline(&self) -> Baseline {
        self.with(|breaker, _| breaker.baseline())
    }

    /// Begins with what was learned before. Returns how many sources took something.
    pub fn restore_baseline(&self, baseline: &Baseline) -> usize {
        self.with(|breaker, _| breaker.restore_baseline(baseline))
    }

    /// Forgets what was learned: what was usual no longer is.
    pub fn forget_baseline(&self) {
        self.with(|breaker, _| breaker.forget_baseline());
    }

    /// How far the breaker is from opening. It is found out on a copy, without the lock.
    pub fn outlook(&self) -> Outlook {
        let (copy, now) = self.with(|breaker, now| (breaker.clone(), now));
        copy.outlook(now)
    }

    /// The policy, what the breaker knows, and how far it is from opening: all of one moment.
    pub fn examine(&self) -> (Arc<Policy>, Snapshot, Outlook) {
        let (mut copy, now) = self.with(|breaker, now| (breaker.clone(), now));
        let snapshot = copy.snapshot(now);
        (copy.policy().clone(), snapshot, copy.outlook(now))
    }

    /// Adds a telemetry feed as a source with a window of its own.
    pub fn add_feed(&self, feed: Feed) -> SourceId {
        self.with(|breaker, _| breaker.add_feed(feed))
    }

    /// Has these feeds from now on, and no others; returns their ids in the same order. A feed
    /// whose name stays keeps its id, and what it observed where its policy counts the same things.
    pub fn set_feeds(&self, feeds: impl IntoIterator<Item = Feed>) -> Vec<SourceId> {
        self.with(|breaker, now| breaker.set_feeds(feeds, now))
    }

    /// A telemetry feed tells of requests that ended, in the order in which they did as far as that
    /// is known. `told` is called with what became of each sample, under the breaker's lock.
    pub fn observe(
        &self,
        feed: SourceId,
        samples: impl IntoIterator<Item = Sample>,
        mut told: impl FnMut(Observed),
    ) {
        self.with(|breaker, now| {
            for sample in samples {
                told(breaker.observe(feed, &sample, now));
            }
        });
    }

    /// Follows the events from now on.
    pub fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }

    /// Time since the breaker was made, as its events tell it.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// The next time that the breaker stops refusing, for a service that waits for it.
    pub(crate) fn admitting(&self) -> OwnedNotified {
        self.0.admitting()
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Breaker, Timestamp) -> T) -> T {
        self.0.with(act)
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}

// === impl Events ===

impl Events {
    /// The next event; `None` when the breaker is gone. Events that came while more than 64 were
    /// unread are skipped.
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
