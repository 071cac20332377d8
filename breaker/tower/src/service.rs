//! The middleware.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use breaker_core::Rejected;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::futures::OwnedNotified;
use tower_service::Service;

use crate::body::BreakerBody;
use crate::classify::{Classify, HttpClassifier};
use crate::deadline::CallerDeadline;
use crate::decision::Decision;
use crate::exchange::Exchange;
use crate::future::ResponseFuture;
use crate::grpc;
use crate::handle::{BreakerHandle, InFlight, OnDrop};
use crate::observer::{Observer, Watched, Witness};
use crate::reject::{Fail, OnReject};
use crate::select::Select;
use crate::timeout::Timeout;
use crate::uploads::{AsIs, Uploads};

/// A service behind a breaker.
///
/// It rejects in `call`, and is ready while the breaker is open: an error of `poll_ready` would
/// make the caller discard the service. With
/// [`unready_while_open`](crate::BreakerLayer::unready_while_open) it is pending instead, for
/// balancers.
pub struct BreakerService<S, P = BreakerHandle, C = HttpClassifier, R = Fail, O = (), U = AsIs> {
    pub(crate) inner: S,
    breaker: P,
    pub(crate) classifier: C,
    on_reject: R,
    observer: O,
    uploads: U,
    options: Options,
    /// Whether this very clone was ready without asking `inner`, because its next request was to be
    /// rejected.
    inner_skipped: bool,
    /// The wait for a breaker that may admit again.
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) unready_while_open: bool,
    pub(crate) timeout: Option<Duration>,
}

impl<S, P, C, R, O, U> BreakerService<S, P, C, R, O, U> {
    pub(crate) const fn new(
        inner: S,
        breaker: P,
        classifier: C,
        on_reject: R,
        observer: O,
        uploads: U,
        options: Options,
    ) -> Self {
        Self {
            inner,
            breaker,
            classifier,
            on_reject,
            observer,
            uploads,
            options,
            inner_skipped: false,
            waiting: None,
        }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, C, R, O, U> BreakerService<S, P, C, R, O, U> {
    /// Whether the next request can be called, once `inner` is ready if it is to be asked.
    pub(crate) fn poll_breaker<Q>(&mut self, cx: &mut Context<'_>) -> Poll<AskInner>
    where
        P: Select<Q>,
    {
        self.inner_skipped = false;
        if let Some(breaker) = self.breaker.fixed() {
            if self.options.unready_while_open {
                ready!(poll_admitting(breaker, &mut self.waiting, cx));
            } else if breaker.would_reject() {
                // A rejection needs nothing of the inner service, and that may be what is in
                // trouble.
                self.inner_skipped = true;
                return Poll::Ready(AskInner(false));
            }
        }
        Poll::Ready(AskInner(true))
    }

    pub(crate) fn admit<Q>(&mut self, request: &Q) -> Result<InFlight, Rejected>
    where
        P: Select<Q>,
    {
        let breaker = self.breaker.select(request);
        match std::mem::take(&mut self.inner_skipped) {
            // Even if the breaker went half-open since: the inner service was not asked whether it
            // is ready.
            true => Err(breaker.refuse()),
            false => breaker.into_in_flight(OnDrop::Ignored),
        }
    }
}

/// Whether the inner service has to be ready too.
pub(crate) struct AskInner(pub(crate) bool);

impl<S, P, C, R, O, U, B, RB> Service<Request<B>> for BreakerService<S, P, C, R, O, U>
where
    S: Service<Request<U::Body>, Response = Response<RB>>,
    S::Error: 'static,
    P: Select<Request<B>>,
    C: Classify + Clone,
    R: OnReject<B, RB, S::Error>,
    O: Observer<B>,
    U: Uploads<B>,
    RB: Body,
{
    type Response = Response<BreakerBody<RB, C, O::Witness>>;
    type Error = R::Error;
    type Future = ResponseFuture<S::Future, C, R, B, RB, S::Error, O::Witness>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match ready!(self.poll_breaker(cx)) {
            AskInner(true) => self.inner.poll_ready(cx).map_err(R::inner_error),
            AskInner(false) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut witness = self.observer.begin(&request);
        match self.admit(&request) {
            Ok(mut admitted) => {
                let deadline = CallerDeadline::of(&request);
                admitted.sends(request.method(), request.headers(), deadline);
                let timeout = self.options.timeout.map(|period| {
                    let is_grpc = grpc::is_call(request.headers());
                    Box::new(Timeout::new(period, is_grpc))
                });
                let request = self.uploads.hand_on(request, &mut admitted);
                let watched = Watched::new(admitted, witness);
                let mut exchange = Exchange::new(watched, self.classifier.clone());
                let call = || self.inner.call(request);
                let future = exchange.request.failing_on_panic(call);
                ResponseFuture::admitted(future, exchange, timeout)
            }
            Err(rejected) => {
                if witness.is_watching() {
                    witness.decided(Decision::rejected(rejected.state));
                }
                let answer = self.on_reject.on_reject(rejected.clone(), request);
                ResponseFuture::rejected(rejected, answer)
            }
        }
    }
}

impl<S, P, C, R, O, U> Clone for BreakerService<S, P, C, R, O, U>
where
    S: Clone,
    P: Clone,
    C: Clone,
    R: Clone,
    O: Clone,
    U: Clone,
{
    /// The clone has not seen anything ready: readiness belongs to the clone that asked.
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.breaker.clone(),
            self.classifier.clone(),
            self.on_reject.clone(),
            self.observer.clone(),
            self.uploads.clone(),
            self.options,
        )
    }
}

impl<S: fmt::Debug, P: fmt::Debug, C, R, O, U> fmt::Debug for BreakerService<S, P, C, R, O, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

/// Waits until `breaker` may admit a request. `waiting` is the wait that an earlier call began.
fn poll_admitting(
    breaker: &BreakerHandle,
    waiting: &mut Option<Pin<Box<OwnedNotified>>>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        match waiting {
            Some(admitting) => ready!(admitting.as_mut().poll(cx)),
            None if !breaker.would_reject() => return Poll::Ready(()),
            None => {}
        }
        // Listening comes before looking, so that nothing is missed between the two.
        let mut admitting = Box::pin(breaker.admitting());
        admitting.as_mut().enable();
        if !breaker.would_reject() {
            *waiting = None;
            return Poll::Ready(());
        }
        *waiting = Some(admitting);
    }
}
