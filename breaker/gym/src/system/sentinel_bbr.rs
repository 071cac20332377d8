//! Sentinel's system rule with the strategy BBR (`core/system/slot.go` of sentinel-golang), on CPU
//! usage above 80 %: rejects while more requests are in flight than the largest number that
//! completed in half a second of the last second, as a rate, times the smallest round trip of the
//! last second.
//!
//! The rule asks for the machine's CPU usage. The gym tells it how busy the service was in the last
//! second, where the service has a capacity; elsewhere nothing is known of it and the rule never
//! acts.

use super::shedding::Shedding;
use super::{Arrival, Completion, Decision, Status, System};
use crate::time::{MILLI, Nanos, seconds};

/// The rule.
#[derive(Debug, Default)]
pub(super) struct SentinelBbr {
    in_flight: u64,
    busy: bool,
    /// The bucket that is filled, and the one before it.
    buckets: [Bucket; 2],
    shedding: Shedding,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    number: u64,
    completed: u64,
    /// `None` if nothing completed.
    min_rtt: Option<Nanos>,
}

impl SentinelBbr {
    fn advance(&mut self, now: Nanos) {
        let number = now / BUCKET;
        let [current, previous] = &mut self.buckets;
        if current.number != number {
            let empty = |number| Bucket {
                number,
                ..Bucket::default()
            };
            *previous = if current.number + 1 == number {
                *current
            } else {
                empty(number - 1)
            };
            *current = empty(number);
        }
    }

    /// How many requests in flight the service is good for.
    fn capacity(&self) -> f64 {
        let completed = self
            .buckets
            .iter()
            .map(|bucket| bucket.completed)
            .max()
            .unwrap_or(0);
        let min_rtt = self
            .buckets
            .iter()
            .filter_map(|bucket| bucket.min_rtt)
            .min();
        completed as f64 / seconds(BUCKET) * seconds(min_rtt.unwrap_or(MAX_RTT))
    }
}

impl System for SentinelBbr {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        self.advance(arrival.now);
        let rejected = self.busy && self.in_flight > 1 && self.in_flight as f64 > self.capacity();
        self.shedding.count(rejected, arrival.now);
        if rejected {
            return Decision::Reject;
        }
        self.in_flight += 1;
        arrival.admit()
    }

    fn complete(&mut self, completion: &Completion) {
        self.in_flight -= 1;
        self.advance(completion.now);
        let [current, _] = &mut self.buckets;
        current.completed += 1;
        let rtt = completion.latency();
        current.min_rtt = Some(current.min_rtt.map_or(rtt, |min| min.min(rtt)));
    }

    /// Its entry exits, as any other.
    fn abandon(&mut self, left: &Completion) {
        self.complete(left);
    }

    fn load(&mut self, utilisation: f64, _now: Nanos) {
        self.busy = utilisation > BUSY;
    }

    fn status(&self) -> Status {
        Status::of(self.shedding.state())
    }
}

const BUSY: f64 = 0.8;
const BUCKET: Nanos = 500 * MILLI;
/// What Sentinel takes the round trip to be that nobody has measured.
const MAX_RTT: Nanos = 60_000 * MILLI;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{admits, request};
    use super::*;

    #[test]
    fn a_busy_service_takes_what_it_completes_times_its_round_trip() {
        let mut bbr = SentinelBbr::default();
        // 50 in half a second of 40 ms each: 100/s · 0.04 s = 4.
        for index in 0..50 {
            request(&mut bbr, index * 5 * MILLI, 40 * MILLI, Ending::Success);
        }
        assert_eq!(bbr.capacity(), 4.0);
        bbr.load(0.9, 300 * MILLI);
        let admitted = (0..10).filter(|_| admits(&mut bbr, 300 * MILLI)).count();
        assert_eq!(admitted, 5);
        bbr.load(0.7, 300 * MILLI);
        assert!(admits(&mut bbr, 300 * MILLI));
    }
}
