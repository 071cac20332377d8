//! Which attempts at an endpoint hang, without a timer or a list entry for each.
//!
//! Beginnings are counted in nine slots of an eighth of the deadline. When all attempts of a slot
//! are older than the deadline they are late, once: at an age of one deadline to nine eighths of
//! it. The breaker's own slots (`in_flight`) tell ages apart on all scales, and take up to 6 KiB:
//! too much for an endpoint.

use std::time::Duration;

use crate::time::{Timestamp, nanos};

#[derive(Clone, Debug)]
pub(super) struct Hanging {
    counts: [u32; SLOTS],
    /// The length of a slot in nanoseconds, and the number of the live one.
    slot: u64,
    live: u64,
}

impl Hanging {
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            counts: [0; SLOTS],
            slot: (nanos(deadline) / PARTS).max(1),
            live: 0,
        }
    }

    /// An attempt begins to age. Call [`Self::pass`] first.
    pub(super) fn begin(&mut self, at: Timestamp) {
        let slot = self.slot_of(at);
        if let Some(count) = self.count_of(slot) {
            *count += 1;
        }
    }

    /// An attempt that began at `began` ages no more. Returns whether it was told of as late.
    pub(super) fn end(&mut self, began: Timestamp) -> bool {
        let slot = self.slot_of(began);
        match self.count_of(slot) {
            Some(count) => {
                *count = count.saturating_sub(1);
                false
            }
            None => slot < self.live,
        }
    }

    /// How many attempts are late that were not until now.
    #[inline]
    pub(super) fn pass(&mut self, now: Timestamp) -> u32 {
        let slot = now.as_nanos() / self.slot;
        if slot <= self.live {
            0
        } else {
            self.pass_to(slot)
        }
    }

    #[cold]
    fn pass_to(&mut self, slot: u64) -> u32 {
        let mut late = 0_u32;
        for next in self.live + 1..=slot.min(self.live + SLOTS as u64) {
            let oldest = &mut self.counts[(next % SLOTS as u64) as usize];
            late = late.saturating_add(std::mem::take(oldest));
        }
        self.live = slot;
        late
    }

    /// When the next attempt may become late.
    pub(super) fn next(&self) -> Option<Timestamp> {
        // The live slot is the last of the ring, so the one after it is the oldest.
        let slots = (self.live + 1)..=(self.live + SLOTS as u64);
        let mut held = slots.filter(|slot| self.counts[(slot % SLOTS as u64) as usize] > 0);
        let next = held.next()?;
        Some(Timestamp::from_nanos(next.saturating_mul(self.slot)))
    }

    fn slot_of(&self, at: Timestamp) -> u64 {
        at.as_nanos() / self.slot
    }

    fn count_of(&mut self, slot: u64) -> Option<&mut u32> {
        let known = slot <= self.live && self.live - slot < SLOTS as u64;
        known.then(|| &mut self.counts[(slot % SLOTS as u64) as usize])
    }
}

/// Parts of the deadline.
const PARTS: u64 = 8;
/// The live slot too.
const SLOTS: usize = PARTS as usize + 1;

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_millis(1000);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn an_attempt_is_late_once_at_one_deadline_to_nine_eighths() {
        for begin in [0, 60, 124, 125, 999] {
            let mut hanging = Hanging::new(DEADLINE);
            hanging.pass(at(begin));
            hanging.begin(at(begin));
            let late: Vec<_> = (begin..begin + 3000)
                .filter(|millis| hanging.pass(at(*millis)) > 0)
                .map(|millis| millis - begin)
                .collect();
            assert_eq!(late.len(), 1);
            assert!((1000..=1125).contains(&late[0]), "{late:?}");
            assert!(hanging.end(at(begin)));
        }
    }

    #[test]
    fn an_attempt_that_ends_in_time_is_never_late() {
        let mut hanging = Hanging::new(DEADLINE);
        hanging.pass(at(100));
        hanging.begin(at(100));
        hanging.begin(at(110));
        hanging.pass(at(900));
        assert!(!hanging.end(at(100)));
        assert_eq!(hanging.next(), Some(at(1125)));
        assert_eq!(hanging.pass(at(1124)), 0);
        assert_eq!(hanging.pass(at(1125)), 1);
        assert_eq!(hanging.next(), None);
    }

    #[test]
    fn a_silence_makes_all_late_at_once() {
        let mut hanging = Hanging::new(DEADLINE);
        for millis in (0..1000).step_by(100) {
            hanging.pass(at(millis));
            hanging.begin(at(millis));
        }
        assert_eq!(hanging.pass(at(86_400_000)), 10);
        assert!(hanging.end(at(0)));
    }
}
