//! resilience4j, defaults (`CircuitBreakerConfig`, `CircuitBreakerStateMachine` of 2.x): of the
//! last 100 calls, all 100 of them there, at least 50 % failed: open for 60 s. Then 10 calls are
//! permitted, and less than 50 % of 10 failures close it. A result counts in whatever state it
//! finds, that of an older call in the half-open state too.
//!
//! As its operator for Reactor has it (`CircuitBreakerSubscriber`): a stream counts when it ends; a
//! call that is cancelled before is not recorded, and gives its permission back.

use std::collections::VecDeque;

use super::{Arrival, Completion, Decision, State, Status, System};
use crate::time::{Nanos, SECOND};

/// A breaker.
#[derive(Debug, Default)]
pub(super) struct Resilience4j {
    phase: Phase,
    /// The last calls, `true` for a failure, and how many of those there are.
    calls: VecDeque<bool>,
    failed: usize,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Nanos,
    },
    HalfOpen {
        permitted: usize,
    },
}

impl Resilience4j {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.calls.clear();
        self.failed = 0;
    }

    /// The failure rate of the last `size` calls, once there are so many.
    fn failure_rate(&mut self, failed: bool, size: usize) -> Option<f64> {
        self.calls.push_back(failed);
        self.failed += usize::from(failed);
        if self.calls.len() > size && self.calls.pop_front() == Some(true) {
            self.failed -= 1;
        }
        (self.calls.len() == size).then(|| self.failed as f64 / size as f64)
    }
}

impl System for Resilience4j {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        if matches!(self.phase, Phase::Open { until } if until <= arrival.now) {
            self.enter(Phase::HalfOpen { permitted: TRIAL });
        }
        match &mut self.phase {
            Phase::Closed => arrival.admit(),
            Phase::HalfOpen { permitted } if *permitted > 0 => {
                *permitted -= 1;
                arrival.admit()
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => Decision::Reject,
        }
    }

    fn complete(&mut self, completion: &Completion) {
        let (size, half_open) = match self.phase {
            Phase::Closed => (WINDOW, false),
            Phase::HalfOpen { .. } => (TRIAL, true),
            Phase::Open { .. } => return,
        };
        match self.failure_rate(completion.failed(), size) {
            Some(rate) if rate >= THRESHOLD => {
                let until = completion.now + WAIT;
                self.enter(Phase::Open { until });
            }
            Some(_) if half_open => self.enter(Phase::Closed),
            _ => {}
        }
    }

    fn abandon(&mut self, _left: &Completion) {
        if let Phase::HalfOpen { permitted } = &mut self.phase {
            *permitted += 1;
        }
    }

    fn status(&self) -> Status {
        Status::of(match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        })
    }
}

const WINDOW: usize = 100;
const TRIAL: usize = 10;
const THRESHOLD: f64 = 0.5;
const WAIT: Nanos = 60 * SECOND;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{admits, leave, request};
    use super::*;

    fn calls(breaker: &mut Resilience4j, from: Nanos, number: u64, ending: Ending) -> u64 {
        (0..number)
            .map(|index| u64::from(request(breaker, from + index, 1, ending)))
            .sum()
    }

    #[test]
    fn it_opens_when_half_of_a_hundred_calls_failed_and_not_before_the_hundredth() {
        let mut breaker = Resilience4j::default();
        calls(&mut breaker, 0, 99, Ending::Failure);
        assert_eq!(breaker.status().state, State::Closed);
        calls(&mut breaker, 99, 1, Ending::Success);
        assert_eq!(breaker.status().state, State::Open);

        let mut breaker = Resilience4j::default();
        calls(&mut breaker, 0, 100, Ending::Success);
        calls(&mut breaker, 100, 49, Ending::Failure);
        assert_eq!(breaker.status().state, State::Closed);
        calls(&mut breaker, 149, 1, Ending::Failure);
        assert_eq!(breaker.status().state, State::Open);
    }

    #[test]
    fn after_a_minute_ten_calls_decide() {
        let mut breaker = Resilience4j::default();
        calls(&mut breaker, 0, 100, Ending::Failure);
        assert!(!admits(&mut breaker, 59 * SECOND));
        let trial = 61 * SECOND;
        assert_eq!(calls(&mut breaker, trial, 5, Ending::Success), 5);
        assert_eq!(calls(&mut breaker, trial, 4, Ending::Failure), 4);
        assert_eq!(breaker.status().state, State::HalfOpen);
        assert_eq!(calls(&mut breaker, trial, 1, Ending::Success), 1);
        assert_eq!(breaker.status().state, State::Closed);
    }

    #[test]
    fn a_cancelled_call_gives_its_permission_back() {
        let mut breaker = Resilience4j::default();
        calls(&mut breaker, 0, 100, Ending::Failure);
        for index in 0..20 {
            assert!(leave(&mut breaker, 61 * SECOND + index, 1));
        }
        assert_eq!(calls(&mut breaker, 62 * SECOND, 10, Ending::Success), 10);
        assert_eq!(breaker.status().state, State::Closed);
    }
}
