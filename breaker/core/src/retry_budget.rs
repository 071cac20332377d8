//! How many requests may be sent a second time.
//!
//! Retries double the load of a service exactly when it fails. A budget bounds them: to a share of
//! the requests of the last ten seconds, so that load grows by that share at most, as in Finagle
//! and linkerd. Own code, since `tower::retry::budget` reads the clock.

use crate::ratio::Ratio;
use crate::time::Timestamp;

/// A budget of retries. Counts are kept in ten slots of a second.
///
/// ```
/// use breaker_core::{Ratio, RetryBudget, Timestamp};
///
/// let now = Timestamp::ZERO;
/// let mut budget = RetryBudget::new(Ratio::of(20, 100), 1);
/// (0..10).for_each(|_| budget.request(now));
/// assert!(budget.withdraw(now));
/// assert!(budget.withdraw(now));
/// assert!(!budget.withdraw(now));
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    share: Ratio,
    least: u64,
    slots: [Slot; SLOTS as usize],
    /// The number of the live slot since the origin of time.
    live: u64,
    sum: Slot,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    /// Allows retries of this share of the requests of ten seconds, and `least` in ten seconds if
    /// there are few requests. A share of zero allows none.
    pub const fn new(share: Ratio, least: u32) -> Self {
        Self {
            share,
            least: least as u64,
            slots: [Slot {
                requests: 0,
                retries: 0,
            }; SLOTS as usize],
            live: 0,
            sum: Slot {
                requests: 0,
                retries: 0,
            },
        }
    }

    /// Sets another share and minimum; what was counted stays.
    pub const fn set(&mut self, share: Ratio, least: u32) {
        (self.share, self.least) = (share, least as u64);
    }

    /// Counts a request; not its retries.
    pub fn request(&mut self, now: Timestamp) {
        self.pass(now).requests += 1;
        self.sum.requests += 1;
    }

    /// Asks for a retry, which is counted if it may be sent.
    pub fn withdraw(&mut self, now: Timestamp) -> bool {
        if self.left(now) == 0 {
            return false;
        }
        self.pass(now).retries += 1;
        self.sum.retries += 1;
        true
    }

    /// How many retries may be sent now.
    pub fn left(&mut self, now: Timestamp) -> u64 {
        self.pass(now);
        if self.share == Ratio::ZERO {
            return 0;
        }
        // 20 % of 5 is 1, whatever binary fractions make of it.
        let share = (self.sum.requests as f64 * self.share.get() + 1e-9) as u64;
        share.max(self.least).saturating_sub(self.sum.retries)
    }

    /// Forgets what is older than ten seconds; the live slot. A time before it counts as in it.
    fn pass(&mut self, now: Timestamp) -> &mut Slot {
        let slot = now.as_nanos() / SECOND;
        let first = (self.live + 1).max(slot.saturating_sub(SLOTS - 1));
        for next in first..=slot {
            let gone = std::mem::take(&mut self.slots[(next % SLOTS) as usize]);
            self.sum.requests -= gone.requests;
            self.sum.retries -= gone.retries;
        }
        self.live = self.live.max(slot);
        &mut self.slots[(self.live % SLOTS) as usize]
    }
}

impl Default for RetryBudget {
    /// 20 % of the requests of ten seconds, and one in ten seconds at least.
    fn default() -> Self {
        Self::new(Ratio::of(20, 100), 1)
    }
}

const SLOTS: u64 = 10;
const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_fifth_of_the_requests_of_ten_seconds_is_sent_again() {
        let mut budget = RetryBudget::default();
        let mut sent = 0;
        for millis in (0..60_000).step_by(10) {
            budget.request(at(millis));
            sent += u64::from(budget.withdraw(at(millis)));
        }
        assert_eq!(sent, 6000 / 5);
        // What is over is forgotten.
        assert_eq!(budget.left(at(69_999)), 1);
        assert_eq!(budget.left(at(80_000)), 1);
    }

    #[test]
    fn one_in_ten_seconds_where_there_are_few_requests_and_none_if_the_share_is_zero() {
        let mut budget = RetryBudget::default();
        let sent: Vec<_> = (0..30)
            .filter(|second| budget.withdraw(at(second * 1000)))
            .collect();
        assert_eq!(sent, [0, 10, 20]);
        budget.set(Ratio::ZERO, 5);
        budget.request(at(40_000));
        assert!(!budget.withdraw(at(40_000)));
        budget.set(Ratio::ONE, 0);
        assert!(budget.withdraw(at(40_000)) && !budget.withdraw(at(40_000)));
    }

    proptest! {
        #[test]
        fn a_retry_is_within_the_budget_when_it_is_sent(
            steps in prop::collection::vec((0..3000_u64, any::<bool>()), 0..300),
        ) {
            let mut budget = RetryBudget::default();
            let (mut now, mut requests, mut retries) = (10_000, Vec::new(), Vec::new());
            for (gap, is_request) in steps {
                now += gap;
                // Of the live second and the nine before it.
                let lately = |times: &[u64]| {
                    times.iter().filter(|time| **time / 1000 + 10 > now / 1000).count() as u64
                };
                if is_request {
                    budget.request(at(now));
                    requests.push(now);
                    continue;
                }
                let may = lately(&retries) < (lately(&requests) / 5).max(1);
                prop_assert_eq!(budget.withdraw(at(now)), may);
                if may {
                    retries.push(now);
                }
            }
        }
    }
}
