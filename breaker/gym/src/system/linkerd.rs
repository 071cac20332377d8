//! linkerd2-proxy (`linkerd/app/outbound/src/http/breaker`), both of its breakers, an endpoint
//! each:
//! * consecutive (`consecutive_failures.rs`): 7 failures in a row shut it, for 1 s, doubled up to
//!   60 s, plus up to half of that; then one request is let through, and the next response,
//!   whosesoever it is, decides;
//! * unified (`unified.rs`, `success_rate.rs`, June 2026): that, or less than 80 % of at least 5
//!   responses in 10 s were successes.
//!
//! A response is classified when its body ends, or breaks off. A request whose caller leaves before
//! the head is not classified; the one that was let through keeps its permit (`forget` in
//! `gate.rs`), so that some other response has to decide.

use super::rolling::Rolling;
use super::{Arrival, Completion, Decision, Setup, State, Status, System, hosts};
use crate::luck::RequestRng;
use crate::time::{NEVER, Nanos, SECOND};

/// A balancer over endpoints with a breaker each.
#[derive(Debug)]
pub(super) struct Linkerd {
    endpoints: Vec<Endpoint>,
    luck: RequestRng,
    alerts: u64,
}

#[derive(Debug)]
struct Endpoint {
    gate: Gate,
    failures: u32,
    /// The window of the success rate, where that counts.
    responses: Option<Rolling>,
    backoff: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Lets all through (linkerd calls this open).
    Free,
    /// Lets none through.
    Shut { until: Nanos },
    /// Lets one through.
    Probation { sent: bool },
}

impl Linkerd {
    /// Failures in a row.
    pub(super) fn consecutive(setup: &Setup) -> Self {
        Self::new(setup, || None)
    }

    /// Failures in a row, or the success rate.
    pub(super) fn unified(setup: &Setup) -> Self {
        Self::new(setup, || Some(Rolling::new(10, SECOND)))
    }

    fn new(setup: &Setup, window: impl Fn() -> Option<Rolling>) -> Self {
        let endpoint = |_| Endpoint {
            gate: Gate::Free,
            failures: 0,
            responses: window(),
            backoff: MIN_BACKOFF,
        };
        Self {
            endpoints: (0..setup.endpoints).map(endpoint).collect(),
            luck: RequestRng::named(setup.seed, 2),
            alerts: 0,
        }
    }
}

impl Endpoint {
    fn shut(&mut self, luck: &mut RequestRng, now: Nanos) {
        let jitter = JITTER * luck.unit() * self.backoff as f64;
        self.gate = Gate::Shut {
            until: now + self.backoff + jitter as Nanos,
        };
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }

    /// Whether the response trips a free gate.
    fn trips(&mut self, failed: bool, now: Nanos) -> bool {
        self.failures = if failed { self.failures + 1 } else { 0 };
        let too_few_successes = self.responses.as_mut().is_some_and(|responses| {
            responses.add(failed, now);
            let counts = responses.counts(now);
            counts.total >= MIN_RESPONSES && 1.0 - counts.failure_rate() < SUCCESS_RATE
        });
        self.failures >= MAX_FAILURES || too_few_successes
    }
}

impl System for Linkerd {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let available = |endpoint: u8| {
            let gate = self.endpoints[usize::from(endpoint)].gate;
            matches!(gate, Gate::Free | Gate::Probation { sent: false })
        };
        let Some(endpoint) = hosts::choose(arrival, available) else {
            return Decision::Reject;
        };
        let gate = &mut self.endpoints[usize::from(endpoint)].gate;
        if *gate != Gate::Free {
            *gate = Gate::Probation { sent: true };
        }
        Decision::Admit { endpoint, tag: 0 }
    }

    fn complete(&mut self, completion: &Completion) {
        let (now, failed) = (completion.now, completion.failed());
        let several = self.endpoints.len() > 1;
        let endpoint = &mut self.endpoints[usize::from(completion.endpoint)];
        match endpoint.gate {
            Gate::Free => {
                if endpoint.trips(failed, now) {
                    endpoint.backoff = MIN_BACKOFF;
                    endpoint.shut(&mut self.luck, now);
                    self.alerts += u64::from(several);
                }
            }
            Gate::Shut { .. } => {}
            Gate::Probation { .. } if failed => endpoint.shut(&mut self.luck, now),
            Gate::Probation { .. } => {
                endpoint.gate = Gate::Free;
                endpoint.failures = 0;
                if let Some(responses) = &mut endpoint.responses {
                    responses.clear();
                }
            }
        }
    }

    fn replaced(&mut self, _: Nanos) {
        for endpoint in &mut self.endpoints {
            endpoint.gate = Gate::Free;
            (endpoint.failures, endpoint.backoff) = (0, MIN_BACKOFF);
            if let Some(responses) = &mut endpoint.responses {
                responses.clear();
            }
        }
    }

    fn tick(&mut self, now: Nanos) {
        for endpoint in &mut self.endpoints {
            if matches!(endpoint.gate, Gate::Shut { until } if until <= now) {
                endpoint.gate = Gate::Probation { sent: false };
            }
        }
    }

    fn next_tick(&self) -> Nanos {
        let until = |endpoint: &Endpoint| match endpoint.gate {
            Gate::Shut { until } => until,
            _ => NEVER,
        };
        self.endpoints.iter().map(until).min().unwrap_or(NEVER)
    }

    fn status(&self) -> Status {
        let count = |matches: fn(&Gate) -> bool| {
            self.endpoints
                .iter()
                .filter(|endpoint| matches(&endpoint.gate))
                .count()
        };
        let shut = count(|gate| matches!(gate, Gate::Shut { .. }));
        let free = count(|gate| *gate == Gate::Free);
        let state = match free {
            0 if shut < self.endpoints.len() => State::HalfOpen,
            _ => hosts::state(self.endpoints.len() - free, self.endpoints.len()),
        };
        Status {
            state,
            alerts: self.alerts,
        }
    }
}

const MAX_FAILURES: u32 = 7;
const MIN_RESPONSES: u64 = 5;
const SUCCESS_RATE: f64 = 0.8;
const MIN_BACKOFF: Nanos = SECOND;
const MAX_BACKOFF: Nanos = 60 * SECOND;
const JITTER: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{SETUP, admits, advance, request, stream};
    use super::*;

    #[test]
    fn seven_failures_in_a_row_shut_it_and_one_response_frees_it() {
        let mut linkerd = Linkerd::consecutive(&SETUP);
        for _ in 0..7 {
            assert!(request(&mut linkerd, SECOND, 1, Ending::Failure));
        }
        assert!(!admits(&mut linkerd, SECOND));
        advance(&mut linkerd, 3 * SECOND);
        assert_eq!(linkerd.status().state, State::HalfOpen);
        assert!(request(&mut linkerd, 3 * SECOND, 1, Ending::Failure));
        assert_eq!(linkerd.status().state, State::Open);
        // The second back-off is 2 s to 3 s.
        advance(&mut linkerd, 4 * SECOND);
        assert!(!admits(&mut linkerd, 4 * SECOND));
        advance(&mut linkerd, 7 * SECOND);
        assert!(request(&mut linkerd, 7 * SECOND, 1, Ending::Success));
        assert_eq!(linkerd.status().state, State::Closed);
    }

    #[test]
    fn a_stream_counts_when_it_ends() {
        let mut linkerd = Linkerd::consecutive(&SETUP);
        for _ in 0..7 {
            stream(&mut linkerd, SECOND, SECOND, Ending::Broken);
        }
        assert_eq!(linkerd.status().state, State::Open);
    }

    #[test]
    fn less_than_four_fifths_of_five_shut_the_unified_one() {
        let run = |mut linkerd: Linkerd, failures: u64| {
            for index in 0..5 {
                let ending = if index % 2 == 1 && index / 2 < failures {
                    Ending::Failure
                } else {
                    Ending::Success
                };
                request(&mut linkerd, index * SECOND, 1, ending);
            }
            linkerd.status().state
        };
        assert_eq!(run(Linkerd::unified(&SETUP), 1), State::Closed);
        assert_eq!(run(Linkerd::unified(&SETUP), 2), State::Open);
        assert_eq!(run(Linkerd::consecutive(&SETUP), 2), State::Closed);
    }
}
