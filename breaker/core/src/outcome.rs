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

/// How a request ended, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// From admission (or the end of the upload, see [`Permit`](crate::Permit)) to the response head or to the end of the body, as
    /// [`LatencyMeasure`](crate::policy::LatencyMeasure) says.
    pub latency: Duration,
    /// For how long the upstream asked to be left alone (`Retry-After`, gRPC pushback).
    pub retry_after: Option<Duration>,
    /// The trace that the request belongs to, where it is known.
    pub trace: Option<TraceId>,
}

impl Outcome {
    /// An outcome with `verdict` after `latency`.
    pub const fn new(verdict: Verdict, latency: Duration) -> Self {
        Self {
            verdict,
            latency,
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
