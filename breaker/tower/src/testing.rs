//! For tests of programs that use breakers: a clock that stands still, and a breaker that opens
//! when it is told to.
//!
//! ```
//! use std::time::Duration;
//! use breaker_tower::testing::TestBreaker;
//! use breaker_tower::{Policy, State};
//!
//! let test = TestBreaker::new("pay", Policy::sensitive());
//! // What is tested uses a clone of `test.handle()`.
//! test.trip();
//! assert_eq!(test.handle().state(), State::Open);
//! test.advance(Duration::from_secs(15));
//! assert_eq!(test.handle().state(), State::HalfOpen);
//! ```
//!
//! Its time passes by [`TestBreaker::advance`] alone. A
//! [`BreakerLayer::timeout`](crate::BreakerLayer::timeout) and a deadline of a caller follow
//! tokio's clock: `#[tokio::test(start_paused = true)]` with `tokio::time::advance` moves
//! everything, the time of usual breakers too, and needs no [`TestBreaker`].
//!
//! A loop of failing calls in which no time passes opens `sensitive` at the twentieth call. It
//! never opens `adaptive`, which looks at no shorter time than 200 ms: let some pass between the
//! calls.

use std::sync::Arc;
use std::time::Duration;

use breaker_core::policy::{Builder, Condition, TripEntry};
use breaker_core::{Classification, Policy, State};

use crate::handle::{BreakerHandle, OnDrop};
use crate::shared::clock::ManualClock;

/// A breaker with a clock of its own, which stands still.
#[derive(Clone, Debug)]
pub struct TestBreaker {
    handle: BreakerHandle,
    clock: ManualClock,
}

impl TestBreaker {
    /// A closed breaker. Its random numbers are the same in each run.
    pub fn new(name: impl Into<Arc<str>>, policy: impl Into<Arc<Policy>>) -> Self {
        let clock = ManualClock::default();
        Self {
            handle: BreakerHandle::with_clock(name, policy, clock.clone()),
            clock,
        }
    }

    /// The breaker, for the program that is tested.
    pub const fn handle(&self) -> &BreakerHandle {
        &self.handle
    }

    /// Lets `period` pass. What is due meanwhile happens at its time.
    pub fn advance(&self, period: Duration) {
        let target = self.clock.now() + period;
        while let Some(due) = self.handle.due()
            && due <= target
            && due > self.clock.now()
        {
            self.clock.set(due);
            self.handle.pass_time();
        }
        self.clock.set(target);
        self.handle.pass_time();
    }

    /// Opens the breaker as its policy would, by a single failure, for the policy's open time.
    ///
    /// # Panics
    /// If an operator's mode keeps it closed.
    pub fn trip(&self) {
        let policy = self.handle.policy();
        let entry = TripEntry::open([Condition::ConsecutiveFailures(1)]);
        let touchy = Builder::from((*policy).clone()).trip([entry]).build();
        self.handle.reset();
        self.handle
            .set_policy(touchy.expect("one failure is in range"));
        let request = self.handle.try_acquire(OnDrop::Ignored);
        request
            .expect("a breaker that was reset admits")
            .finish(Classification::Failure);
        self.handle.set_policy(policy);
        assert_eq!(self.handle.state(), State::Open, "a mode keeps it closed");
    }
}
