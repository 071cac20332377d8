//! How a request ended.

use std::time::Duration;

use crate::trace::TraceId;

/// The classification of a finished request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Classification {
    /// The upstream succeeded.
    Success,
    /// The upstream failed.
    Failure,
    /// No evidence about the upstream: the caller went away, or the policy ignores it.
    Ignored,
}

/// Who caused an outcome. Only what the upstream caused is a success or a failure; everything else
/// is [`Classification::Ignored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attribution {
    /// The upstream: it answered, refused, hung or cut the connection.
    Upstream,
    /// The caller: it went away, set a deadline shorter than the route's, or sent an invalid
    /// request.
    Caller,
    /// The proxy: one of its own limits, its own waiting, or a bug.
    Proxy,
    /// Another breaker or limit further upstream, which rejected the request.
    InnerBreaker,
    /// The name service: the upstream's name could not be resolved.
    Name,
}

impl Attribution {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Upstream,
        Self::Caller,
        Self::Proxy,
        Self::InnerBreaker,
        Self::Name,
    ];

    /// One word, for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Caller => "caller",
            Self::Proxy => "proxy",
            Self::InnerBreaker => "inner_breaker",
            Self::Name => "name",
        }
    }
}

/// How a request ended, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Success, failure, or ignored.
    pub classification: Classification,
    /// Who caused the outcome.
    pub attribution: Attribution,
    /// From admission (or the end of the upload, see [`Permit`](crate::Permit)) to the response
    /// head or to the end of the body, as [`LatencyMeasure`](crate::policy::LatencyMeasure) says.
    pub latency: Duration,
    /// Whether the sender's timeout ended the request.
    pub timed_out: bool,
    /// How long the upstream asked callers to wait (`Retry-After`, gRPC pushback).
    pub retry_after: Option<Duration>,
    /// The trace of the request, if it is known.
    pub trace: Option<TraceId>,
}

impl Outcome {
    /// An outcome with `classification` after `latency`. It is attributed to the upstream, or to
    /// the caller if it is ignored.
    pub const fn new(classification: Classification, latency: Duration) -> Self {
        Self {
            classification,
            attribution: match classification {
                Classification::Success | Classification::Failure => Attribution::Upstream,
                Classification::Ignored => Attribution::Caller,
            },
            latency,
            timed_out: false,
            retry_after: None,
            trace: None,
        }
    }

    /// A success after `latency`.
    pub const fn success(latency: Duration) -> Self {
        Self::new(Classification::Success, latency)
    }

    /// A failure after `latency`.
    pub const fn failure(latency: Duration) -> Self {
        Self::new(Classification::Failure, latency)
    }

    /// An outcome that is no evidence about the upstream.
    pub const fn ignored(latency: Duration) -> Self {
        Self::new(Classification::Ignored, latency)
    }

    /// Sets who caused the outcome. Anything that was not caused by the upstream becomes
    /// [`Classification::Ignored`].
    #[must_use]
    pub const fn caused_by(mut self, attribution: Attribution) -> Self {
        self.attribution = attribution;
        if !matches!(attribution, Attribution::Upstream) {
            self.classification = Classification::Ignored;
        }
        self
    }

    /// Sets whether the sender's timeout ended the request.
    #[must_use]
    pub const fn timed_out(mut self, timed_out: bool) -> Self {
        self.timed_out = timed_out;
        self
    }

    /// Adds how long the upstream asked callers to wait.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Adds the trace of the request.
    #[must_use]
    pub const fn traced(mut self, trace: Option<TraceId>) -> Self {
        self.trace = trace;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Breaker, Policy, Timestamp};

    #[test]
    fn what_another_caused_is_neither_success_nor_failure_and_counted_by_who_did() {
        let now = Timestamp::ZERO;
        let mut breaker = Breaker::new(Policy::sensitive(), 1, now);
        for (times, attribution) in (1..).zip(Attribution::ALL) {
            for _ in 0..times {
                let permit = breaker.try_acquire(now).unwrap();
                let failure = Outcome::failure(Duration::ZERO);
                breaker.record(permit, failure.caused_by(attribution), now);
            }
        }
        let permit = breaker.try_acquire(now).unwrap();
        // An answer that the policy's rules ignore.
        let ignored = Outcome::ignored(Duration::ZERO).caused_by(Attribution::Upstream);
        breaker.record(permit, ignored, now);
        let totals = breaker.snapshot(now).totals;
        assert_eq!((totals.failure, totals.ignored), (1, 2 + 3 + 4 + 5 + 1));
        assert_eq!(totals.ignored_by, [1, 2, 3, 4, 5]);
        let by_name = totals.ignored_by().find(|(_, requests)| *requests == 5);
        assert_eq!(by_name.unwrap().0.label(), "name");
    }
}
