//! Another service that answers rejected requests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::Rejected;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::answer;
use crate::reject::OnReject;

/// Lets another service answer rejected requests. It finds the [`Rejected`] in the extensions of
/// the request. Its answers and errors are not counted.
#[derive(Clone)]
pub struct Fallback<S>(pub(crate) S);

pin_project! {
    /// The future of a [`Fallback`]'s answer.
    pub struct FallbackFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        service: S,
        request: Option<Request<B>>,
        #[pin]
        call: Option<S::Future>,
    }
}

impl<S, B, RB, E> OnReject<B, RB, E> for Fallback<S>
where
    S: Service<Request<B>, Response = Response<RB>, Error = E> + Clone,
{
    type Error = E;
    type Future = FallbackFuture<S, B>;

    fn on_reject(&self, rejected: Rejected, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(rejected);
        FallbackFuture {
            service: self.0.clone(),
            request: Some(request),
            call: None,
        }
    }

    fn on_timeout(is_grpc: bool) -> Result<Response<Option<RB>>, E> {
        Ok(answer::timed_out(is_grpc).map(|()| None))
    }

    fn inner_error(error: E) -> E {
        error
    }
}

impl<S, B, RB> Future for FallbackFuture<S, B>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    type Output = Result<Response<Option<RB>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            ready!(this.service.poll_ready(cx))?;
            if let Some(request) = this.request.take() {
                this.call.set(Some(this.service.call(request)));
            }
        }
        let call = this.call.as_pin_mut().expect("it is called once ready");
        call.poll(cx).map_ok(|response| response.map(Some))
    }
}

impl<S> fmt::Debug for Fallback<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fallback").finish_non_exhaustive()
    }
}

impl<S, B> fmt::Debug for FallbackFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackFuture").finish_non_exhaustive()
    }
}
