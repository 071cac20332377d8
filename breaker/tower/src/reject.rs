//! What becomes of a rejected request: an error, a response, or a call of another service.

use std::fmt;
use std::future::{Future, Ready, ready};

use breaker_core::Rejected;
use http::{Request, Response};

use crate::answer;
use crate::blame::{BoxError, TimedOut};
use crate::grpc;

/// Decides how a rejected request is answered.
pub trait OnReject<B, RB, E> {
    /// The error of the service.
    type Error;

    /// The future of the answer. `None` is an empty body.
    type Future: Future<Output = Result<Response<Option<RB>>, Self::Error>>;

    /// Answers a rejected request.
    fn on_reject(&self, rejected: Rejected, request: Request<B>) -> Self::Future;

    /// Answers a request that the service did not answer within
    /// [`BreakerLayer::timeout`](crate::BreakerLayer::timeout); `is_grpc` says whether it is a gRPC
    /// call.
    ///
    /// # Errors
    /// When the service is to fail.
    fn on_timeout(is_grpc: bool) -> Result<Response<Option<RB>>, Self::Error>;

    /// Passes on an error of the inner service.
    fn inner_error(error: E) -> Self::Error;
}

/// Fails with [`Rejected`], boxed; [`rejection`](crate::rejection) finds it again. With the feature
/// `tonic`, a gRPC call fails with a `tonic::Status` that is `UNAVAILABLE`, whose source is the
/// rejection.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Fail;

/// Answers with [`RejectedExt`](crate::RejectedExt)'s responses, without a body: those for gRPC to
/// gRPC calls, those for HTTP to all others. Errors of the inner service keep their type.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Answer;

/// Answers with the response of a closure; errors of the inner service keep their type. The
/// response's extensions have the [`Rejected`], for loggers and for outer breakers, which ignore
/// the answer.
#[derive(Clone)]
pub struct Respond<F>(pub(crate) F);

impl<B, RB, E: Into<BoxError>> OnReject<B, RB, E> for Fail {
    type Error = BoxError;
    type Future = Ready<Result<Response<Option<RB>>, BoxError>>;

    fn on_reject(&self, rejected: Rejected, request: Request<B>) -> Self::Future {
        let is_call = grpc::is_call(request.headers());
        ready(Err(error(rejected, is_call)))
    }

    fn on_timeout(is_grpc: bool) -> Result<Response<Option<RB>>, BoxError> {
        Err(timeout_error(is_grpc))
    }

    fn inner_error(error: E) -> BoxError {
        error.into()
    }
}

impl<B, RB, E> OnReject<B, RB, E> for Answer {
    type Error = E;
    type Future = Ready<Result<Response<Option<RB>>, E>>;

    fn on_reject(&self, rejected: Rejected, request: Request<B>) -> Self::Future {
        ready(Ok(match grpc::is_call(request.headers()) {
            true => answer::grpc(&rejected).map(|()| None),
            false => answer::http_head(&rejected).map(|()| None),
        }))
    }

    fn on_timeout(is_grpc: bool) -> Result<Response<Option<RB>>, E> {
        Ok(answer::timed_out(is_grpc).map(|()| None))
    }

    fn inner_error(error: E) -> E {
        error
    }
}

impl<F, B, RB, E> OnReject<B, RB, E> for Respond<F>
where
    F: Fn(Rejected, Request<B>) -> Response<RB>,
{
    type Error = E;
    type Future = Ready<Result<Response<Option<RB>>, E>>;

    fn on_reject(&self, rejected: Rejected, request: Request<B>) -> Self::Future {
        ready(Ok((self.0)(rejected, request).map(Some)))
    }

    fn on_timeout(is_grpc: bool) -> Result<Response<Option<RB>>, E> {
        Ok(answer::timed_out(is_grpc).map(|()| None))
    }

    fn inner_error(error: E) -> E {
        error
    }
}

impl<F> fmt::Debug for Respond<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Respond").finish_non_exhaustive()
    }
}

#[cfg(not(feature = "tonic"))]
pub(crate) fn error(rejected: Rejected, _: bool) -> BoxError {
    rejected.into()
}

#[cfg(feature = "tonic")]
pub(crate) fn error(rejected: Rejected, is_grpc: bool) -> BoxError {
    use crate::answer::RejectedExt as _;

    match is_grpc {
        true => rejected.grpc_status().into(),
        false => rejected.into(),
    }
}

#[cfg(not(feature = "tonic"))]
fn timeout_error(_: bool) -> BoxError {
    TimedOut.into()
}

#[cfg(feature = "tonic")]
fn timeout_error(is_grpc: bool) -> BoxError {
    if !is_grpc {
        return TimedOut.into();
    }
    let mut status = tonic::Status::deadline_exceeded(TimedOut.to_string());
    status.set_source(std::sync::Arc::new(TimedOut));
    status.into()
}
