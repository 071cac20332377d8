//! Sentinel (`core/circuitbreaker` of sentinel-golang) with two rules: more than half of at least
//! 50 calls of a tumbling window of 30 s failed; more than 60 % of at least 100 calls of one of 20
//! s took longer than 200 ms. Open for 10 s, then one call that decides. A result counts in
//! whatever state it finds.
//!
//! An entry exits when its handler returns: a stream at its end, after all of its time; one whose
//! caller left when that happens, as a call without an error.

use super::rolling::Rolling;
use super::{Arrival, Completion, Decision, State, Status, System};
use crate::time::{MILLI, Nanos, SECOND};

/// The breakers of one resource: all must pass a call.
#[derive(Debug)]
pub(super) struct Sentinel {
    rules: [Rule; 2],
}

#[derive(Debug)]
struct Rule {
    /// What is bad.
    bad: fn(&Completion) -> bool,
    ratio: f64,
    min: u64,
    calls: Rolling,
    state: State,
    retry_at: Nanos,
}

impl Default for Sentinel {
    fn default() -> Self {
        let rule = |bad, ratio, min, window| Rule {
            bad,
            ratio,
            min,
            calls: Rolling::new(1, window),
            state: State::Closed,
            retry_at: 0,
        };
        Self {
            rules: [
                rule(
                    Completion::failed as fn(&Completion) -> bool,
                    0.5,
                    50,
                    30 * SECOND,
                ),
                rule(
                    |call: &Completion| call.latency() > MAX_RT,
                    0.6,
                    100,
                    20 * SECOND,
                ),
            ],
        }
    }
}

impl Rule {
    fn try_pass(&mut self, now: Nanos) -> bool {
        if self.state == State::Open && self.retry_at <= now {
            self.state = State::HalfOpen;
            return true;
        }
        self.state == State::Closed
    }

    fn complete(&mut self, call: &Completion) {
        let bad = (self.bad)(call);
        self.calls.add(bad, call.now);
        let open = match self.state {
            State::Open => false,
            State::HalfOpen if bad => true,
            State::HalfOpen => {
                self.state = State::Closed;
                self.calls.clear();
                false
            }
            _ => {
                let counts = self.calls.counts(call.now);
                counts.total >= self.min && counts.failure_rate() > self.ratio
            }
        };
        if open {
            self.state = State::Open;
            self.retry_at = call.now + RETRY;
        }
    }
}

impl System for Sentinel {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let [first, second] = &mut self.rules;
        let before = first.state;
        if !first.try_pass(arrival.now) {
            return Decision::Reject;
        }
        if !second.try_pass(arrival.now) {
            // A probe that another rule blocks is taken back.
            first.state = before;
            return Decision::Reject;
        }
        arrival.admit()
    }

    fn complete(&mut self, completion: &Completion) {
        for rule in &mut self.rules {
            rule.complete(completion);
        }
    }

    fn abandon(&mut self, left: &Completion) {
        self.complete(left);
    }

    fn status(&self) -> Status {
        let any = |state| self.rules.iter().any(|rule| rule.state == state);
        Status::of(if any(State::Open) {
            State::Open
        } else if any(State::HalfOpen) {
            State::HalfOpen
        } else {
            State::Closed
        })
    }
}

const MAX_RT: Nanos = 200 * MILLI;
const RETRY: Nanos = 10 * SECOND;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{admits, request};
    use super::*;

    #[test]
    fn fifty_failures_at_the_beginning_of_a_window_open_it() {
        let mut sentinel = Sentinel::default();
        for _ in 0..49 {
            request(&mut sentinel, 30 * SECOND, 1, Ending::Failure);
        }
        assert_eq!(sentinel.status().state, State::Closed);
        request(&mut sentinel, 30 * SECOND, 1, Ending::Failure);
        assert_eq!(sentinel.status().state, State::Open);
        assert!(!admits(&mut sentinel, 39 * SECOND));
        assert!(request(&mut sentinel, 41 * SECOND, 1, Ending::Success));
        assert_eq!(sentinel.status().state, State::Closed);
    }

    #[test]
    fn half_of_the_calls_is_not_more_than_half() {
        let mut sentinel = Sentinel::default();
        for index in 0..100 {
            let ending = if index % 2 == 0 {
                Ending::Success
            } else {
                Ending::Failure
            };
            request(&mut sentinel, SECOND, 1, ending);
        }
        assert_eq!(sentinel.status().state, State::Closed);
    }

    #[test]
    fn a_hundred_slow_calls_open_it() {
        let mut sentinel = Sentinel::default();
        for _ in 0..100 {
            request(&mut sentinel, SECOND, 201 * MILLI, Ending::Success);
        }
        assert_eq!(sentinel.status().state, State::Open);
    }
}
