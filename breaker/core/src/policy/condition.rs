//! Conditions of trip entries: all that is to be known of a kind of condition, but how it is
//! observed (`breaker/trip/observed.rs`) and read from a file (`yaml/raw/trip.rs`).

use std::fmt;
use std::time::Duration;

use super::InvalidField;
use super::anomaly::Signal;
use super::builder::{HOUR, MILLI, MINUTE, rule, within};
use crate::ratio::Ratio;
use crate::time::ToMillis;

/// A condition on a source's window. Comparisons are `>=`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// The share of failures among the window's successes and failures; needs `min_requests`.
    ErrorRate(Ratio),
    /// A quantile of the window's latencies, to 2 significant digits; needs `min_requests`. A hung
    /// request counts with its age, as soon as that reaches the threshold.
    Latency {
        /// Which quantile.
        quantile: Quantile,
        /// The bound, 1 ms..=1 h.
        bound: Duration,
    },
    /// The share of requests that took at least `threshold`, including hung ones; needs
    /// `min_requests`.
    SlowRate {
        /// The bound on the share.
        share: Ratio,
        /// From when on a request is slow, 1 ms..=1 h.
        threshold: Duration,
    },
    /// The share of requests that the sender's timeout ended, among the window's successes and
    /// failures; needs `min_requests`. Evaluated only for the proxy's own source.
    TimeoutRate(Ratio),
    /// Requests in flight that wait for the upstream, and not for their caller. Evaluated only for
    /// the proxy's own source.
    Concurrency(u64),
    /// Failures without a success between them.
    ConsecutiveFailures(u32),
    /// The detectors of a signal have an alarm. `window` and `min_requests` do not apply.
    Anomaly {
        /// What they watch.
        signal: Signal,
        /// The lower bound of the estimated share of hits, as a confidence sequence, must be at
        /// least this; zero for any alarm.
        at_least: Ratio,
        /// From the change to the latest hit it must be so long at least, 0 s..=1 min: what is
        /// shorter is a blip.
        blip: Duration,
    },
}

/// A quantile of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quantile {
    /// The median.
    P50,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
    /// The 99.9th percentile.
    P999,
}

/// The unit of a condition's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// A share of the requests, 0..=1.
    Share,
    /// Seconds.
    Seconds,
    /// A count.
    Count,
}

/// A value as it is in a policy file.
#[cfg(feature = "yaml")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Share(Ratio),
    Time(Duration),
    Number(u64),
    Word(&'static str),
}

impl Condition {
    /// One condition of each kind, including quantiles and signals, in the order in which they are
    /// displayed.
    pub const EXAMPLES: [Self; 13] = [
        Self::ErrorRate(Ratio::ONE),
        Self::latency(Quantile::P50),
        Self::latency(Quantile::P90),
        Self::latency(Quantile::P95),
        Self::latency(Quantile::P99),
        Self::latency(Quantile::P999),
        Self::SlowRate {
            share: Ratio::ONE,
            threshold: Duration::from_secs(1),
        },
        Self::TimeoutRate(Ratio::ONE),
        Self::Concurrency(1),
        Self::ConsecutiveFailures(1),
        Self::anomaly(Signal::Errors),
        Self::anomaly(Signal::Latency),
        Self::anomaly(Signal::Deadline),
    ];

    const fn latency(quantile: Quantile) -> Self {
        let bound = Duration::from_secs(1);
        Self::Latency { quantile, bound }
    }

    const fn anomaly(signal: Signal) -> Self {
        Self::Anomaly {
            signal,
            at_least: Ratio::ZERO,
            blip: Duration::ZERO,
        }
    }

    /// The field's name in a policy file, and the `reason` of the metric `breaker.transitions`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ErrorRate(_) => "error_rate",
            Self::Latency { quantile, .. } => quantile.name(),
            Self::SlowRate { .. } => "slow_rate",
            Self::TimeoutRate(_) => "timeout_rate",
            Self::Concurrency(_) => "concurrency",
            Self::ConsecutiveFailures(_) => "consecutive_failures",
            Self::Anomaly { .. } => "anomaly",
        }
    }

    /// The signal in one word: the anomaly's signal, otherwise [`Self::name`].
    pub const fn signal(&self) -> &'static str {
        match self {
            Self::Anomaly { signal, .. } => signal.name(),
            _ => self.name(),
        }
    }

    /// The unit of its values.
    pub const fn unit(&self) -> Unit {
        match self {
            Self::ErrorRate(_)
            | Self::SlowRate { .. }
            | Self::TimeoutRate(_)
            | Self::Anomaly { .. } => Unit::Share,
            Self::Latency { .. } => Unit::Seconds,
            Self::Concurrency(_) | Self::ConsecutiveFailures(_) => Unit::Count,
        }
    }

    /// Its threshold, in its [unit](Self::unit). An anomaly has none, since the normal share is
    /// learned.
    pub fn threshold(&self) -> Option<f64> {
        match *self {
            Self::ErrorRate(share) | Self::SlowRate { share, .. } | Self::TimeoutRate(share) => {
                Some(share.get())
            }
            Self::Latency { bound, .. } => Some(bound.as_secs_f64()),
            Self::Concurrency(requests) => Some(requests as f64),
            Self::ConsecutiveFailures(failures) => Some(failures.into()),
            Self::Anomaly { .. } => None,
        }
    }

    /// Whether it needs `min_requests`: it is on a share or a quantile of the window's requests.
    pub const fn is_guarded(&self) -> bool {
        !matches!(self, Self::Anomaly { .. }) && !matches!(self.unit(), Unit::Count)
    }

    /// Whether failures make it hold.
    pub const fn is_on_failures(&self) -> bool {
        match self {
            Self::ErrorRate(_) | Self::ConsecutiveFailures(_) => true,
            Self::Anomaly { signal, .. } => matches!(signal, Signal::Errors),
            _ => false,
        }
    }

    /// Whether only the sender of requests can evaluate it, because telemetry doesn't contain the
    /// data.
    pub const fn is_on_own_requests(&self) -> bool {
        matches!(self, Self::TimeoutRate(_) | Self::Concurrency(_))
    }

    /// Whether it is on how slow the requests are.
    pub(super) const fn is_on_latency(&self) -> bool {
        match self {
            Self::Anomaly { signal, .. } => !matches!(signal, Signal::Errors),
            _ => self.latency_bound().is_some(),
        }
    }

    /// The latency from which a single request counts towards this condition, if the condition
    /// itself defines it. For [`Signal::Deadline`] the policy defines it; see
    /// [`Policy::slow_from`](super::Policy::slow_from).
    pub const fn latency_bound(&self) -> Option<Duration> {
        match self {
            Self::Latency { bound, .. } => Some(*bound),
            Self::SlowRate { threshold, .. } => Some(*threshold),
            _ => None,
        }
    }

    /// Whether trying the condition walks a histogram.
    pub(crate) const fn needs_histogram(&self) -> bool {
        matches!(self, Self::Latency { .. })
    }

    /// Checks its fields, whose paths `at` tells.
    pub(super) fn check(&self, at: impl Fn(&str) -> String) -> Result<(), InvalidField> {
        let field = at(self.name());
        let some_share = |share| {
            let what = "must be more than 0% and at most 100%";
            rule(share > Ratio::ZERO, &*field, what)
        };
        match *self {
            Self::ErrorRate(share) | Self::TimeoutRate(share) => some_share(share),
            Self::Latency { bound, .. } => within(bound, MILLI, HOUR, field, "1ms to 1h"),
            Self::SlowRate { share, threshold } => {
                some_share(share)?;
                within(threshold, MILLI, HOUR, at("slow_threshold"), "1ms to 1h")
            }
            Self::Concurrency(requests) => rule(requests > 0, field, "must be at least 1"),
            Self::ConsecutiveFailures(failures) => rule(failures > 0, field, "must be at least 1"),
            // Every ratio and every signal is one that it may have.
            Self::Anomaly { blip, .. } => {
                within(blip, Duration::ZERO, MINUTE, at("blip"), "0s to 1m")
            }
        }
    }

    /// Its fields in a policy file, the first called [`Self::name`].
    #[cfg(feature = "yaml")]
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        let first = |value| vec![(self.name(), value)];
        match *self {
            Self::ErrorRate(share) | Self::TimeoutRate(share) => first(Value::Share(share)),
            Self::Latency { bound, .. } => first(Value::Time(bound)),
            Self::SlowRate { share, threshold } => {
                let mut fields = first(Value::Share(share));
                fields.push(("slow_threshold", Value::Time(threshold)));
                fields
            }
            Self::Concurrency(requests) => first(Value::Number(requests)),
            Self::ConsecutiveFailures(failures) => first(Value::Number(failures.into())),
            Self::Anomaly {
                signal,
                at_least,
                blip,
            } => {
                let mut fields = first(Value::Word(signal.name()));
                if at_least > Ratio::ZERO {
                    fields.push(("at_least", Value::Share(at_least)));
                }
                if blip > Duration::ZERO {
                    fields.push(("blip", Value::Time(blip)));
                }
                fields
            }
        }
    }

    /// Writes what was observed, beside the bound that it has reached.
    pub(crate) fn write_reached(
        &self,
        f: &mut fmt::Formatter<'_>,
        observed: f64,
        bound: f64,
    ) -> fmt::Result {
        let share = |value| Ratio::new(value).unwrap_or(Ratio::ONE);
        let (part, least) = (share(observed), share(bound));
        match self {
            Self::ErrorRate(_) => write!(f, "error rate {part} ≥ {least}"),
            Self::Latency { quantile, bound } => {
                let latency = Duration::from_secs_f64(observed.clamp(0.0, 1e9));
                write!(f, "{quantile} {} ≥ {bound:?}", ToMillis(latency))
            }
            Self::SlowRate { threshold, .. } => write!(
                f,
                "{part} ≥ {least} of the requests took {threshold:?} or longer"
            ),
            Self::TimeoutRate(_) => write!(f, "{part} ≥ {least} of the requests timed out"),
            Self::Concurrency(_) => write!(f, "{observed} ≥ {bound} requests in flight"),
            Self::ConsecutiveFailures(_) => write!(f, "{observed} ≥ {bound} failures in a row"),
            Self::Anomaly { signal, .. } => write!(f, "{part} {}", signal.hits()),
        }
    }
}

impl Quantile {
    /// The share of values at or below it, 0..=1.
    pub const fn value(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P95 => 0.95,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
        }
    }

    /// The name in a policy file: `p99`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p999",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate(share) => write!(f, "error rate ≥ {share}"),
            Self::Latency { quantile, bound } => write!(f, "{quantile} ≥ {bound:?}"),
            Self::SlowRate { share, threshold } => {
                write!(f, "{share} of the requests slower than {threshold:?}")
            }
            Self::TimeoutRate(share) => write!(f, "timeout rate ≥ {share}"),
            Self::Concurrency(requests) => write!(f, "{requests} requests in flight"),
            Self::ConsecutiveFailures(failures) => write!(f, "{failures} failures in a row"),
            Self::Anomaly {
                signal,
                at_least,
                blip,
            } => {
                let more = match signal {
                    Signal::Errors => "more requests fail than usual",
                    Signal::Latency => "more requests are slow than usual",
                    Signal::Deadline => "more requests miss the deadline than usual",
                };
                f.write_str(more)?;
                if *at_least > Ratio::ZERO {
                    write!(f, ", {at_least} of them at least")?;
                }
                if *blip > Duration::ZERO {
                    write!(f, ", for {blip:?} at least")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
