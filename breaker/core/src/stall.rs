//! Does the upstream still answer? What callers that went away say of it.
//!
//! A caller that goes away before the answer says nothing of the upstream, as long as others are
//! answered: it was impatient. If nobody is answered from the request's admission to its end, and
//! the request waited for longer than answers take, the upstream stalls. That costs a caller who
//! wants to do harm more than it brings: while others are served it proves nothing, and where
//! nobody is served, nobody loses.
//!
//! While no answer was ever seen, a caller must wait for as long as the policy's first latency
//! bound: what is usual is not known, and the only caller of a slow route must not open its breaker
//! by leaving soon.
//!
//! One such request alone says little, since a request in twenty takes longer than nineteen do, and
//! neither do many that were sent at once: they are held until nobody has been answered for
//! [`STALL`], and a second one is there. So somebody who abandons the slow requests of a fast route
//! does nothing while others are served once a second. Where answers are rarer, nobody must have
//! been answered for three times as long as 95 % of the times between two of them.

use std::time::Duration;

use crate::time::{Timestamp, nanos};

/// What is known of the answers of the proxy's own source.
///
/// After a minute, an hour and three days of silence it is what it was: an estimate of how long
/// answers take, and whether the last that was heard were answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// How many there were, of whatever epoch. Only compared for equality, and small: an idle
    /// breaker is to be.
    seen: u32,
    /// About the 95th percentile of their latencies, in [`UNIT`]s, [`LEAST`] at least; 0 while
    /// nothing is known.
    usual: u32,
    /// When the first of those that are held was sent, in units of [`COARSE`]; when the last answer
    /// was seen, while none is.
    since: u32,
    /// Abandoned requests that are held, since the last answer.
    held: u16,
    /// About the 95th percentile of the times between signs of life, in units of [`COARSE`].
    gap: u16,
}

impl Answers {
    pub(crate) const fn new() -> Self {
        Self {
            seen: 0,
            usual: 0,
            since: 0,
            held: 0,
            gap: 0,
        }
    }

    /// How many answers there were.
    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }

    /// The upstream answered a request at `now`, well or badly.
    pub(crate) fn answered(&mut self, now: Timestamp) {
        let now = coarse(now);
        if self.held == 0 && self.seen > 0 {
            let gap = now.wrapping_sub(self.since).min(u16::MAX.into()) as u16;
            self.gap = match gap > self.gap {
                true if self.seen <= FIRST => gap,
                true => self.gap.saturating_add(19 * (self.gap >> PART).max(1)),
                false => self.gap - (self.gap >> PART).max(1).min(self.gap),
            };
        }
        self.seen = self.seen.wrapping_add(1);
        self.held = 0;
        self.since = now;
    }

    /// A good answer took `latency`, and was [counted](Self::answered). The largest of the first
    /// ones is taken for the 95th percentile; then a step of an estimate that rises by 19 parts if
    /// the latency is above it, and else falls by one: it is at rest where one in twenty is above.
    pub(crate) fn took(&mut self, latency: Duration) {
        let latency = u32::try_from(nanos(latency) >> UNIT).unwrap_or(u32::MAX);
        let part = self.usual >> PART;
        self.usual = if self.seen <= FIRST || self.usual == 0 {
            self.usual.max(latency)
        } else if latency > self.usual {
            self.usual.saturating_add(19 * part)
        } else {
            self.usual - part
        };
        self.usual = self.usual.max(LEAST);
    }

    /// Whether a request that was sent at `sent`, when so many answers had been seen, has waited
    /// without any for longer than answers take; for `unknown` where it is not known how long that
    /// is.
    pub(crate) fn are_overdue(
        &self,
        sent: Timestamp,
        seen: u32,
        unknown: Duration,
        now: Timestamp,
    ) -> bool {
        seen == self.seen && now.saturating_since(sent) >= self.patience(unknown)
    }

    /// For how long a request must have waited for its abandonment to say anything; `unknown` where
    /// it is not known how long answers take.
    pub(crate) const fn patience(&self, unknown: Duration) -> Duration {
        if self.usual == 0 {
            return unknown;
        }
        let usual = (self.usual as u64) << UNIT;
        let patience = usual + usual / 2;
        Duration::from_nanos(if patience > LEAST_PATIENCE {
            patience
        } else {
            LEAST_PATIENCE
        })
    }

    /// A request that was sent at `sent` was abandoned while answers were overdue. Returns how many
    /// are to be counted as failures: those that were held too, once the upstream stalls.
    pub(crate) fn abandoned(&mut self, sent: Timestamp, now: Timestamp) -> u32 {
        if self.held == 0 {
            self.since = coarse(sent);
        }
        if self.held & COUNTING == 0 {
            self.held = if self.held < COUNTING - 1 {
                self.held + 1
            } else {
                self.held
            };
            let stalls = coarse(now).wrapping_sub(self.since) >= STALL.max(3 * u32::from(self.gap));
            if !stalls || self.held < 2 {
                return 0;
            }
            let count = self.held;
            self.held = COUNTING;
            return count.into();
        }
        1
    }

    /// Forgets how long answers take.
    pub(crate) const fn forget(&mut self) {
        (self.usual, self.gap) = (0, 0);
        self.let_go();
    }

    /// Another epoch begins: what is held belongs to the one before.
    pub(crate) const fn let_go(&mut self) {
        if self.held > 0 {
            self.held = 0;
        }
    }
}

/// 1.024 µs, as the power of two that it is of nanoseconds: then 32 bits hold an hour.
const UNIT: u32 = 10;
/// 100 ms: a caller that is gone sooner is no evidence, however fast the route.
const LEAST_PATIENCE: u64 = 100_000_000;
/// A quarter of a millisecond, below which the estimate could not move.
const LEAST: u32 = 1 << PART;
/// So many signs of life must be seen before the estimate is one: of an answer its head, the begin
/// of its body and its end.
const FIRST: u32 = 20;
/// The estimate moves by this power of a half.
const PART: u32 = 8;

/// Set in `held` while the upstream stalls: then each abandoned request counts at once.
const COUNTING: u16 = 1 << 15;
/// About a millisecond, as a power of two of nanoseconds: 32 bits hold 52 days, and an idle breaker
/// is to be small.
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
    fn while_nothing_is_known_it_takes_as_long_as_the_caller_of_this_says() {
        let mut answers = Answers::new();
        assert_eq!(answers.patience(ms(800)), ms(800));
        answers.answered(Timestamp::ZERO);
        answers.took(ms(1));
        assert_eq!(answers.patience(ms(800)), ms(100), "the least");
    }

    #[test]
    fn the_first_answers_of_a_slow_route_are_enough_to_know_it() {
        let mut answers = Answers::new();
        for latency in [40, 500, 450] {
            answers.answered(Timestamp::ZERO);
            answers.took(ms(latency));
        }
        let patience = answers.patience(ms(800));
        assert!(patience > ms(749) && patience <= ms(750), "{patience:?}");
    }

    #[test]
    fn the_estimate_is_about_the_95th_percentile() {
        let mut answers = Answers::new();
        let mut highest = 0;
        let mut lowest = u64::MAX;
        for index in 0..20_000_u64 {
            // Evenly from 0 to 1 s, in an order that mixes.
            let latency = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            answers.answered(Timestamp::ZERO);
            answers.took(ms(latency * 1000 / (1 << 32)));
            if index >= 10_000 {
                let usual = u64::from(answers.usual) << UNIT;
                (lowest, highest) = (lowest.min(usual), highest.max(usual));
            }
        }
        assert!(
            lowest > 800_000_000 && highest < 1_100_000_000,
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
        answers.answered(Timestamp::ZERO);
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
