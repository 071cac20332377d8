//! A telemetry feed: a source of a breaker that others observe, and tell of later.

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Verdict;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::trace::TraceId;

/// A telemetry feed, for [`Breaker::add_feed`](crate::Breaker::add_feed).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Feed {
    /// The name, by which reasons name it.
    pub name: Arc<str>,
    /// The conditions that are tried on it and the length of its window, where they are not those
    /// of the breaker's policy.
    pub policy: Option<Arc<Policy>>,
    /// For how long a feed that tripped the breaker must have been silent to say nothing against
    /// its recovery. Default 30 s.
    pub quiet: Duration,
}

/// What a feed tells of requests that ended alike.
///
/// Telemetry tells of a request when it is over, so a success counts at its end, and not from its
/// begin on as where the breaker sees the answer [begin](crate::Breaker::begun): a feed of long
/// streams shows failures sooner than successes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The verdict.
    pub verdict: Verdict,
    /// The latency, where the telemetry has it.
    pub latency: Option<Duration>,
    /// When the requests ended, on the breaker's clock.
    pub at: Timestamp,
    /// How many requests. Default 1.
    pub count: u32,
    /// The trace of the request, where the telemetry has it.
    pub trace: Option<TraceId>,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observed {
    /// It counts.
    Counted,
    /// It is older than the window, or from before the trial or the ramp began: it says nothing of
    /// now.
    Late,
    /// It is of a time to come, by more than a tenth of the window: a clock is wrong.
    Future,
    /// The breaker has no such feed.
    Unknown,
}

impl Feed {
    /// A feed that is judged by the breaker's policy.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            policy: None,
            quiet: Duration::from_secs(30),
        }
    }

    /// Tries the conditions of another policy on it.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<Arc<Policy>>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Sets for how long it must have been silent to say nothing against a recovery.
    #[must_use]
    pub const fn with_quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }
}

impl Sample {
    /// A sample of one request that ended at `at`.
    pub const fn new(verdict: Verdict, latency: Option<Duration>, at: Timestamp) -> Self {
        Self {
            verdict,
            latency,
            at,
            count: 1,
            trace: None,
        }
    }

    /// The same of `count` requests.
    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// Adds the trace of the request.
    #[must_use]
    pub const fn traced(mut self, trace: Option<TraceId>) -> Self {
        self.trace = trace;
        self
    }
}
