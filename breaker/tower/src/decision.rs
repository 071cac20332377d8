//! What a breaker made of a request.

use std::time::Duration;

use breaker_core::policy::GrpcCode;
use breaker_core::{Attribution, Classification, State, TraceId};
use http::StatusCode;

/// The breaker's decision about a request, and its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The breaker's state when the request arrived.
    pub state: State,
    /// What the request counts as, and who caused its outcome; `None` if it was rejected.
    pub ending: Option<(Classification, Attribution)>,
    /// Whether the sender's timeout ended it.
    pub timed_out: bool,
    /// From admission, or the end of the upload, to the head of the response or to the end of its
    /// body, as the policy measures; the latter without the time in which the caller did not read.
    pub latency: Duration,
    /// From the same moment until now.
    pub waited: Duration,
    /// The status of the answer, if that alone decides the outcome by the policy's rules.
    pub status: Option<StatusCode>,
    /// The status of a gRPC call, if the answer had one.
    pub grpc: Option<GrpcCode>,
    /// The trace that the request belongs to.
    pub trace: Option<TraceId>,
}

impl Decision {
    pub(crate) const fn rejected(state: State) -> Self {
        Self {
            state,
            ending: None,
            timed_out: false,
            latency: Duration::ZERO,
            waited: Duration::ZERO,
            status: None,
            grpc: None,
            trace: None,
        }
    }

    /// What the request counts as; `None` if it was rejected.
    pub fn classification(&self) -> Option<Classification> {
        self.ending.map(|(classification, _)| classification)
    }

    /// Who caused the outcome; `None` if the request was rejected.
    pub fn attribution(&self) -> Option<Attribution> {
        self.ending.map(|(_, attribution)| attribution)
    }
}
