//! What to call the state of a system that has none: one that sheds by shares or by a limit.

use super::State;
use crate::time::{Nanos, SECOND};

/// Watches, second by second, what share of the requests is rejected.
///
/// A system that rejects at least half of a second's requests is called open, until it rejects less
/// than a twentieth: nobody would call it closed in between. Below half it sheds.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    state: State,
    second: u64,
    arrived: u64,
    rejected: u64,
}

impl Shedding {
    /// Counts a request. Says what to do with it, for convenience: nothing is decided here.
    pub(super) fn count(&mut self, rejected: bool, now: Nanos) {
        let second = now / SECOND;
        if second != self.second {
            if self.arrived >= MIN_ARRIVALS {
                let share = self.rejected as f64 / self.arrived as f64;
                self.state = next(self.state, share);
            } else if second > self.second + 1 {
                self.state = State::Closed;
            }
            (self.second, self.arrived, self.rejected) = (second, 0, 0);
        }
        self.arrived += 1;
        self.rejected += u64::from(rejected);
    }

    /// The state.
    pub(super) const fn state(&self) -> State {
        self.state
    }
}

/// The state after `state` of a system that rejects this share.
pub(super) fn next(state: State, rejected: f64) -> State {
    match state {
        _ if rejected >= 0.5 => State::Open,
        _ if rejected < 0.05 => State::Closed,
        State::Open => State::Open,
        _ => State::Shedding,
    }
}

/// A second with fewer requests says nothing.
const MIN_ARRIVALS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_open_from_half_to_a_twentieth() {
        assert_eq!(next(State::Closed, 0.3), State::Shedding);
        assert_eq!(next(State::Shedding, 0.5), State::Open);
        assert_eq!(next(State::Open, 0.06), State::Open);
        assert_eq!(next(State::Open, 0.04), State::Closed);
    }

    #[test]
    fn a_second_is_judged_when_it_is_over() {
        let mut shedding = Shedding::default();
        for index in 0..10 {
            shedding.count(index % 2 == 0, index);
        }
        assert_eq!(shedding.state(), State::Closed);
        shedding.count(false, SECOND);
        assert_eq!(shedding.state(), State::Open);
    }
}
