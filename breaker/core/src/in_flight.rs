//! How long the requests in flight have been waiting, without a timer or a list entry for each of
//! them.
//!
//! A hung upstream produces no completions, so a breaker that looks at completed requests only
//! never sees it. Here every admission is counted in a slot of admission times; how many requests
//! are older than a bound is then a walk over the oldest slots, which are few.

use std::collections::VecDeque;
use std::time::Duration;

use crate::detector::Crossed;
use crate::time::{Timestamp, nanos};

/// Admission times of the requests that age, in slots.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    /// Ascending in time, at most [`MAX_SLOTS`], the first never empty.
    slots: VecDeque<Slot>,
    /// In [`UNIT`]s, a second at most: an idle breaker is to be small.
    resolution: u16,
    /// How many ended in time of those that were admitted with those that hung and have ended,
    /// since that was asked for last.
    passed: u16,
    /// How many stand aside.
    aside: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    first: Timestamp,
    /// The latest admission in the slot: ages are understated, never overstated.
    last: Timestamp,
    count: u32,
    /// Of those that are in it now: each is observed once by a detector, while it hangs or when it
    /// ends.
    crossed: Crossed,
    /// Whether those that are in it wait for no queue. Of the oldest slots it is said first.
    aside: bool,
    /// How many of them ended before they were observed for their age.
    ended: u32,
}

impl InFlight {
    /// Tells ages apart to a twentieth of `smallest_bound`.
    pub(crate) fn new(smallest_bound: Duration) -> Self {
        Self {
            slots: VecDeque::new(),
            resolution: resolution(smallest_bound),
            passed: 0,
            aside: 0,
        }
    }

    /// Tells ages apart as finely as `smallest_bound` needs from now on; requests that are here
    /// keep their slots.
    pub(crate) fn set_resolution(&mut self, smallest_bound: Duration) {
        self.resolution = resolution(smallest_bound);
    }

    /// Has no request observed yet: detectors for other bounds have just begun.
    pub(crate) fn forget_crossed(&mut self) {
        for slot in &mut self.slots {
            slot.crossed = Crossed::default();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots = VecDeque::new();
        (self.passed, self.aside) = (0, 0);
    }

    /// Adds a request admitted at `now`, not before any other.
    pub(crate) fn add(&mut self, now: Timestamp) {
        if let Some(slot) = self.slots.back_mut()
            && (now.as_nanos() - slot.first.as_nanos()) >> UNIT < u64::from(self.resolution)
            && !slot.aside
        {
            slot.last = now;
            slot.count += 1;
            return;
        }
        if self.slots.len() == MAX_SLOTS {
            self.merge_closest(now);
        }
        if self.slots.capacity() == 0 {
            // Most breakers have one request in flight at a time, or none.
            self.slots.reserve_exact(1);
        }
        self.slots.push_back(Slot {
            first: now,
            last: now,
            count: 1,
            crossed: Crossed::default(),
            aside: false,
            ended: 0,
        });
    }

    /// Removes a request admitted at `admitted`, which has ended. Returns what it was observed for
    /// while it hung.
    pub(crate) fn remove(&mut self, admitted: Timestamp) -> Crossed {
        self.take(admitted, 1)
    }

    /// Removes a request admitted at `admitted`, which goes on: its caller is waited for. Returns
    /// what it was observed for while it hung.
    pub(crate) fn withdraw(&mut self, admitted: Timestamp) -> Crossed {
        self.take(admitted, 0)
    }

    fn take(&mut self, admitted: Timestamp, ended: u32) -> Crossed {
        let slot = match self.slots.back_mut() {
            // Most requests are over before the youngest slot is full.
            Some(youngest) if youngest.first <= admitted => Some(youngest),
            _ => {
                let after = self.slots.partition_point(|slot| slot.first <= admitted);
                after
                    .checked_sub(1)
                    .and_then(|index| self.slots.get_mut(index))
            }
        };
        let crossed = slot.map(|slot| {
            if slot.aside && slot.count > 0 {
                self.aside -= 1;
            }
            if slot.crossed == Crossed::default() {
                slot.ended += ended;
            } else {
                // Each of those that hang takes its part with it.
                let part = slot.ended / slot.count.max(1);
                slot.ended -= part;
                self.passed = self.passed.saturating_add(part.min(u16::MAX.into()) as u16);
            }
            slot.count = slot.count.saturating_sub(1);
            slot.crossed
        });
        while let Some(slot) = self.slots.front()
            && slot.count == 0
        {
            let ended = u16::try_from(slot.ended).unwrap_or(u16::MAX);
            self.passed = self.passed.saturating_add(ended);
            self.slots.pop_front();
        }
        crossed.unwrap_or_default()
    }

    /// How many requests ended in time that were admitted with those that hung and have ended since
    /// this was asked for last.
    pub(crate) fn take_passed(&mut self) -> u32 {
        std::mem::take(&mut self.passed).into()
    }

    /// How many requests have reached `age` since they were asked for last, by the mark that says
    /// so.
    pub(crate) fn cross(
        &mut self,
        age: Duration,
        now: Timestamp,
        mark: impl Fn(&mut Crossed) -> &mut bool,
    ) -> u32 {
        let is_marked = |slot: &Slot| *mark(&mut { slot.crossed });
        // Marks are set from the oldest on, so that the slots that have one come first.
        let first = self.slots.partition_point(is_marked);
        let mut count = 0_u32;
        for slot in self.slots.range_mut(first..) {
            if now.saturating_since(slot.last) < age {
                break;
            }
            *mark(&mut slot.crossed) = true;
            count = count.saturating_add(slot.count);
        }
        count
    }

    /// Whether any request is at least `age` old.
    pub(crate) fn has_reached(&self, age: Duration, now: Timestamp) -> bool {
        let oldest = self.slots.front();
        oldest.is_some_and(|slot| now.saturating_since(slot.last) >= age)
    }

    /// Has those stand aside that are at least `age` old and were admitted before `overtaken`: each
    /// slot is looked at once.
    pub(crate) fn set_aside(&mut self, age: Duration, overtaken: Timestamp, now: Timestamp) {
        let first = self.slots.partition_point(|slot| slot.aside);
        for slot in self.slots.range_mut(first..) {
            if slot.last >= overtaken || now.saturating_since(slot.last) < age {
                break;
            }
            slot.aside = true;
            self.aside += slot.count;
        }
    }

    /// How many stand aside.
    pub(crate) const fn aside(&self) -> u64 {
        self.aside as u64
    }

    /// How many requests are at least `age` old.
    pub(crate) fn older_than(&self, age: Duration, now: Timestamp) -> u64 {
        let age = nanos(age);
        self.slots
            .iter()
            .take_while(|slot| now.as_nanos().saturating_sub(slot.last.as_nanos()) >= age)
            .map(|slot| u64::from(slot.count))
            .sum()
    }

    /// Ages and how many requests have at least that age, oldest first.
    pub(crate) fn ages(&self, now: Timestamp) -> impl Iterator<Item = (Duration, u32)> {
        self.slots
            .iter()
            .map(move |slot| (now.saturating_since(slot.last), slot.count))
    }

    /// When, after `now`, the next request reaches the age `bound`, if no more are admitted and
    /// none ends.
    pub(crate) fn next_to_reach(&self, bound: Duration, now: Timestamp) -> Option<Timestamp> {
        self.slots
            .iter()
            .filter(|slot| slot.count > 0)
            .map(|slot| slot.last + bound)
            .find(|reached| *reached > now)
    }

    /// Makes room by merging the two neighbours that, merged, span the smallest part of their age.
    fn merge_closest(&mut self, now: Timestamp) {
        let relative_span = |index: usize| {
            let (older, younger) = (self.slots[index], self.slots[index + 1]);
            let span = younger.last.saturating_since(older.first);
            let age = now.saturating_since(older.first);
            span.as_secs_f64() / age.as_secs_f64().max(1e-9)
        };
        let closest = (0..self.slots.len() - 1)
            .min_by(|a, b| relative_span(*a).total_cmp(&relative_span(*b)))
            .expect("there are slots, or there would be room");
        if let Some(younger) = self.slots.remove(closest + 1) {
            // The marks stay those of the older: some of the younger may then never be observed,
            // and none twice.
            let older = &mut self.slots[closest];
            if older.aside && !younger.aside {
                self.aside += younger.count;
            }
            older.last = younger.last;
            older.count += younger.count;
            older.ended = older.ended.saturating_add(younger.ended);
        }
    }
}

fn resolution(smallest_bound: Duration) -> u16 {
    u16::try_from((nanos(smallest_bound) / 20) >> UNIT).unwrap_or(u16::MAX)
}

/// 2^14 ns, in which the resolution is kept.
const UNIT: u32 = 14;

/// Ages are told apart to about a sixth at worst: 128 slots over 20 octaves, from a twentieth of a
/// 1 ms bound to a minute.
const MAX_SLOTS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_secs_f64(seconds)
    }

    #[test]
    fn requests_age_while_they_hang() {
        let mut in_flight = InFlight::new(SECOND);
        for _ in 0..20 {
            in_flight.add(at(5.0));
        }
        assert_eq!(in_flight.older_than(SECOND, at(5.999)), 0);
        assert_eq!(in_flight.older_than(SECOND, at(6.0)), 20);
        assert_eq!(in_flight.next_to_reach(SECOND, at(5.5)), Some(at(6.0)));
        assert_eq!(in_flight.next_to_reach(SECOND, at(6.0)), None);
    }

    #[test]
    fn a_request_that_ends_is_no_longer_old() {
        let mut in_flight = InFlight::new(SECOND);
        in_flight.add(at(1.0));
        in_flight.add(at(1.5));
        in_flight.remove(at(1.0));
        assert_eq!(in_flight.older_than(SECOND, at(2.4)), 0);
        assert_eq!(in_flight.older_than(SECOND, at(2.5)), 1);
        in_flight.remove(at(1.5));
        assert_eq!(in_flight.slots.len(), 0);
    }

    #[test]
    fn a_request_crosses_a_bound_once() {
        let mut in_flight = InFlight::new(SECOND);
        in_flight.add(at(1.0));
        in_flight.add(at(1.5));
        let cross = |in_flight: &mut InFlight, seconds| {
            in_flight.cross(SECOND, at(seconds), |crossed| &mut crossed.deadline)
        };
        assert_eq!(cross(&mut in_flight, 1.9), 0);
        assert_eq!(cross(&mut in_flight, 2.0), 1);
        assert_eq!(cross(&mut in_flight, 2.4), 0);
        let first = in_flight.remove(at(1.0));
        assert_eq!((first.deadline, first.threshold), (true, false));
        assert_eq!(in_flight.remove(at(1.5)), Crossed::default());
    }

    #[test]
    fn who_is_old_and_overtaken_stands_aside_until_it_ends() {
        let mut in_flight = InFlight::new(SECOND);
        for seconds in [1.0, 1.0, 1.5, 2.0] {
            in_flight.add(at(seconds));
        }
        let mut aside = |overtaken, now| {
            in_flight.set_aside(SECOND, at(overtaken), at(now));
            in_flight.aside()
        };
        assert_eq!(aside(3.0, 1.9), 0, "too young");
        assert_eq!(aside(1.0, 9.0), 0, "in the order of their admission");
        assert_eq!(aside(1.5, 2.9), 2);
        assert_eq!(aside(1.5, 2.9), 2, "each once");
        assert_eq!(aside(9.0, 2.9), 3);
        in_flight.remove(at(1.0));
        in_flight.remove(at(2.0));
        assert_eq!(in_flight.aside(), 2);
        in_flight.remove(at(1.0));
        in_flight.remove(at(1.5));
        assert_eq!(in_flight.aside(), 0);
    }

    #[test]
    fn who_was_admitted_with_one_that_hangs_is_known_when_that_ends() {
        let mut in_flight = InFlight::new(SECOND);
        for (admitted, ended) in [(1.0, 2), (2.0, 3), (3.0, 4)] {
            for _ in 0..=ended {
                in_flight.add(at(admitted));
            }
            for _ in 0..ended {
                in_flight.remove(at(admitted));
            }
        }
        assert_eq!(in_flight.take_passed(), 0, "one of each hangs");
        in_flight.cross(SECOND, at(9.0), |crossed| &mut crossed.deadline);
        in_flight.remove(at(1.0));
        assert_eq!(in_flight.take_passed(), 2);
        in_flight.remove(at(3.0));
        assert_eq!(in_flight.take_passed(), 4);
        in_flight.remove(at(2.0));
        assert_eq!(in_flight.take_passed(), 3);
    }

    #[test]
    fn nobody_stands_aside_twice_where_slots_are_merged() {
        let mut in_flight = InFlight::new(Duration::from_millis(1));
        let admissions: Vec<_> = (0..10_000).map(Timestamp::from_millis).collect();
        for (index, admitted) in admissions.iter().enumerate() {
            in_flight.add(*admitted);
            if index % 7 == 0 {
                in_flight.set_aside(SECOND, *admitted, *admitted);
            }
        }
        assert!(in_flight.aside() <= 10_000);
        assert!(in_flight.aside() >= 7_000, "{}", in_flight.aside());
        for admitted in admissions {
            in_flight.remove(admitted);
        }
        assert_eq!(in_flight.aside(), 0);
    }

    #[test]
    fn ages_are_never_overstated_and_slots_are_bounded() {
        let mut in_flight = InFlight::new(Duration::from_millis(1));
        let admissions: Vec<_> = (0..100_000).map(Timestamp::from_millis).collect();
        for admitted in &admissions {
            in_flight.add(*admitted);
        }
        let now = Timestamp::from_millis(100_000);
        assert!(in_flight.slots.len() <= MAX_SLOTS);
        for age in [1, 50, 1000, 10_000, 60_000] {
            let age = Duration::from_millis(age);
            let true_count = admissions
                .iter()
                .filter(|at| now.saturating_since(**at) >= age)
                .count() as u64;
            let counted = in_flight.older_than(age, now);
            assert!(counted <= true_count, "{age:?}: {counted} of {true_count}");
            assert!(
                counted * 4 >= true_count * 3,
                "{age:?}: {counted} of {true_count}"
            );
        }
        for admitted in admissions {
            in_flight.remove(admitted);
        }
        assert_eq!(in_flight.slots.len(), 0);
    }
}
