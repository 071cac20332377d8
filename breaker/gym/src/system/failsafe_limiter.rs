//! failsafe-go's adaptive limiter, defaults (`adaptivelimiter/adaptivelimiter.go`,
//! `internal/util/{windows,ewma,median,util}.go`): limit 20 within 1..200 and at most 5 times what
//! is in flight. Once a second, or when 50 requests are there, the 90th percentile, smoothed by a
//! median and a moving average of 5, is compared to a moving average of 10 of itself: the estimated
//! queue `limit · (1 − baseline/recent)` below 3·lg(limit) raises the limit by lg(limit), above
//! 6·lg(limit) lowers it. When the limiter is full, a throughput that does not follow concurrency
//! while round trips do lowers it too.
//!
//! Around an HTTP client (`failsafehttp`) a request ends when its round trip returns: at the head.
//! One that is cancelled gives its permit back and no sample (`Permit.Drop`).

mod statistics;

use self::statistics::{Average, Correlations, Median};
use super::shedding::Shedding;
use super::{Arrival, Completion, Decision, Status, System};
use crate::time::{Nanos, SECOND};

/// The limiter.
#[derive(Debug)]
pub(super) struct FailsafeLimiter {
    limit: f64,
    in_flight: usize,
    recent: Vec<Nanos>,
    /// The most requests in flight that an admission among the recent ones saw.
    max_in_flight: usize,
    next_update: Nanos,
    median: Median,
    smoothed: Average,
    baseline: Average,
    throughput: Correlations,
    round_trips: Correlations,
    shedding: Shedding,
}

impl Default for FailsafeLimiter {
    fn default() -> Self {
        Self {
            limit: 20.0,
            in_flight: 0,
            recent: Vec::new(),
            max_in_flight: 0,
            next_update: 0,
            median: Median::default(),
            smoothed: Average::new(5),
            baseline: Average::new(10),
            throughput: Correlations::default(),
            round_trips: Correlations::default(),
            shedding: Shedding::default(),
        }
    }
}

/// What is done with the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Increase,
    Decrease,
    Hold,
}

/// What decides on the change, beside the queue.
#[derive(Clone, Copy, Debug, Default)]
struct Signals {
    full: bool,
    throughput_correlation: f64,
    throughput_variation: f64,
    rtt_correlation: f64,
}

impl FailsafeLimiter {
    fn update(&mut self, recent_rtt: f64) {
        let in_flight = self.max_in_flight as f64;
        let baseline = self.baseline.add(recent_rtt);
        let queue = (self.limit * (1.0 - baseline / recent_rtt)).ceil();
        let throughput = in_flight / (recent_rtt / 1e9);
        let (throughput_correlation, throughput_variation) =
            self.throughput.add(in_flight, throughput);
        let (rtt_correlation, _) = self.round_trips.add(in_flight, recent_rtt);
        let signals = Signals {
            full: self.in_flight >= self.limit as usize,
            throughput_correlation,
            throughput_variation,
            rtt_correlation,
        };
        let step = log10(self.limit);
        let mut new = match change(queue, self.limit, signals) {
            Change::Increase => self.limit + step,
            Change::Decrease => self.limit - step,
            Change::Hold => self.limit,
        };
        if new > in_flight * MAX_LIMIT_FACTOR {
            new = self.limit - step;
        }
        self.limit = new.clamp(MIN_LIMIT, MAX_LIMIT);
    }

    /// A request has ended, and is recorded.
    fn end(&mut self, completion: &Completion) {
        let now = completion.now;
        // A failure or a timeout is recorded as any other: `Drop` is for those who cancel.
        self.recent.push(completion.latency());
        self.max_in_flight = self.max_in_flight.max(completion.tag as usize);
        if now > self.next_update && self.recent.len() >= MIN_SAMPLES {
            let index = (self.recent.len() as f64 * QUANTILE) as usize;
            let (_, quantile, _) = self.recent.select_nth_unstable(index);
            let filtered = self.median.add(*quantile as f64);
            let smoothed = self.smoothed.add(filtered);
            self.update(smoothed.max(1.0));
            let min_rtt = self.recent.iter().min().copied().unwrap_or(0);
            self.next_update = now + (min_rtt * 2).clamp(SECOND, 30 * SECOND);
            self.recent.clear();
            self.max_in_flight = 0;
        }
        self.in_flight -= 1;
    }
}

fn change(queue: f64, limit: f64, signals: Signals) -> Change {
    let log = log10(limit);
    let overloaded = signals.full
        && (signals.throughput_correlation < 0.0
            || signals.rtt_correlation > 0.5
                && (signals.throughput_correlation < 0.3 || signals.throughput_variation < 0.2));
    if queue > 6.0 * log || overloaded {
        Change::Decrease
    } else if queue < 3.0 * log {
        Change::Increase
    } else {
        Change::Hold
    }
}

/// The whole part of the decadic logarithm, at least 1.
fn log10(limit: f64) -> f64 {
    limit.log10().floor().max(1.0)
}

impl System for FailsafeLimiter {
    fn arrive(&mut self, arrival: &Arrival) -> Decision {
        let rejected = self.in_flight >= self.limit as usize;
        self.shedding.count(rejected, arrival.now);
        if rejected {
            return Decision::Reject;
        }
        self.in_flight += 1;
        Decision::Admit {
            endpoint: arrival.endpoint(),
            tag: self.in_flight as u32,
        }
    }

    fn complete(&mut self, completion: &Completion) {
        // It ended at its head.
        if !completion.is_stream() {
            self.end(completion);
        }
    }

    fn head(&mut self, head: &Completion) {
        self.end(head);
    }

    fn abandon(&mut self, _left: &Completion) {
        self.in_flight -= 1;
    }

    fn status(&self) -> Status {
        Status::of(self.shedding.state())
    }
}

const MIN_LIMIT: f64 = 1.0;
const MAX_LIMIT: f64 = 200.0;
const MAX_LIMIT_FACTOR: f64 = 5.0;
const MIN_SAMPLES: usize = 50;
const QUANTILE: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::super::testing::request;
    use super::*;
    use crate::time::MILLI;

    #[test]
    fn the_queue_decides_and_a_full_limiter_asks_for_more() {
        let none = Signals::default();
        assert_eq!(change(2.0, 50.0, none), Change::Increase);
        assert_eq!(change(3.0, 50.0, none), Change::Hold);
        assert_eq!(change(7.0, 50.0, none), Change::Decrease);
        assert_eq!(change(7.0, 150.0, none), Change::Hold);
        let full = Signals { full: true, ..none };
        assert_eq!(change(0.0, 50.0, full), Change::Increase);
        let queueing = Signals {
            rtt_correlation: 0.9,
            ..full
        };
        assert_eq!(change(0.0, 50.0, queueing), Change::Decrease);
    }

    #[test]
    fn latency_above_the_baseline_lowers_the_limit() {
        let mut limiter = FailsafeLimiter::default();
        let mut run = |from: u64, seconds: u64, latency| {
            for index in from * 100..(from + seconds) * 100 {
                let now = index * 10 * MILLI;
                let Decision::Admit { endpoint, .. } = limiter.arrive(&Arrival {
                    now,
                    pick: 0,
                    endpoints: 1,
                    retry: false,
                }) else {
                    continue;
                };
                // As if as many were in flight as there would be.
                limiter.complete(&Completion {
                    now: now + latency,
                    sent: now,
                    endpoint,
                    tag: 10,
                    head: None,
                    ending: Ending::Success,
                });
            }
            limiter.limit
        };
        let healthy = run(0, 30, 20 * MILLI);
        assert!(healthy > 40.0, "{healthy}");
        let slow = run(30, 5, 100 * MILLI);
        assert!(slow < healthy, "{slow} of {healthy}");
    }

    #[test]
    fn it_never_falls_below_one() {
        let mut limiter = FailsafeLimiter::default();
        for second in 0..200 {
            for _ in 0..60 {
                request(
                    &mut limiter,
                    second * SECOND,
                    MILLI * (second + 1),
                    Ending::Success,
                );
            }
        }
        assert!(limiter.limit >= MIN_LIMIT);
    }
}
