//! Hystrix 1.5, defaults (`HystrixCircuitBreaker`, `HealthCountsStream`): every 500 ms the last 10
//! s are looked at, and at least 50 % of at least 20 commands open it. After 5 s one command is let
//! through; the next result, whosesoever it is, decides. A command times out after a second.
//!
//! A command returns an answer at its head, and what becomes of a stream's body is none of its
//! business. A command that is unsubscribed from counts nowhere, but opens a half-open breaker
//! again (`markNonSuccess` in `unsubscribeCommandCleanup`).

use super::rolling::Rolling;
use super::{Arrival, Completion, Decision, State, Status, System};
use crate::time::{MILLI, Nanos, SECOND};

/// A breaker.
#[derive(Debug)]
pub(super) struct Hystrix {
    state: State,
    opened: Nanos,
    commands: Rolling,
    next_snapshot: Nanos,
}

impl Default for Hystrix {
    fn default() -> Self {
        Self {
            state: State::Closed,
            opened: 0,
            // 10 s, and the bucket that is being filled.
            commands: Rolling::new(21, SNAPSHOT),
            next_snapshot: SNAPSHOT,
        }
    }
}

impl Hystrix {
    const fn open(&mut self, now: Nanos) {
        self.state = State::Open;
        self.opened = now;
    }

    fn count(&mut self, completion: &Completion) {
        let failed = completion.failed();
        self.commands.add(failed, completion.now);
        if self.state != State::HalfOpen {
            return;
        }
        if failed {
            self.open(completion.now);
        } else {
            self.state = State::Closed;
            self.commands.clear();
        }
    }
}

impl System for Hystrix {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        match self.state {
            State::Open if arrival.now > self.opened + SLEEP => {
                self.state = State::HalfOpen;
                arrival.admit()
            }
            State::Closed => arrival.admit(),
            _ => Decision::Reject,
        }
    }

    fn complete(&mut self, completion: &Completion) {
        // It counted at its head.
        if !completion.is_stream() {
            self.count(completion);
        }
    }

    fn head(&mut self, head: &Completion) {
        self.count(head);
    }

    fn abandon(&mut self, left: &Completion) {
        if self.state == State::HalfOpen {
            self.open(left.now);
        }
    }

    fn tick(&mut self, now: Nanos) {
        self.next_snapshot = now + SNAPSHOT;
        let counts = self.commands.counts(now);
        let sick = counts.total >= VOLUME && counts.failure_rate() >= ERRORS;
        if self.state == State::Closed && sick {
            self.open(now);
        }
    }

    fn next_tick(&self) -> Nanos {
        self.next_snapshot
    }

    fn timeout(&self) -> Nanos {
        SECOND
    }

    fn status(&self) -> Status {
        Status::of(self.state)
    }
}

const SNAPSHOT: Nanos = 500 * MILLI;
const SLEEP: Nanos = 5 * SECOND;
const VOLUME: u64 = 20;
const ERRORS: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{admits, advance, leave, request, stream};
    use super::*;

    #[test]
    fn twenty_failures_open_it_at_the_next_snapshot() {
        let mut hystrix = Hystrix::default();
        for _ in 0..19 {
            request(&mut hystrix, 10 * MILLI, 1, Ending::Failure);
        }
        advance(&mut hystrix, SECOND);
        assert_eq!(hystrix.status().state, State::Closed);
        request(&mut hystrix, 1100 * MILLI, 1, Ending::Failure);
        assert_eq!(hystrix.status().state, State::Closed);
        advance(&mut hystrix, 1500 * MILLI);
        assert_eq!(hystrix.status().state, State::Open);
        assert!(!admits(&mut hystrix, 6 * SECOND));
        assert!(request(&mut hystrix, 7 * SECOND, 1, Ending::Success));
        assert_eq!(hystrix.status().state, State::Closed);
    }

    #[test]
    fn a_stream_counts_at_its_head_and_a_caller_that_leaves_fails_the_trial() {
        let mut hystrix = Hystrix::default();
        for index in 0..40 {
            stream(&mut hystrix, index, SECOND, Ending::Broken);
        }
        advance(&mut hystrix, 3 * SECOND);
        assert_eq!(hystrix.status().state, State::Closed);
        hystrix.open(3 * SECOND);
        assert!(leave(&mut hystrix, 9 * SECOND, SECOND));
        assert_eq!(hystrix.status().state, State::Open);
    }
}
