//! The traffic of a route over time, in a bounded number of bins. If they are too few, each becomes
//! twice as wide.

use std::time::Duration;

use breaker_tower::breaker_core::{Classification, Timestamp};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::judge::Classifications;

/// A route's traffic over time.
#[derive(Debug)]
pub(super) struct Timeline {
    start: Timestamp,
    width: Duration,
    policies: usize,
    bins: Vec<Bin>,
}

/// A timeline in a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ToldTimeline {
    pub(super) name: String,
    /// In nanoseconds.
    pub(super) start: u64,
    pub(super) width: u64,
    pub(super) requests: Vec<u64>,
    pub(super) failed: Vec<u64>,
    /// In microseconds; `None` for a bin without answers.
    pub(super) p50: Vec<Option<u64>>,
    pub(super) p99: Vec<Option<u64>>,
    /// For each policy.
    pub(super) rejected_good: Vec<Vec<u64>>,
    pub(super) rejected_bad: Vec<Vec<u64>>,
}

/// The requests that began in one bin.
#[derive(Clone, Debug)]
pub(super) struct Bin {
    pub(super) requests: u64,
    /// By the rules of the first policy.
    pub(super) failed: u64,
    /// In microseconds, with one significant digit: a pixel shows no more.
    latencies: Histogram<u32>,
    /// For each policy.
    pub(super) rejected: Vec<Rejected>,
}

/// Requests that a policy rejected, by whether they were good in the trace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rejected {
    pub(super) good: u64,
    pub(super) bad: u64,
}

impl Timeline {
    pub(super) const fn new(start: Timestamp, policies: usize) -> Self {
        Self {
            start,
            width: FIRST_WIDTH,
            policies,
            bins: Vec::new(),
        }
    }

    /// Counts a request. `latency` is `None` if it was never answered. Times must not decrease.
    pub(super) fn count(
        &mut self,
        at: Timestamp,
        latency: Option<Duration>,
        classifications: Classifications,
        rejected_by: u32,
    ) {
        let since = at.saturating_since(self.start).as_nanos();
        let mut index = since / self.width.as_nanos();
        while index >= MOST_BINS as u128 {
            self.widen();
            index = since / self.width.as_nanos();
        }
        // It is less than `MOST_BINS`, so it fits.
        let index = index as usize;
        if index >= self.bins.len() {
            self.bins.resize(index + 1, Bin::new(self.policies));
        }
        self.bins[index].count(latency, classifications, rejected_by);
    }

    /// The timeline for a document; the route is called `name`.
    pub(super) fn told(&self, name: &str) -> ToldTimeline {
        let of = |of: &dyn Fn(&Bin) -> u64| self.bins.iter().map(of).collect();
        let quantile = |quantile| self.bins.iter().map(|bin| bin.quantile(quantile)).collect();
        let policies = 0..self.policies;
        ToldTimeline {
            name: name.to_owned(),
            start: self.start.as_nanos(),
            width: u64::try_from(self.width.as_nanos()).unwrap_or(u64::MAX),
            requests: of(&|bin| bin.requests),
            failed: of(&|bin| bin.failed),
            p50: quantile(0.5),
            p99: quantile(0.99),
            rejected_good: policies
                .clone()
                .map(|policy| of(&|bin| bin.rejected[policy].good))
                .collect(),
            rejected_bad: policies
                .map(|policy| of(&|bin| bin.rejected[policy].bad))
                .collect(),
        }
    }

    #[cfg(test)]
    fn bins(&self) -> &[Bin] {
        &self.bins
    }

    fn widen(&mut self) {
        self.width *= 2;
        let pairs = self.bins.chunks(2).map(|pair| match pair {
            [one, other] => one.clone().with(other),
            pair => pair[0].clone(),
        });
        self.bins = pairs.collect();
    }
}

impl Bin {
    fn new(policies: usize) -> Self {
        Self {
            requests: 0,
            failed: 0,
            latencies: Histogram::new_with_bounds(1, MOST_MICROS, 1).expect("the bounds are good"),
            rejected: vec![Rejected::default(); policies],
        }
    }

    /// The quantile in microseconds, if there were answers.
    pub(super) fn quantile(&self, quantile: f64) -> Option<u64> {
        let latencies = &self.latencies;
        (!latencies.is_empty()).then(|| latencies.value_at_quantile(quantile))
    }

    fn count(
        &mut self,
        latency: Option<Duration>,
        classifications: Classifications,
        rejected_by: u32,
    ) {
        self.requests += 1;
        self.failed += u64::from(classifications.of(0) == Classification::Failure);
        if let Some(latency) = latency {
            self.latencies
                .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
        for (policy, rejected) in self.rejected.iter_mut().enumerate() {
            if rejected_by >> policy & 1 == 1 {
                match classifications.of(policy) {
                    Classification::Success => rejected.good += 1,
                    Classification::Failure => rejected.bad += 1,
                    _ => {}
                }
            }
        }
    }

    fn with(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        self.failed += other.failed;
        self.latencies
            .add(&other.latencies)
            .expect("all have the same bounds");
        for (rejected, other) in self.rejected.iter_mut().zip(&other.rejected) {
            rejected.good += other.good;
            rejected.bad += other.bad;
        }
        self
    }
}

const FIRST_WIDTH: Duration = Duration::from_millis(250);
/// More than the HTML page has pixels.
const MOST_BINS: usize = 480;
/// An hour.
const MOST_MICROS: u64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_fits_into_the_bins_and_nothing_is_lost() {
        let mut timeline = Timeline::new(Timestamp::ZERO, 2);
        let classifications = Classifications::new(2, |policy| {
            if policy == 0 {
                Classification::Failure
            } else {
                Classification::Success
            }
        });
        for second in 0..86_400 {
            let at = Timestamp::from_millis(second * 1000);
            timeline.count(at, Some(Duration::from_millis(20)), classifications, 0b10);
        }
        assert!(timeline.bins().len() <= MOST_BINS);
        let sum = |of: fn(&Bin) -> u64| timeline.bins().iter().map(of).sum::<u64>();
        assert_eq!(
            (sum(|bin| bin.requests), sum(|bin| bin.failed)),
            (86_400, 86_400)
        );
        assert_eq!(
            (
                sum(|bin| bin.rejected[1].good),
                sum(|bin| bin.rejected[0].bad)
            ),
            (86_400, 0)
        );
        let p50 = timeline.bins()[0].quantile(0.5).expect("there are answers");
        assert!((20_000..22_000).contains(&p50), "{p50}");
    }

    #[test]
    fn the_end_of_time_is_a_bin_too() {
        let mut timeline = Timeline::new(Timestamp::ZERO, 1);
        for at in [0, u64::MAX] {
            timeline.count(
                Timestamp::from_nanos(at),
                None,
                Classifications::default(),
                0,
            );
        }
        assert!(timeline.bins().len() <= MOST_BINS);
        assert_eq!(timeline.bins()[0].quantile(0.5), None);
    }
}
