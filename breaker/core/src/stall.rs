//! Does the upstream still answer? What callers that went away say of it.
//!
//! A caller that goes away before the answer says nothing of the upstream, as long as others are answered: it was impatient. If nobody is
//! answered from the request's admission to its end, and the request waited for longer than answers take, the upstream stalls. That costs
//! a caller who wants to do harm more than it brings: while others are served it proves nothing, and where nobody is served, nobody loses.
//!
//! One such request alone says little, since a request in twenty takes longer than nineteen do, and neither do many that were sent at
//! once: they are held until nobody has been answered for [`STALL`], and a second one is there. So somebody who abandons the slow
//! requests of a fast route does nothing while others are served once a second.

use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// What is known of the answers of the proxy's own source.
///
/// After a minute, an hour and three days of silence it is what it was: an estimate of how long answers take, and whether the last that was
/// heard were answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// How many there were, of whatever epoch. Only compared for equality, and small: an idle breaker is to be.
    seen: u32,
    /// About the 95th percentile of their latencies, in [`UNIT`]s.
    usual: u32,
    /// Abandoned requests that are held, since the last answer.
    held: u32,
    /// When the first of them was sent, in units of [`COARSE`].
    since: u32,
}

impl Answers {
    pub(crate) const fn new() -> Self {
        Self {
            seen: 0,
            usual: UNKNOWN,
            held: 0,
            since: 0,
        }
    }

    /// How many answers there were.
    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }

    /// The upstream answered a request, well or badly.
    pub(crate) const fn answered(&mut self) {
        self.seen = self.seen.wrapping_add(1);
        self.held = 0;
    }

    /// A good answer took `latency`. A step of an estimate that rises by 19 parts if the latency is above it, and else falls by one: it is
    /// at rest where one in twenty is above.
    pub(crate) fn took(&mut self, latency: Duration) {
        let part = self.usual >> PART;
        self.usual = if nanos(latency) >> UNIT > u64::from(self.usual) {
            self.usual.saturating_add(19 * part)
        } else {
            (self.usual - part).max(LEAST)
        };
    }

    /// Whether a request that was sent at `sent`, when so many answers had been seen, has waited without any for longer than answers take.
    pub(crate) fn are_overdue(&self, sent: Timestamp, seen: u32, now: Timestamp) -> bool {
        seen == self.seen && now.saturating_since(sent) >= self.patience()
    }

    /// For how long a request must have waited for its abandonment to say anything.
    pub(crate) const fn patience(&self) -> Duration {
        let usual = (self.usual as u64) << UNIT;
        Duration::from_nanos(usual + usual / 2)
    }

    /// A request that was sent at `sent` was abandoned while answers were overdue. Returns how many are to be counted as failures: those
    /// that were held too, once the upstream stalls.
    pub(crate) const fn abandoned(&mut self, sent: Timestamp, now: Timestamp) -> u32 {
        if self.held == 0 {
            self.since = coarse(sent);
        }
        if self.held & COUNTING == 0 {
            self.held = if self.held < COUNTING - 1 {
                self.held + 1
            } else {
                self.held
            };
            let stalls = coarse(now).wrapping_sub(self.since) >= STALL;
            if !stalls || self.held < 2 {
                return 0;
            }
            let count = self.held;
            self.held = COUNTING;
            return count;
        }
        1
    }

    /// Forgets how long answers take.
    pub(crate) const fn forget(&mut self) {
        self.usual = UNKNOWN;
        self.held = 0;
    }

    /// Another epoch begins: what is held belongs to the one before.
    pub(crate) const fn let_go(&mut self) {
        self.held = 0;
    }
}

/// 1.024 µs, as the power of two that it is of nanoseconds: then 32 bits hold an hour.
const UNIT: u32 = 10;
/// Two thirds of 100 ms: that long a request must have waited while little is known.
const UNKNOWN: u32 = 65_104;
/// The estimate moves by this power of a half.
const PART: u32 = 8;
/// A quarter of a millisecond, below which the estimate could not move; a caller that soon gone is no evidence anyway.
const LEAST: u32 = 1 << PART;

/// Set in `held` while the upstream stalls: then each abandoned request counts at once.
const COUNTING: u32 = 1 << 31;
/// About a millisecond, as a power of two of nanoseconds: 32 bits hold 52 days, and an idle breaker is to be small.
const COARSE: u32 = 20;
/// A second, in units of [`COARSE`], rounded down.
const STALL: u32 = 953;

#[expect(clippy::cast_possible_truncation, reason = "only differences matter")]
const fn coarse(at: Timestamp) -> u32 {
    (at.as_nanos() >> COARSE) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn while_nothing_is_known_it_takes_100_ms() {
        let patience = Answers::new().patience();
        assert!(patience > ms(99) && patience <= ms(100), "{patience:?}");
    }

    #[test]
    fn the_estimate_is_about_the_95th_percentile() {
        let mut answers = Answers::new();
        let mut highest = 0;
        let mut lowest = u64::MAX;
        for index in 0..20_000_u64 {
            // Evenly from 0 to 100 ms, in an order that mixes.
            let latency = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            answers.took(ms(latency * 100 / (1 << 32)));
            if index >= 10_000 {
                let usual = u64::from(answers.usual) << UNIT;
                (lowest, highest) = (lowest.min(usual), highest.max(usual));
            }
        }
        assert!(
            lowest > 80_000_000 && highest < 110_000_000,
            "{lowest} to {highest}"
        );
    }

    #[test]
    fn what_is_abandoned_counts_once_nobody_was_answered_for_a_second() {
        let at = Timestamp::from_millis;
        let mut answers = Answers::new();
        let mut abandoned = |sent, now| answers.abandoned(at(sent), at(now));
        assert_eq!(abandoned(0, 200), 0);
        assert_eq!(abandoned(0, 200), 0);
        assert_eq!(abandoned(900, 1100), 3, "those that were held too");
        assert_eq!(abandoned(1000, 1200), 1);
        answers.answered();
        assert_eq!(answers.abandoned(at(1300), at(1500)), 0);
        assert_eq!(answers.abandoned(at(1300), at(1500)), 0, "held anew");
    }

    #[test]
    fn one_alone_says_nothing_however_long_it_waited() {
        let mut answers = Answers::new();
        let late = Timestamp::from_millis(60_000);
        assert_eq!(answers.abandoned(Timestamp::ZERO, late), 0);
        assert_eq!(answers.abandoned(late, late), 2);
    }
}
