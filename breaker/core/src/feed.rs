//! A telemetry feed: a source of a breaker that others observe, and tell of later.

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Classification;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::trace::TraceId;

/// A telemetry feed, for [`Breaker::add_feed`](crate::Breaker::add_feed).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Feed {
    /// The name of the feed in reasons.
    pub name: Arc<str>,
    /// The policy whose conditions and window apply to the feed, if it is not the breaker's.
    pub policy: Option<Arc<Policy>>,
    /// How long a feed that tripped the breaker must be silent until it no longer prevents
    /// recovery. Default 30 s.
    pub silence_timeout: Duration,
}

/// Equal requests that a feed reports.
///
/// Telemetry reports a request when it has ended. So a success counts at its end, and not from its
/// start as it does where the breaker sees the answer [begin](crate::Breaker::begun). A feed of
/// long streams therefore shows failures sooner than successes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Success, failure, or ignored.
    pub classification: Classification,
    /// The latency, if the telemetry has it.
    pub latency: Option<Duration>,
    /// When the requests ended, on the breaker's clock.
    pub at: Timestamp,
    /// The number of requests. Default 1.
    pub count: u32,
    /// The trace of the request, if the telemetry has it.
    pub trace: Option<TraceId>,
}

/// How the breaker handled a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Observed {
    /// It counts.
    Counted,
    /// It is older than the window, or from before the current half-open phase or ramp.
    Late,
    /// Timestamped more than a tenth of the window in the future: a clock is wrong.
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
            silence_timeout: Duration::from_secs(30),
        }
    }

    /// Uses another policy's conditions for the feed.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<Arc<Policy>>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Sets how long the feed must be silent until it no longer prevents recovery.
    #[must_use]
    pub const fn with_silence_timeout(mut self, silence_timeout: Duration) -> Self {
        self.silence_timeout = silence_timeout;
        self
    }
}

impl Sample {
    /// A sample of one request that ended at `at`.
    pub const fn new(
        classification: Classification,
        latency: Option<Duration>,
        at: Timestamp,
    ) -> Self {
        Self {
            classification,
            latency,
            at,
            count: 1,
            trace: None,
        }
    }

    /// The same for `count` requests.
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
