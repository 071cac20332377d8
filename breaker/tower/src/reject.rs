//! What becomes of a rejected request: an error, or a response.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::iter;

use breaker_core::Rejected;
use http::{Request, Response};

/// The error type of middleware that adds its own errors.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Decides how a rejected request is answered.
pub trait OnReject<B, RB, E> {
    /// The error of the service.
    type Error;

    /// Answers a rejected request.
    ///
    /// # Errors
    /// When the service is to fail with the rejection.
    fn on_reject(
        &self,
        rejected: Rejected,
        request: Request<B>,
    ) -> Result<Response<RB>, Self::Error>;

    /// Passes on an error of the inner service.
    fn inner_error(error: E) -> Self::Error;
}

/// Fails with [`Rejected`], boxed; [`rejection`] finds it again.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Fail;

/// Answers with the response of a closure; errors of the inner service keep their type. The
/// response's extensions have the [`Rejected`], for loggers and for outer breakers, which ignore
/// the answer.
#[derive(Clone)]
pub struct Respond<F>(pub(crate) F);

impl<B, RB, E: Into<BoxError>> OnReject<B, RB, E> for Fail {
    type Error = BoxError;

    fn on_reject(&self, rejected: Rejected, _: Request<B>) -> Result<Response<RB>, BoxError> {
        Err(rejected.into())
    }

    fn inner_error(error: E) -> BoxError {
        error.into()
    }
}

impl<F, B, RB, E> OnReject<B, RB, E> for Respond<F>
where
    F: Fn(Rejected, Request<B>) -> Response<RB>,
{
    type Error = E;

    fn on_reject(&self, rejected: Rejected, request: Request<B>) -> Result<Response<RB>, E> {
        Ok((self.0)(rejected, request))
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

/// The rejection that is `error`, or its cause.
pub fn rejection<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Rejected> {
    let mut causes = iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        error.source()
    });
    causes.find_map(|error| error.downcast_ref())
}

/// Whether an error of whatever type is a rejection, or was caused by one, as far as its type
/// tells.
pub(crate) fn is_rejection_error(error: &dyn Any) -> bool {
    match error.downcast_ref::<BoxError>() {
        Some(error) => rejection(&**error).is_some(),
        None => error.is::<Rejected>(),
    }
}
