//! Sorts requests by their start. Traces have them in about this order, or in the order of their
//! end.
//!
//! Most logs have a line when a request ends. So a request that hung for long began long before its
//! neighbours. A request is too late only if an earlier line has a request that ended later, by
//! more than the tolerance. A request that began before the last released one is released at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use breaker_tower::breaker_core::Timestamp;

use super::judge::Classifications;

/// A request in few bytes, because millions of them wait here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Recorded {
    pub(super) at: Timestamp,
    /// In nanoseconds; [`Self::NEVER`] if it was never answered.
    pub(super) latency: u64,
    pub(super) route: u32,
    pub(super) classifications: Classifications,
}

/// Holds requests back until no request that began earlier can be expected.
#[derive(Debug)]
pub(super) struct Reorder {
    tolerance: Duration,
    most: usize,
    /// Requests that came nearly in order: each is inserted at its place.
    ordered: VecDeque<Recorded>,
    /// All others: inserting them into `ordered` would move too many.
    strays: BinaryHeap<Reverse<Recorded>>,
    latest: Timestamp,
    /// The latest end of a request.
    latest_end: Timestamp,
    /// The latest start of a released request. A request that began earlier has missed its turn.
    released: Timestamp,
}

impl Recorded {
    pub(super) const NEVER: u64 = u64::MAX;
    /// The route of requests of other parts, which only take part in the sorting.
    pub(super) const ELSEWHERE: u32 = u32::MAX;

    /// If a request was never answered, the time of its line is unknown.
    fn end(&self) -> Timestamp {
        match self.latency {
            Self::NEVER => self.at,
            latency => self.at + Duration::from_nanos(latency),
        }
    }
}

impl Reorder {
    pub(super) fn new(tolerance: Duration, most: usize) -> Self {
        Self {
            tolerance,
            most,
            ordered: VecDeque::new(),
            strays: BinaryHeap::new(),
            latest: Timestamp::ZERO,
            latest_end: Timestamp::ZERO,
            released: Timestamp::ZERO,
        }
    }

    /// Takes a request. Returns `false` if it comes too late.
    pub(super) fn push(&mut self, request: Recorded) -> bool {
        let end = request.end();
        if request.at < self.released && end + self.tolerance < self.latest_end {
            return false;
        }
        self.latest = self.latest.max(request.at);
        self.latest_end = self.latest_end.max(end);
        match self.place(request.at) {
            Some(place) => self.ordered.insert(place, request),
            None => self.strays.push(Reverse(request)),
        }
        true
    }

    /// The index in `ordered` for a request that began `at`. `None` if it is not near the end.
    fn place(&self, at: Timestamp) -> Option<usize> {
        let later = self.ordered.iter().rev().take(NEAR + 1);
        let later = later.take_while(|held| held.at > at).count();
        (later <= NEAR).then(|| self.ordered.len() - later)
    }

    /// The next request that is due: it is older than the tolerance, or there is no room for more.
    pub(super) fn pop_due(&mut self) -> Option<Recorded> {
        let first = self.first()?.at;
        let is_full = self.ordered.len() + self.strays.len() > self.most;
        if !is_full && first + self.tolerance >= self.latest {
            return None;
        }
        self.pop()
    }

    /// The next request, after the end of the trace.
    pub(super) fn pop(&mut self) -> Option<Recorded> {
        let next = match (self.ordered.front(), self.strays.peek()) {
            (Some(ordered), Some(Reverse(stray))) if stray < ordered => {
                self.strays.pop().map(|next| next.0)
            }
            (None, Some(_)) => self.strays.pop().map(|next| next.0),
            _ => self.ordered.pop_front(),
        }?;
        self.released = self.released.max(next.at);
        Some(next)
    }

    fn first(&self) -> Option<&Recorded> {
        match (self.ordered.front(), self.strays.peek()) {
            (Some(ordered), Some(Reverse(stray))) => Some(ordered.min(stray)),
            (ordered, stray) => ordered.or(stray.map(|Reverse(stray)| stray)),
        }
    }
}

/// An insertion may move so many requests. A heap of all waiting requests would be slower.
const NEAR: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Recorded {
        Recorded {
            at: Timestamp::from_millis(seconds * 1000),
            latency: 0,
            route: 0,
            classifications: Classifications::default(),
        }
    }

    fn times(mut next: impl FnMut() -> Option<Recorded>) -> Vec<u64> {
        std::iter::from_fn(|| next().map(|request| request.at.as_nanos() / 1_000_000_000)).collect()
    }

    #[test]
    fn requests_within_the_tolerance_are_put_in_order() {
        let mut reorder = Reorder::new(Duration::from_secs(60), 1000);
        for seconds in [10, 5, 30, 20, 31, 6] {
            assert!(reorder.push(at(seconds)));
        }
        assert_eq!(times(|| reorder.pop_due()), [0; 0]);
        assert!(reorder.push(at(71)));
        assert_eq!(times(|| reorder.pop_due()), [5, 6, 10]);
        assert_eq!(times(|| reorder.pop()), [20, 30, 31, 71]);
    }

    #[test]
    fn whatever_the_distance_all_are_put_in_order() {
        // Every second request belongs so many places earlier: near, at the bound, and far away.
        for distance in [1, NEAR as u64, NEAR as u64 + 1, 5 * NEAR as u64] {
            let mut reorder = Reorder::new(Duration::from_secs(1000), 1 << 20);
            for number in 0..2000 {
                let back = number % 2 * 2 * distance;
                assert!(reorder.push(at((number * 2 + 1000) - back)));
            }
            let told = times(|| reorder.pop());
            assert!(
                told.is_sorted() && told.len() == 2000,
                "{distance}: {told:?}"
            );
        }
    }

    #[test]
    fn what_comes_after_its_time_was_passed_is_refused() {
        let mut reorder = Reorder::new(Duration::from_secs(10), 1000);
        for seconds in [1, 2, 30] {
            reorder.push(at(seconds));
        }
        assert_eq!(times(|| reorder.pop_due()), [1, 2]);
        assert!(!reorder.push(at(1)));
        assert!(
            reorder.push(at(2)),
            "as late as the last one is not too late"
        );
    }

    #[test]
    fn no_more_than_its_room_is_held_back() {
        let mut reorder = Reorder::new(Duration::from_secs(60), 3);
        for seconds in [5, 4, 3, 2, 1] {
            reorder.push(at(seconds));
        }
        assert_eq!(times(|| reorder.pop_due()), [1, 2]);
    }

    #[test]
    fn what_hung_for_long_is_not_too_late() {
        let mut reorder = Reorder::new(Duration::from_secs(10), 1000);
        for seconds in 100..200 {
            assert!(reorder.push(at(seconds)));
        }
        assert_eq!(times(|| reorder.pop_due()).len(), 89);
        let hung = Recorded {
            latency: 150_000_000_000,
            ..at(45)
        };
        assert!(reorder.push(hung), "it ended at 195 s");
        assert_eq!(times(|| reorder.pop_due()), [45], "and is told at once");
        assert!(reorder.push(at(189)), "what comes next is in its turn");
        assert!(!reorder.push(at(187)), "another has ended 12 s later");
    }

    #[test]
    fn in_a_trace_by_start_what_hangs_makes_nothing_late() {
        let mut reorder = Reorder::new(Duration::from_secs(10), 1000);
        let hung = Recorded {
            latency: 600_000_000_000,
            ..at(1)
        };
        assert!(reorder.push(hung));
        for seconds in [2, 3, 9, 4, 30, 25] {
            assert!(reorder.push(at(seconds)), "{seconds}");
            while reorder.pop_due().is_some() {}
        }
    }
}
