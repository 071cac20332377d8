//! Traefik, `ResponseCodeRatio(500, 600, 0, 600) > 0.30` (oxy `cbreaker`, `memmetrics`): 10 buckets
//! of a second, tried on a response at most every 100 ms, without a minimum. Tripped for 10 s, then
//! recovering for 10 s with a share that rises linearly to one half, during which the condition may
//! trip it again.
//!
//! A response is recorded when its handler returns, so a stream at its end; of a caller that left,
//! as the 499 that the proxy then writes; a stream that breaks off panics past the recording, and
//! is not recorded.

use super::rolling::Rolling;
use super::{Arrival, Completion, Decision, Ending, State, Status, System};
use crate::time::{MILLI, Nanos, SECOND};

/// A breaker.
#[derive(Debug)]
pub(super) struct Traefik {
    phase: Phase,
    responses: Rolling,
    next_check: Nanos,
}

#[derive(Debug)]
enum Phase {
    Standby,
    Tripped {
        until: Nanos,
    },
    Recovering {
        since: Nanos,
        allowed: u64,
        denied: u64,
    },
}

impl Default for Traefik {
    fn default() -> Self {
        Self {
            phase: Phase::Standby,
            responses: Rolling::new(10, SECOND),
            next_check: 0,
        }
    }
}

impl System for Traefik {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let now = arrival.now;
        if matches!(self.phase, Phase::Tripped { until } if until <= now) {
            self.phase = Phase::Recovering {
                since: now,
                allowed: 0,
                denied: 0,
            };
        }
        match &mut self.phase {
            Phase::Standby => arrival.admit(),
            Phase::Tripped { .. } => Decision::Reject,
            Phase::Recovering { since, .. } if now > *since + RECOVERY => {
                self.phase = Phase::Standby;
                arrival.admit()
            }
            Phase::Recovering {
                since,
                allowed,
                denied,
            } => {
                let target = 0.5 * (now - *since) as f64 / RECOVERY as f64;
                let with_this_one = (*allowed + 1) as f64 / (*allowed + 1 + *denied) as f64;
                // oxy takes the ratio of nothing to be 0, so the first request of all is let
                // through once the target is above it.
                if with_this_one < target {
                    *allowed += 1;
                    arrival.admit()
                } else {
                    *denied += 1;
                    Decision::Reject
                }
            }
        }
    }

    fn complete(&mut self, completion: &Completion) {
        if completion.ending == Ending::Broken {
            return;
        }
        let now = completion.now;
        self.responses.add(completion.failed(), now);
        if now <= self.next_check {
            return;
        }
        self.next_check = now + CHECK_PERIOD;
        let tripped = matches!(self.phase, Phase::Tripped { .. });
        if !tripped && self.responses.counts(now).failure_rate() > RATIO {
            self.phase = Phase::Tripped {
                until: now + FALLBACK,
            };
            self.responses.clear();
        }
    }

    fn abandon(&mut self, left: &Completion) {
        self.complete(left);
    }

    fn status(&self) -> Status {
        Status::of(match self.phase {
            Phase::Standby => State::Closed,
            Phase::Tripped { .. } => State::Open,
            Phase::Recovering { .. } => State::HalfOpen,
        })
    }
}

const RATIO: f64 = 0.3;
const CHECK_PERIOD: Nanos = 100 * MILLI;
const FALLBACK: Nanos = 10 * SECOND;
const RECOVERY: Nanos = 10 * SECOND;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{admits, request};
    use super::*;

    #[test]
    fn one_failure_of_three_trips_it_and_three_of_ten_do_not() {
        let mut traefik = Traefik::default();
        for second in 1..=10 {
            let ending = if second > 7 {
                Ending::Failure
            } else {
                Ending::Success
            };
            request(&mut traefik, second * SECOND / 2, MILLI, ending);
        }
        assert_eq!(traefik.status().state, State::Closed);

        let mut traefik = Traefik::default();
        request(&mut traefik, SECOND, MILLI, Ending::Success);
        request(&mut traefik, 2 * SECOND, MILLI, Ending::Success);
        request(&mut traefik, 3 * SECOND, MILLI, Ending::Failure);
        assert_eq!(traefik.status().state, State::Open);
    }

    #[test]
    fn the_share_rises_to_a_half_in_ten_seconds() {
        let mut traefik = Traefik::default();
        request(&mut traefik, SECOND, 0, Ending::Failure);
        assert!(!admits(&mut traefik, 10 * SECOND));
        let start = 11 * SECOND;
        let admitted = |traefik: &mut Traefik, from: Nanos| {
            (0..500)
                .filter(|index| request(traefik, from + index * 10 * MILLI, MILLI, Ending::Success))
                .count()
        };
        // The target of all so far is 25 % after 5 s and 50 % after 10 s.
        assert_eq!(admitted(&mut traefik, start), 124);
        assert_eq!(admitted(&mut traefik, start + 5 * SECOND), 375);
        assert!(admits(&mut traefik, start + 10 * SECOND + MILLI));
        assert_eq!(traefik.status().state, State::Closed);
    }
}
