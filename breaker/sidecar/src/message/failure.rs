//! What kind of failure a request was: what an operator asks first.

use std::fmt;

use breaker_tower::Decision;
use breaker_tower::breaker_core::Classification;
use breaker_tower::breaker_core::policy::GrpcCode;

use super::error::ErrorKind;
use super::record::Finished;

/// What kind of failure a request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no answer, or it broke off.
    Error(ErrorKind),
    /// The gRPC status, told by the answer.
    Grpc(GrpcCode),
    /// The status of the answer.
    Status(u16),
    /// The caller went away, which its breaker counts against the upstream: it answered nobody.
    Abandoned,
}

impl Failure {
    /// What kind of failure `finished` is; `None` if it is none: its breaker calls it none, and its
    /// caller got an answer to be content with.
    pub(crate) fn of(finished: &Finished<'_>, decision: Option<&Decision>) -> Option<Self> {
        let has_failed =
            decision.and_then(Decision::classification) == Some(Classification::Failure);
        match finished.error {
            Some(ErrorKind::ClientGone) if has_failed => return Some(Self::Abandoned),
            Some(error) => return Some(Self::Error(error)),
            None => {}
        }
        let grpc = decision.and_then(|decision| decision.grpc);
        if let Some(code) = grpc
            && has_failed
        {
            return Some(Self::Grpc(code));
        }
        let status = finished.status?;
        (has_failed || status.is_server_error()).then(|| Self::Status(status.as_u16()))
    }
}

/// As `error.type` in telemetry: a word of RFC 9209, the name of a gRPC status, or a number. RFC
/// 9209 has no word for requests that their callers gave up.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => f.write_str(error.proxy_status()),
            Self::Grpc(code) => f.write_str(code.name()),
            Self::Abandoned => f.write_str("abandoned"),
            Self::Status(status) => write!(f, "{status}"),
        }
    }
}
