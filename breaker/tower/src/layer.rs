//! The layer: a breaker, a classifier, and what becomes of rejected requests.

use std::hash::Hash;
use std::time::Duration;

use breaker_core::Rejected;
use http::{Request, Response};
use tower_layer::Layer;

use crate::classify::{ClassifyFn, Ending, HttpClassifier, Seen};
use crate::fallback::Fallback;
use crate::handle::BreakerHandle;
use crate::reject::{Answer, Fail, Respond};
use crate::select::PerKey;
use crate::service::{BreakerService, Options};
use crate::set::BreakerSet;
use crate::uploads::{AsIs, UploadBody, Wrap, WrapWith};

/// Wraps services in a breaker. All services of one layer share its breaker.
#[derive(Clone, Debug)]
pub struct BreakerLayer<P = BreakerHandle, C = HttpClassifier, R = Fail, O = (), U = AsIs> {
    breaker: P,
    classifier: C,
    on_reject: R,
    observer: O,
    uploads: U,
    options: Options,
}

impl BreakerLayer {
    /// A layer with one breaker, for clients. It classifies HTTP and gRPC by the policy's rules,
    /// and fails rejected requests with a boxed [`Rejected`].
    pub fn new(breaker: BreakerHandle) -> Self {
        Self::of(breaker)
    }

    /// A layer with one breaker, for servers such as axum or tonic: [`Self::new`],
    /// [`Self::answer`] and [`Self::wrap_uploads`].
    pub fn server(
        breaker: BreakerHandle,
    ) -> BreakerLayer<BreakerHandle, HttpClassifier, Answer, (), Wrap> {
        Self::of(breaker).answer().wrap_uploads()
    }
}

impl<C, R, O, U> BreakerLayer<BreakerHandle, C, R, O, U> {
    /// Makes the service not ready while the breaker rejects, so that a balancer above uses another
    /// one. During the ramp it is ready, and requests above the ramp's share are rejected.
    #[must_use]
    pub const fn unready_while_open(mut self) -> Self {
        self.options.unready_while_open = true;
        self
    }
}

impl<K, F> BreakerLayer<PerKey<K, F>> {
    /// A layer with one breaker for each key that `key` finds in requests.
    pub fn per_key<B>(breakers: BreakerSet<K>, key: F) -> Self
    where
        K: Eq + Hash,
        F: Fn(&Request<B>) -> K,
    {
        Self::of(PerKey { breakers, key })
    }
}

impl<P> BreakerLayer<P> {
    fn of(breaker: P) -> Self {
        Self {
            breaker,
            classifier: HttpClassifier,
            on_reject: Fail,
            observer: (),
            uploads: AsIs::default(),
            options: Options::default(),
        }
    }
}

impl<P, C, R, O, U> BreakerLayer<P, C, R, O, U> {
    /// Classifies answers by `classifier`.
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<P, D, R, O, U> {
        BreakerLayer {
            breaker: self.breaker,
            classifier,
            on_reject: self.on_reject,
            observer: self.observer,
            uploads: self.uploads,
            options: self.options,
        }
    }

    /// Classifies answers and errors by `classify`; where it returns `None`, by the policy's rules
    /// as usual.
    ///
    /// ```
    /// use breaker_tower::breaker_core::{Attribution, Classification};
    /// use breaker_tower::{BreakerHandle, BreakerLayer, Ending, Policy, Seen};
    /// use http::StatusCode;
    ///
    /// let breaker = BreakerHandle::new("pay", Policy::sensitive());
    /// let layer = BreakerLayer::new(breaker).classify_fn(|seen| match seen {
    ///     Seen::Head { status: StatusCode::TOO_MANY_REQUESTS, .. } => {
    ///         Some(Classification::Failure.into())
    ///     }
    ///     Seen::Error(error) if error.is::<std::fmt::Error>() => {
    ///         Some(Ending::caused_by(Attribution::Proxy))
    ///     }
    ///     _ => None,
    /// });
    /// # drop(layer);
    /// ```
    pub fn classify_fn<F>(self, classify: F) -> BreakerLayer<P, ClassifyFn<F>, R, O, U>
    where
        F: Fn(Seen<'_>) -> Option<Ending>,
    {
        self.classify(ClassifyFn(classify))
    }

    /// Answers rejected requests with the response that `respond` makes, instead of failing.
    pub fn respond<F, B, RB>(self, respond: F) -> BreakerLayer<P, C, Respond<F>, O, U>
    where
        F: Fn(Rejected, Request<B>) -> Response<RB>,
    {
        self.on_reject(Respond(respond))
    }

    /// Answers rejected requests, instead of failing: HTTP requests with 503 and `Retry-After`,
    /// gRPC calls with `UNAVAILABLE`, as [`RejectedExt`](crate::RejectedExt) does. The bodies are
    /// empty.
    pub fn answer(self) -> BreakerLayer<P, C, Answer, O, U> {
        self.on_reject(Answer)
    }

    /// Lets `service` answer rejected requests. It finds the [`Rejected`] in their extensions.
    pub fn fallback<S>(self, service: S) -> BreakerLayer<P, C, Fallback<S>, O, U> {
        self.on_reject(Fallback(service))
    }

    fn on_reject<N>(self, on_reject: N) -> BreakerLayer<P, C, N, O, U> {
        BreakerLayer {
            breaker: self.breaker,
            classifier: self.classifier,
            on_reject,
            observer: self.observer,
            uploads: self.uploads,
            options: self.options,
        }
    }

    /// Reports the outcome of each request to `observer`, whether it is admitted or rejected.
    /// Without an observer, this costs nothing.
    pub fn with_observer<N>(self, observer: N) -> BreakerLayer<P, C, R, N, U> {
        BreakerLayer {
            breaker: self.breaker,
            classifier: self.classifier,
            on_reject: self.on_reject,
            observer,
            uploads: self.uploads,
            options: self.options,
        }
    }

    /// Fails requests whose answer has not begun within `period`, and counts them as failures. The
    /// time in which the service waits for its caller does not count. By default there is no
    /// timeout, but a hung request counts as slow while it hangs.
    ///
    /// The error is a boxed [`TimedOut`](crate::TimedOut); layers that answer rejected requests
    /// answer 504, or gRPC's `DEADLINE_EXCEEDED`.
    #[must_use]
    pub const fn timeout(mut self, period: Duration) -> Self {
        self.options.timeout = Some(period);
        self
    }

    /// Wraps request bodies, so that the time that callers take to send them is no latency of the
    /// service. The inner service gets requests with an [`UploadBody`]: axum and tonic's server
    /// take any body.
    pub fn wrap_uploads(self) -> BreakerLayer<P, C, R, O, Wrap> {
        self.uploads(Wrap)
    }

    /// [`Self::wrap_uploads`] for inner services that take one type of body, which `wrap` makes.
    pub fn wrap_uploads_with<F, B, T>(self, wrap: F) -> BreakerLayer<P, C, R, O, WrapWith<F>>
    where
        F: Fn(UploadBody<B>) -> T,
    {
        self.uploads(WrapWith(wrap))
    }

    fn uploads<N>(self, uploads: N) -> BreakerLayer<P, C, R, O, N> {
        BreakerLayer {
            breaker: self.breaker,
            classifier: self.classifier,
            on_reject: self.on_reject,
            observer: self.observer,
            uploads,
            options: self.options,
        }
    }
}

impl<P, C, R, O> BreakerLayer<P, C, R, O> {
    /// Lets the upstream's time begin when the request's body has been sent. The layer puts an
    /// [`Upload`](crate::Upload) in the extensions of a request with a body, and the inner service
    /// must drop it at that moment. Use this only with inner services that do; for all others there
    /// is [`Self::wrap_uploads`].
    #[must_use]
    pub const fn await_upload(mut self) -> Self {
        self.uploads.await_upload = true;
        self
    }
}

impl<S, P, C, R, O, U> Layer<S> for BreakerLayer<P, C, R, O, U>
where
    P: Clone,
    C: Clone,
    R: Clone,
    O: Clone,
    U: Clone,
{
    type Service = BreakerService<S, P, C, R, O, U>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(
            inner,
            self.breaker.clone(),
            self.classifier.clone(),
            self.on_reject.clone(),
            self.observer.clone(),
            self.uploads.clone(),
            self.options,
        )
    }
}
