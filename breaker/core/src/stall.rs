//! Does the upstream still answer? What callers that went away say of it.
//!
//! A caller that goes away before the answer says nothing of the upstream, as long as others are answered: it was impatient. If nobody is
//! answered from the request's admission to its end, and the request waited for longer than answers take, the upstream stalls. That costs
//! a caller who wants to do harm more than it brings: while others are served it proves nothing, and where nobody is served, nobody loses.
//!
//! One such request alone says little, since a request in twenty takes longer than nineteen do: it is held until the next one, with still
//! no answer between them.

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
    /// How many abandoned requests there were that nobody was answered beside, since the last answer.
    unanswered: u32,
}

impl Answers {
    pub(crate) const fn new() -> Self {
        Self {
            seen: 0,
            usual: UNKNOWN,
            unanswered: 0,
        }
    }

    /// How many answers there were.
    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }

    /// The upstream answered a request, well or badly.
    pub(crate) const fn answered(&mut self) {
        self.seen = self.seen.wrapping_add(1);
        self.unanswered = 0;
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

    /// A request was abandoned while answers were overdue. Returns how many are to be counted as failures: the first waits for the second.
    pub(crate) const fn abandoned(&mut self) -> u32 {
        self.unanswered = self.unanswered.saturating_add(1);
        match self.unanswered {
            1 => 0,
            2 => 2,
            _ => 1,
        }
    }

    /// Forgets how long answers take.
    pub(crate) const fn forget(&mut self) {
        self.usual = UNKNOWN;
        self.unanswered = 0;
    }

    /// Another epoch begins: what is held belongs to the one before.
    pub(crate) const fn let_go(&mut self) {
        self.unanswered = 0;
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
    fn the_first_that_is_abandoned_counts_with_the_second() {
        let mut answers = Answers::new();
        assert_eq!([0; 3].map(|_| answers.abandoned()), [0, 2, 1]);
        answers.answered();
        assert_eq!(answers.abandoned(), 0);
    }
}
