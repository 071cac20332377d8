//! How a request ended.

use std::time::Duration;

use crate::trace::TraceId;

/// The verdict on a finished request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The upstream did its work.
    Success,
    /// The upstream failed.
    Failure,
    /// Says nothing of the upstream: the caller went away, or the policy says so.
    Ignored,
}

/// Who caused an ending. Only what the upstream caused is a success or a failure of it; everything
/// else is [`Verdict::Ignored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attribution {
    /// The upstream: it answered, refused, hung or cut the connection.
    Upstream,
    /// The caller: it went away, set a deadline shorter than the route's, or sent garbage.
    Caller,
    /// The proxy: one of its own limits, its own waiting, or a bug.
    Proxy,
    /// Another breaker or limit further in, which rejected the request.
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

    /// One word, as metrics have it.
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
    /// The verdict.
    pub verdict: Verdict,
    /// Who caused the ending.
    pub attribution: Attribution,
    /// From admission (or the end of the upload, see [`Permit`](crate::Permit)) to the response
    /// head or to the end of the body, as [`LatencyMeasure`](crate::policy::LatencyMeasure) says.
    pub latency: Duration,
    /// Whether the timeout of who sent the request ended it.
    pub timed_out: bool,
    /// For how long the upstream asked to be left alone (`Retry-After`, gRPC pushback).
    pub retry_after: Option<Duration>,
    /// The trace that the request belongs to, where it is known.
    pub trace: Option<TraceId>,
}

impl Outcome {
    /// An outcome with `verdict` after `latency`: caused by the upstream, or if it is ignored, by
    /// the caller.
    pub const fn new(verdict: Verdict, latency: Duration) -> Self {
        Self {
            verdict,
            attribution: match verdict {
                Verdict::Success | Verdict::Failure => Attribution::Upstream,
                Verdict::Ignored => Attribution::Caller,
            },
            latency,
            timed_out: false,
            retry_after: None,
            trace: None,
        }
    }

    /// A success after `latency`.
    pub const fn success(latency: Duration) -> Self {
        Self::new(Verdict::Success, latency)
    }

    /// A failure after `latency`.
    pub const fn failure(latency: Duration) -> Self {
        Self::new(Verdict::Failure, latency)
    }

    /// An end that says nothing of the upstream.
    pub const fn ignored(latency: Duration) -> Self {
        Self::new(Verdict::Ignored, latency)
    }

    /// Says who caused the ending. What anybody but the upstream caused is [`Verdict::Ignored`]
    /// from then on.
    #[must_use]
    pub const fn caused_by(mut self, attribution: Attribution) -> Self {
        self.attribution = attribution;
        if !matches!(attribution, Attribution::Upstream) {
            self.verdict = Verdict::Ignored;
        }
        self
    }

    /// Says whether the timeout of who sent the request ended it.
    #[must_use]
    pub const fn timed_out(mut self, timed_out: bool) -> Self {
        self.timed_out = timed_out;
        self
    }

    /// Adds the upstream's wish to be left alone for a time.
    #[must_use]
    pub const fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Adds the trace that the request belongs to.
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
