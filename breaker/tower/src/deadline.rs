//! The deadline that a caller chose for its request. What it forces says nothing of the upstream.

use std::time::Duration;

use breaker_core::Attribution;
use breaker_core::policy::GrpcCode;
use http::{HeaderMap, Request, StatusCode, header};
use tokio::time::Instant;

use crate::classify::{Classify, Ending};
use crate::grpc;

/// The deadline that the caller of a request chose.
///
/// [`BreakerService`](crate::BreakerService) reads `grpc-timeout` of gRPC calls by itself. Put a
/// deadline in the request's extensions if callers send it in another way, or if the service's own
/// time is shorter than theirs.
///
/// The effects of the deadline are
/// [`Classification::Ignored`](breaker_core::Classification::Ignored) and attributed to the caller:
/// gRPC `DEADLINE_EXCEEDED` of a call with a deadline, HTTP 504 once nine tenths of it have passed,
/// and any error once it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerDeadline(Option<Moment>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    at: Instant,
    /// A tenth of the whole, in microseconds: it is moved with each request, and is to be small.
    tenth: u32,
}

impl Default for CallerDeadline {
    /// [`Self::NONE`].
    fn default() -> Self {
        Self::NONE
    }
}

impl CallerDeadline {
    /// No deadline, whatever the request's header fields say: the service's own time is shorter.
    pub const NONE: Self = Self(None);

    /// A deadline `whole` after now.
    pub fn after(whole: Duration) -> Self {
        Self::since(Instant::now(), whole)
    }

    /// A deadline `whole` after `began`; none if the clock can't represent that time.
    pub fn since(began: Instant, whole: Duration) -> Self {
        let tenth = u32::try_from((whole / 10).as_micros()).unwrap_or(u32::MAX);
        let at = began.checked_add(whole);
        Self(at.map(|at| Moment { at, tenth }))
    }

    /// That of `request`: of its extensions, or by its `grpc-timeout`.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        match request.extensions().get::<Self>() {
            Some(known) => *known,
            None => Self::of_headers(request.headers()),
        }
    }

    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let Some(timeout) = headers.get(grpc::GRPC_TIMEOUT) else {
            return Self::NONE;
        };
        let media_type = headers.get(header::CONTENT_TYPE);
        media_type
            .filter(|media_type| grpc::is_grpc(media_type.as_bytes()))
            .and_then(|_| grpc::parse_grpc_timeout(timeout.as_bytes()))
            .map_or(Self::NONE, Self::after)
    }

    /// Whether it forced an answer with this head.
    pub(crate) fn forced_head(self, status: StatusCode, headers: &HeaderMap) -> bool {
        let Some(moment) = self.0 else {
            return false;
        };
        match grpc::status(headers) {
            Some(code) => code == GrpcCode::DEADLINE_EXCEEDED,
            // Gateways have timeouts of their own, which are none of the caller's.
            None => status == StatusCode::GATEWAY_TIMEOUT && moment.has_nearly_passed(),
        }
    }

    /// Whether it forced the end of an answer with these trailers.
    pub(crate) fn forced_trailers(self, trailers: Option<&HeaderMap>) -> bool {
        let code = || trailers.and_then(grpc::status);
        self.0.is_some() && code() == Some(GrpcCode::DEADLINE_EXCEEDED)
    }

    /// What an error counts as: once it has passed, that is its doing, else as `classifier` says.
    pub(crate) fn or_error<E: 'static>(self, classifier: &impl Classify, error: &E) -> Ending {
        self.forced_now().unwrap_or_else(|| classifier.error(error))
    }

    /// What an end without an answer counts as: once it has passed, that is its doing, else
    /// `ending`.
    pub(crate) fn or(self, ending: Ending) -> Ending {
        self.forced_now().unwrap_or(ending)
    }

    fn forced_now(self) -> Option<Ending> {
        let has_passed = self.0.is_some_and(|moment| Instant::now() >= moment.at);
        has_passed.then_some(Ending::caused_by(Attribution::Caller))
    }
}

impl Moment {
    fn has_nearly_passed(self) -> bool {
        let tenth = Duration::from_micros(self.tenth.into());
        let soon = Instant::now().checked_add(tenth);
        soon.is_none_or(|soon| soon >= self.at)
    }
}
