//! `reqwest::Client` as it is: with its own requests and responses, which keep their URL.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use breaker_core::Rejected;
use http::Extensions;
use reqwest::{Body, Error, Request, RequestBuilder, Response, ResponseBuilderExt as _};
use tower_service::Service;

use crate::blame::BoxError;
use crate::body::BreakerBody;
use crate::call::CallError;
use crate::classify::{Classify, HttpClassifier};
use crate::deadline::CallerDeadline;
use crate::exchange::Exchange;
use crate::handle::{BreakerHandle, InFlight, OnDrop};
use crate::observer::Watched;
use crate::reject::Fail;
use crate::select::Select;
use crate::service::{AskInner, BreakerService};
use crate::uploads::AsIs;

impl BreakerHandle {
    /// Sends `request`, unless the breaker rejects it. It counts as with
    /// [`BreakerLayer`](crate::BreakerLayer): the policy's rules classify the answer, and the
    /// request ends with the body of its response.
    ///
    /// A request that cannot be built is not counted.
    ///
    /// ```no_run
    /// use breaker_tower::{BreakerHandle, CallError, Policy};
    ///
    /// # async fn pay() -> Result<(), CallError<reqwest::Error>> {
    /// let client = reqwest::Client::new();
    /// let breaker = BreakerHandle::new("pay", Policy::sensitive());
    /// let answer = breaker.send(client.get("http://127.0.0.1:9001/pay")).await?;
    /// # drop(answer);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError::Rejected`] if the breaker rejects, [`CallError::Failed`] if `reqwest` fails.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, CallError<Error>> {
        let (client, request) = request.build_split();
        let request = request.map_err(CallError::Failed)?;
        let admitted = self.try_acquire(OnDrop::Ignored);
        let admitted = admitted.map_err(CallError::Rejected)?;
        let exchange = exchange(admitted, HttpClassifier, &request);
        let answer = exchanged(exchange, client.execute(request)).await;
        answer.map_err(CallError::Failed)
    }
}

impl<S, P, C> Service<Request> for BreakerService<S, P, C, Fail, (), AsIs>
where
    S: Service<Request, Response = Response>,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
    P: Select<Request>,
    C: Classify + Clone + Send + Sync + 'static,
{
    type Response = Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match ready!(self.poll_breaker(cx)) {
            AskInner(true) => self.inner.poll_ready(cx).map_err(Into::into),
            AskInner(false) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.admit(&request) {
            Ok(admitted) => {
                let mut exchange = exchange(admitted, self.classifier.clone(), &request);
                let call = || self.inner.call(request);
                let call = exchange.request.failing_on_panic(call);
                let answer = exchanged(exchange, call);
                Box::pin(async { answer.await.map_err(Into::into) })
            }
            Err(rejected) => Box::pin(async { Err::<Response, _>(boxed(rejected)) }),
        }
    }
}

fn boxed(rejected: Rejected) -> BoxError {
    rejected.into()
}

fn exchange<C>(mut admitted: InFlight, classifier: C, request: &Request) -> Exchange<C, ()> {
    let deadline = CallerDeadline::of_headers(request.headers());
    admitted.sends(request.method(), request.headers(), deadline);
    Exchange::new(Watched::new(admitted, ()), classifier)
}

/// The answer to `call`, whose body reports how the request ended.
async fn exchanged<C, E>(
    mut exchange: Exchange<C, ()>,
    call: impl Future<Output = Result<Response, E>>,
) -> Result<Response, E>
where
    C: Classify + Send + Sync + 'static,
    E: 'static,
{
    let mut call = pin!(call);
    let answer = poll_fn(|cx| exchange.request.failing_on_panic(|| call.as_mut().poll(cx))).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            exchange.failed(&error);
            return Err(error);
        }
    };
    let url = with_url(&answer);
    let mut answer: http::Response<Body> = answer.into();
    answer.extensions_mut().extend(url);
    exchange.answered(&answer);
    let answer = answer.map(|body| Body::wrap(BreakerBody::new(body, Some(exchange))));
    Ok(answer.into())
}

/// The URL of a response, in the form that a new response takes it from: the conversion to
/// `http::Response` loses it.
fn with_url(response: &Response) -> Extensions {
    let builder = http::Response::builder().url(response.url().clone());
    let response = builder.body(()).expect("a URL is no header field");
    response.into_parts().0.extensions
}
