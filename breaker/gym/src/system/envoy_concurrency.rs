//! Envoy adaptive concurrency
//! (`source/extensions/filters/http/adaptive_concurrency/controller/gradient_controller.cc`) with
//! the numbers of the example in its documentation: the 90th percentile, a new limit every 100 ms,
//! the minimal round trip measured every 60 s plus up to 10 % by 50 requests at a limit of 3;
//! buffer 25 %, limit 3 to 1000.
//!
//! A request is in flight until its response is encoded whole, and its time to then is the sample;
//! one that ends before that (its caller left, the stream broke off) gives none (`onDestroy`
//! cancels it).
//!
//! limit = limit · g + √(limit · g), with the gradient g = 1.25 · minRTT / sampleRTT within 0.5..2.

use super::shedding::Shedding;
use super::{Arrival, Completion, Decision, Ending, Setup, Status, System};
use crate::luck::RequestRng;
use crate::time::{MILLI, NEVER, Nanos, SECOND};

/// The gradient controller.
#[derive(Debug)]
pub(super) struct EnvoyConcurrency {
    limit: u64,
    in_flight: u64,
    min_rtt: Nanos,
    samples: Vec<Nanos>,
    /// While the minimal round trip is measured: since when, and the limit before.
    measuring: Option<(Nanos, u64)>,
    next_update: Nanos,
    next_measurement: Nanos,
    times_at_minimum: u32,
    luck: RequestRng,
    shedding: Shedding,
}

impl EnvoyConcurrency {
    /// A controller that begins by measuring.
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            limit: MIN_LIMIT,
            in_flight: 0,
            min_rtt: 0,
            samples: Vec::new(),
            measuring: Some((0, MIN_LIMIT)),
            next_update: UPDATE,
            next_measurement: NEVER,
            times_at_minimum: 0,
            luck: RequestRng::named(setup.seed, 3),
            shedding: Shedding::default(),
        }
    }

    fn take_percentile(&mut self) -> Option<Nanos> {
        if self.samples.is_empty() {
            return None;
        }
        let index = (self.samples.len() as f64 * PERCENTILE) as usize;
        let (_, percentile, _) = self.samples.select_nth_unstable(index);
        let percentile = *percentile;
        self.samples.clear();
        Some(percentile)
    }

    fn measured(&mut self, before: u64, now: Nanos) {
        if let Some(rtt) = self.take_percentile() {
            self.min_rtt = rtt;
        }
        // Still measuring as far as the count of updates at the minimum goes, as in the source.
        self.limit = before;
        self.times_at_minimum = 0;
        self.measuring = None;
        let jitter = JITTER * self.luck.unit() * MEASURE as f64;
        self.next_measurement = now + MEASURE + jitter as Nanos;
        self.next_update = now + UPDATE;
    }

    fn update(&mut self, now: Nanos) {
        let Some(sample_rtt) = self.take_percentile() else {
            return;
        };
        let new = next_limit(self.limit, self.min_rtt, sample_rtt);
        let stays_at_minimum = self.limit == MIN_LIMIT && new == MIN_LIMIT;
        self.times_at_minimum = if stays_at_minimum {
            self.times_at_minimum + 1
        } else {
            0
        };
        self.limit = new;
        if self.times_at_minimum >= MAX_TIMES_AT_MINIMUM {
            self.next_measurement = now;
        }
    }
}

/// The limit after `limit`.
fn next_limit(limit: u64, min_rtt: Nanos, sample_rtt: Nanos) -> u64 {
    let gradient = (min_rtt as f64 * (1.0 + BUFFER) / sample_rtt.max(1) as f64).clamp(0.5, 2.0);
    let limit = limit as f64 * gradient;
    ((limit + limit.sqrt()) as u64).clamp(MIN_LIMIT, MAX_LIMIT)
}

impl System for EnvoyConcurrency {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let rejected = self.in_flight >= self.limit;
        self.shedding.count(rejected, arrival.now);
        if rejected {
            return Decision::Reject;
        }
        self.in_flight += 1;
        arrival.admit()
    }

    fn complete(&mut self, completion: &Completion) {
        self.in_flight -= 1;
        if completion.ending == Ending::Broken {
            return;
        }
        match self.measuring {
            // From before the measurement: it says nothing of the round trip at this limit.
            Some((since, _)) if completion.sent < since => {}
            Some((_, before)) => {
                self.samples.push(completion.latency());
                if self.samples.len() >= MEASURE_REQUESTS {
                    self.measured(before, completion.now);
                }
            }
            None => self.samples.push(completion.latency()),
        }
    }

    fn abandon(&mut self, _left: &Completion) {
        self.in_flight -= 1;
    }

    fn tick(&mut self, now: Nanos) {
        if self.measuring.is_none() && self.next_measurement <= now {
            self.measuring = Some((now, self.limit));
            self.limit = MIN_LIMIT;
            self.samples.clear();
        }
        if self.measuring.is_none() {
            self.update(now);
            self.next_update = now + UPDATE;
        }
    }

    fn next_tick(&self) -> Nanos {
        match self.measuring {
            Some(_) => NEVER,
            None => self.next_update.min(self.next_measurement),
        }
    }

    fn status(&self) -> Status {
        Status::of(self.shedding.state())
    }
}

const PERCENTILE: f64 = 0.9;
const UPDATE: Nanos = 100 * MILLI;
const MEASURE: Nanos = 60 * SECOND;
const JITTER: f64 = 0.1;
const MEASURE_REQUESTS: usize = 50;
const BUFFER: f64 = 0.25;
const MIN_LIMIT: u64 = 3;
const MAX_LIMIT: u64 = 1000;
/// At the minimum for so many updates: the minimal round trip may be wrong.
const MAX_TIMES_AT_MINIMUM: u32 = 5;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::{SETUP, advance, request};
    use super::*;

    #[test]
    fn the_limit_grows_by_gradient_and_headroom() {
        // A sample of 1.25 times the minimum is as good as it gets: 100 + √100.
        assert_eq!(next_limit(100, 20 * MILLI, 25 * MILLI), 110);
        // Four times as long, the gradient is held at a half: 50 + √50.
        assert_eq!(next_limit(100, 20 * MILLI, 100 * MILLI), 57);
        assert_eq!(next_limit(100, 20 * MILLI, MILLI), 214);
        assert_eq!(next_limit(3, 20 * MILLI, 100 * MILLI), 3);
        assert_eq!(next_limit(900, 20 * MILLI, MILLI), 1000);
    }

    #[test]
    fn it_measures_by_fifty_requests_and_then_raises_the_limit() {
        let mut controller = EnvoyConcurrency::new(&SETUP);
        for index in 0..50 {
            assert!(request(
                &mut controller,
                index * 10 * MILLI,
                5 * MILLI,
                Ending::Success
            ));
        }
        assert_eq!(controller.measuring, None);
        assert_eq!(controller.min_rtt, 5 * MILLI);
        request(&mut controller, 510 * MILLI, 5 * MILLI, Ending::Success);
        advance(&mut controller, 700 * MILLI);
        assert_eq!(controller.limit, 5);
        advance(&mut controller, 70 * SECOND);
        assert!(controller.measuring.is_some());
        assert_eq!(controller.limit, MIN_LIMIT);
    }
}
