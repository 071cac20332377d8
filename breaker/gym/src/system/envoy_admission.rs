//! Envoy admission control (`source/extensions/filters/http/admission_control`): of the last 30 s,
//! in buckets of a second, requests n and successes s: rejects with probability (n − s/0.95)/(n +
//! 1), at most 80 %. The aggression is 1, all defaults; its own rejections don't count.
//!
//! A response counts at its head (`encodeHeaders`), whatever becomes of it later. A request whose
//! caller leaves before that counts as a failure: `deferred_record_failure_` runs when the stream
//! is destroyed without a head.

use super::rolling::Rolling;
use super::{Arrival, Completion, Decision, Setup, State, Status, System, shedding};
use crate::luck::RequestRng;
use crate::time::SECOND;

/// The filter.
#[derive(Debug)]
pub(super) struct EnvoyAdmission {
    requests: Rolling,
    luck: RequestRng,
    state: State,
}

impl EnvoyAdmission {
    /// A filter with random numbers of its own.
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            requests: Rolling::new(30, SECOND),
            luck: RequestRng::named(setup.seed, 1),
            state: State::Closed,
        }
    }

    fn rejection_probability(&mut self, now: u64) -> f64 {
        let counts = self.requests.counts(now);
        let (total, success) = (counts.total as f64, (counts.total - counts.failed) as f64);
        ((total - success / THRESHOLD) / (total + 1.0)).clamp(0.0, MAX_REJECTION)
    }
}

impl System for EnvoyAdmission {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let probability = self.rejection_probability(arrival.now);
        self.state = shedding::next(self.state, probability);
        if self.luck.unit() < probability {
            Decision::Reject
        } else {
            arrival.admit()
        }
    }

    fn complete(&mut self, completion: &Completion) {
        if !completion.is_stream() {
            self.requests.add(completion.failed(), completion.now);
        }
    }

    fn head(&mut self, head: &Completion) {
        self.requests.add(false, head.now);
    }

    fn abandon(&mut self, left: &Completion) {
        self.requests.add(true, left.now);
    }

    fn status(&self) -> Status {
        Status::of(self.state)
    }
}

const THRESHOLD: f64 = 0.95;
const MAX_REJECTION: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{SETUP, request};
    use super::*;

    #[test]
    fn it_rejects_what_the_success_rate_lacks() {
        let mut admission = EnvoyAdmission::new(&SETUP);
        for index in 0..100 {
            let ending = if index < 5 {
                Ending::Failure
            } else {
                Ending::Success
            };
            admission.complete(&Completion {
                now: 1,
                sent: 0,
                endpoint: 0,
                tag: 0,
                head: None,
                ending,
            });
        }
        assert_eq!(admission.rejection_probability(1), 0.0);
        for _ in 0..100 {
            admission.requests.add(true, 1);
        }
        assert_eq!(admission.rejection_probability(1), 100.0 / 201.0);
        for _ in 0..1900 {
            admission.requests.add(true, 1);
        }
        assert_eq!(admission.rejection_probability(1), 0.8);
        let admitted = (0..1000)
            .filter(|_| request(&mut admission, 2, 0, Ending::Failure))
            .count();
        assert!((150..250).contains(&admitted), "{admitted}");
    }
}
