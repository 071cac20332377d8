//! What it costs to send one more request to an endpoint.
//!
//! The latency is a peak EWMA as in Finagle and linkerd2-proxy (`linkerd/ewma`): a latency above
//! the average replaces it, one below is averaged in, and a read projects it to the time of the
//! read, so that an endpoint that was slow a while ago is tried again.
//!
//! A failure counts as an attempt of the usual latency at least: an endpoint that fails fast must
//! not attract requests. After twelve failures within some ten seconds each more is a penalty, like
//! a quarter of a request in flight. The first ones have none: as many show the detectors that an
//! endpoint is dead, sooner than if it were avoided, and single failures say nothing.

use std::time::Duration;

use crate::time::Timestamp;

/// The load of one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The latency in seconds, and recent failures, both as of `at`.
    latency: f64,
    failures: f64,
    at: Timestamp,
    in_flight: u32,
    /// The weight as a part of the heaviest endpoint's, 0..=1, in health.
    share: f32,
    /// Since when and until when the share grows; [`Timestamp::ZERO`] if it does not.
    grows_from: Timestamp,
    grows_until: Timestamp,
}

/// How fast loads fade, and how a share grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// In nanoseconds: after so long e⁻¹ is left of a latency.
    pub(super) decay: f64,
    /// The share at the start of growth.
    pub(super) start: f32,
}

impl Load {
    pub(super) const fn new(latency: f64, now: Timestamp) -> Self {
        Self {
            latency,
            failures: 0.0,
            at: now,
            in_flight: 0,
            share: 1.0,
            grows_from: Timestamp::ZERO,
            grows_until: Timestamp::ZERO,
        }
    }

    /// Replaces the average by `latency` seconds and drops penalties; what is in flight stays.
    pub(super) const fn renew(&mut self, latency: f64, now: Timestamp) {
        (self.latency, self.failures, self.at) = (latency, 0.0, now);
    }

    pub(super) fn grow(&mut self, now: Timestamp, period: Duration) {
        (self.grows_from, self.grows_until) = (now, now + period);
    }

    pub(super) const fn set_share(&mut self, share: f32) {
        self.share = share;
    }

    pub(super) const fn begin(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
    }

    pub(super) const fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Requests in flight.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A request took `latency` seconds. If `whole` is not set it would have taken longer, or did
    /// not come to an answer: then the average only rises.
    pub(super) fn took(&mut self, latency: f64, whole: bool, now: Timestamp, pace: &Pace) {
        let left = self.left(now, pace);
        let average = left * self.latency;
        self.latency = if latency > average {
            latency
        } else if whole {
            average + (1.0 - left) * latency
        } else {
            average
        };
        self.failures *= left;
        self.at = self.at.max(now);
    }

    /// One more failure. Follows [`Self::took`].
    pub(super) const fn fail(&mut self) {
        self.failures = (self.failures + 1.0).min(MOST_FAILURES);
    }

    /// How much of its share it should get, 0..=1: all, unless it is new or has just come in.
    pub(super) fn grown(&self, now: Timestamp, pace: &Pace) -> f32 {
        if !self.is_growing(now) {
            return 1.0;
        }
        let whole = self.grows_until.saturating_since(self.grows_from);
        let done = now.saturating_since(self.grows_from).as_secs_f32() / whole.as_secs_f32();
        (1.0 - pace.start).mul_add(done, pace.start)
    }

    pub(super) fn is_growing(&self, now: Timestamp) -> bool {
        now < self.grows_until
    }

    /// The share of the heaviest endpoint's requests that it should get.
    pub(super) fn share(&self, now: Timestamp, pace: &Pace) -> f32 {
        self.share * self.grown(now, pace)
    }

    /// The latency, projected to `now`, in seconds.
    pub(super) fn latency(&self, now: Timestamp, pace: &Pace) -> f64 {
        self.latency * self.left(now, pace)
    }

    /// In seconds: the latency, times the requests in flight, the penalties and one more. Requests
    /// in flight count for more where the share is smaller.
    pub(super) fn cost(&self, now: Timestamp, pace: &Pace) -> f64 {
        let queue = match self.in_flight {
            0 => 1.0,
            some => f64::from(some) / f64::from(self.share(now, pace)) + 1.0,
        };
        let left = self.left(now, pace);
        let penalty = ((self.failures * left - FREE_FAILURES) * PENALTY).max(0.0);
        self.latency * left * (queue + penalty)
    }

    fn left(&self, now: Timestamp, pace: &Pace) -> f64 {
        let passed = now.as_nanos().saturating_sub(self.at.as_nanos());
        (-(passed as f64) / pace.decay).exp()
    }
}

/// So many recent failures cost nothing, and each more so much.
const FREE_FAILURES: f64 = 12.0;
const PENALTY: f64 = 0.25;
/// What it costs at most is over soon after the last of them.
const MOST_FAILURES: f64 = 48.0;

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        decay: 10e9,
        start: 0.1,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut load = Load::new(0.03, at(0));
        load.took(0.2, true, at(0), &PACE);
        assert_eq!(load.latency(at(0), &PACE), 0.2);
        let faded = load.latency(at(10), &PACE);
        assert!((faded - 0.2 / std::f64::consts::E).abs() < 1e-12);
        load.took(0.02, true, at(10), &PACE);
        let averaged = faded + (1.0 - (-1.0_f64).exp()) * 0.02;
        assert!((load.latency(at(10), &PACE) - averaged).abs() < 1e-12);
    }

    #[test]
    fn what_failed_fast_is_no_good_latency_and_costs_more_from_the_13th_time_on() {
        let mut load = Load::new(0.03, at(0));
        let mut costs = Vec::new();
        for _ in 0..14 {
            load.took(0.001, false, at(0), &PACE);
            load.fail();
            costs.push((load.cost(at(0), &PACE) / 0.03 * 100.0).round());
        }
        assert_eq!(costs[10..], [100.0, 100.0, 125.0, 150.0]);
        for _ in 0..1000 {
            load.fail();
        }
        assert!((load.cost(at(0), &PACE) / 0.03 - 10.0).abs() < 1e-9);
        assert!(load.cost(at(14), &PACE) < 0.03);
    }

    #[test]
    fn requests_in_flight_weigh_by_the_share() {
        let mut load = Load::new(0.01, at(0));
        load.begin();
        assert!((load.cost(at(0), &PACE) - 0.02).abs() < 1e-9);
        load.set_share(0.1);
        assert!((load.cost(at(0), &PACE) - 0.11).abs() < 1e-6);
        load.set_share(1.0);
        load.grow(at(0), Duration::from_secs(10));
        assert!((load.share(at(5), &PACE) - 0.55).abs() < 1e-6);
        assert_eq!(load.share(at(10), &PACE), 1.0);
    }

    #[test]
    fn a_clock_that_is_set_back_changes_nothing() {
        let mut load = Load::new(0.03, at(100));
        load.took(0.02, true, at(50), &PACE);
        assert_eq!(load.latency(at(40), &PACE), 0.03);
        assert_eq!(load.latency(at(100), &PACE), 0.03);
    }
}
