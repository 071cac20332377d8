//! Conditions of trip entries.

use std::fmt;
use std::time::Duration;

use super::anomaly::Stream;
use crate::ratio::Ratio;

/// A condition on a source's window. Comparisons are `>=`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// The share of failures among the window's successes and failures; guarded by `min_requests`.
    ErrorRate(Ratio),
    /// A quantile of the window's latencies, to 2 significant digits; guarded by `min_requests`. A
    /// request that hangs counts with its age as soon as its age reaches the bound.
    Latency {
        /// Which quantile.
        quantile: Quantile,
        /// The bound, 1 ms..=1 h.
        bound: Duration,
    },
    /// The share of requests that took at least `threshold`, hung ones included; guarded by
    /// `min_requests`.
    SlowRate {
        /// The bound on the share.
        share: Ratio,
        /// From when on a request is slow, 1 ms..=1 h.
        threshold: Duration,
    },
    /// Requests in flight now. Tried on the proxy's own source only.
    Concurrency(u64),
    /// Failures without a success between them.
    ConsecutiveFailures(u32),
    /// The detectors of a stream have an alarm. Neither `window` nor `min_requests` have a part in
    /// it.
    Anomaly {
        /// What they watch.
        stream: Stream,
        /// The lower bound of the estimated share of hits, as a confidence sequence, must be at
        /// least this; zero for any alarm.
        at_least: Ratio,
        /// From the change to the latest hit it must be so long at least, 0 s..=1 min: what is
        /// shorter is a blip.
        blip: Duration,
    },
}

/// A quantile that a condition may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quantile {
    /// The median.
    P50,
    /// 90 % are at or below it.
    P90,
    /// 95 % are at or below it.
    P95,
    /// 99 % are at or below it.
    P99,
    /// 99.9 % are at or below it.
    P999,
}

impl Condition {
    /// The field's name in a policy file, and the `reason` of the metric `breaker.transitions`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ErrorRate(_) => "error_rate",
            Self::Latency { quantile, .. } => quantile.name(),
            Self::SlowRate { .. } => "slow_rate",
            Self::Concurrency(_) => "concurrency",
            Self::ConsecutiveFailures(_) => "consecutive_failures",
            Self::Anomaly { .. } => "anomaly",
        }
    }

    /// What it watches, in one word: of an anomaly its stream, else [`Self::name`].
    pub const fn stream(&self) -> &'static str {
        match self {
            Self::Anomaly { stream, .. } => stream.name(),
            _ => self.name(),
        }
    }

    /// The latency from which on a single request speaks for this condition, where the condition
    /// itself says so. That of [`Stream::Deadline`] is the policy's; see
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
}

impl Quantile {
    /// All of them, ascending.
    pub const ALL: [Self; 5] = [Self::P50, Self::P90, Self::P95, Self::P99, Self::P999];

    /// The share at or below it, 0..=1.
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
            Self::Concurrency(requests) => write!(f, "{requests} requests in flight"),
            Self::ConsecutiveFailures(failures) => write!(f, "{failures} failures in a row"),
            Self::Anomaly {
                stream,
                at_least,
                blip,
            } => {
                let more = match stream {
                    Stream::Errors => "more requests fail than usual",
                    Stream::Latency => "more requests are slow than usual",
                    Stream::Deadline => "more requests miss the deadline than usual",
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
