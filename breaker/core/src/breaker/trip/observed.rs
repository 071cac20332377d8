//! What a condition is on: a share, a count or a quantile of what a source observed.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::Observation;
use crate::policy::{Condition, Quantile};
use crate::window::Failed;

/// What a condition is on, as it is now.
#[derive(Clone, Copy)]
pub(super) struct Observed {
    number: Number,
    /// How many observations there are.
    pub(super) samples: u64,
}

#[derive(Clone, Copy)]
enum Number {
    /// So many of the observations.
    Share(u64),
    /// The observations themselves.
    Count,
    /// A quantile of their latencies, not put together yet.
    Quantile {
        quantile: Quantile,
        bound: Duration,
        /// Whether it may be the bound or more.
        may_reach: bool,
    },
}

impl Observation<'_> {
    /// What `condition` is on, as it is now; none where this source can't tell.
    pub(super) fn observe(&self, condition: &Condition) -> Option<Observed> {
        let counts = self.source.window.unexpired();
        let observed = match *condition {
            Condition::ErrorRate(_) => Observed::share(counts.failure.into(), counts.judged()),
            Condition::SlowRate { threshold, .. } => {
                let hanging = self.hanging(threshold);
                let slow = u64::from(self.source.window.slow(counts, threshold)) + hanging;
                Observed::share(slow, u64::from(counts.timed) + hanging)
            }
            Condition::Latency { quantile, bound } => {
                let hanging = self.hanging(bound);
                Observed {
                    number: Number::Quantile {
                        quantile,
                        bound,
                        // In health no request is as slow, and no histogram is put together.
                        may_reach: hanging > 0 || self.source.window.reaches(bound),
                    },
                    samples: u64::from(counts.timed) + hanging,
                }
            }
            Condition::TimeoutRate(_) => {
                self.in_flight?;
                Observed::share(self.source.window.failed(Failed::TimedOut), counts.judged())
            }
            Condition::Concurrency(_) => {
                let own = self.in_flight?;
                // Callers that don't send or don't read must not switch the route off for others.
                Observed::count(own.permits.saturating_sub(own.callers_turn))
            }
            Condition::ConsecutiveFailures(_) => {
                Observed::count(self.source.consecutive_failures.into())
            }
            // What the detectors make of it, they say themselves.
            Condition::Anomaly { .. } => return None,
        };
        Some(observed)
    }

    /// What was observed, in the unit of its condition; none of nothing.
    pub(super) fn number(&mut self, observed: Observed) -> Option<f64> {
        let samples = observed.samples;
        match observed.number {
            Number::Share(part) => (samples > 0).then(|| part as f64 / samples as f64),
            Number::Count => Some(samples as f64),
            Number::Quantile {
                quantile, bound, ..
            } => (samples > 0).then(|| self.quantile(quantile, bound)),
        }
    }

    /// Requests in flight that are at least `age` old.
    fn hanging(&self, age: Duration) -> u64 {
        self.in_flight
            .map_or(0, |own| own.ages.older_than(age, self.now))
    }

    /// A quantile in seconds, of the window's latencies and of those requests in flight whose age
    /// has reached `bound`.
    fn quantile(&mut self, quantile: Quantile, bound: Duration) -> f64 {
        let (source, now) = (&mut self.source, self.now);
        let latencies = self.latencies.get_or_insert_with(|| {
            let empty = || {
                Histogram::new(2).expect("2 is a number of significant digits that histograms have")
            };
            source.window.latencies(now).unwrap_or_else(empty)
        });
        let hanging: Vec<_> = self
            .in_flight
            .iter()
            .flat_map(|own| own.ages.ages(now))
            .take_while(|(age, _)| *age >= bound)
            .collect();
        let micros = if hanging.is_empty() {
            latencies.value_at_quantile(quantile.value())
        } else {
            let mut with_hanging = latencies.clone();
            for (age, count) in hanging {
                let micros = age.as_micros() as u64;
                with_hanging
                    .record_n(micros, count)
                    .expect("a histogram that resizes itself takes any value");
            }
            with_hanging.value_at_quantile(quantile.value())
        };
        micros as f64 / 1e6
    }
}

impl Observed {
    const fn share(part: u64, samples: u64) -> Self {
        let number = Number::Share(part);
        Self { number, samples }
    }

    const fn count(samples: u64) -> Self {
        let number = Number::Count;
        Self { number, samples }
    }

    /// Whether it may be at least `threshold`. Almost always it is not, and multiplying tells so in
    /// a fraction of the time that dividing takes.
    pub(super) fn may_reach(&self, threshold: f64) -> bool {
        match self.number {
            Number::Share(part) => reaches(part as f64, threshold * self.samples as f64),
            Number::Quantile { may_reach, .. } => may_reach,
            Number::Count => true,
        }
    }
}

/// Whether `observed` is at least `threshold`: 7 of 100 are 7 %, whatever binary fractions make of
/// it.
pub(super) fn reaches(observed: f64, threshold: f64) -> bool {
    observed >= threshold * (1.0 - 1e-12)
}
