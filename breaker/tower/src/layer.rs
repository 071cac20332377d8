//! The layer: a breaker, a classifier, and what becomes of rejected requests.

use std::hash::Hash;

use breaker_core::Rejected;
use http::{Request, Response};
use tower_layer::Layer;

use crate::classify::HttpClassifier;
use crate::handle::BreakerHandle;
use crate::reject::{Fail, Respond};
use crate::select::PerKey;
use crate::service::{BreakerService, Options};
use crate::set::BreakerSet;

/// Wraps services in a breaker. All services of one layer share its breaker.
#[derive(Clone, Debug)]
pub struct BreakerLayer<P = BreakerHandle, C = HttpClassifier, R = Fail, O = ()> {
    breaker: P,
    classifier: C,
    on_reject: R,
    observer: O,
    options: Options,
}

impl BreakerLayer {
    /// A layer with one breaker. It classifies HTTP and gRPC by the policy's rules, and fails
    /// rejected requests with a boxed [`Rejected`].
    pub fn new(breaker: BreakerHandle) -> Self {
        Self {
            breaker,
            classifier: HttpClassifier,
            on_reject: Fail,
            observer: (),
            options: Options::default(),
        }
    }
}

impl<C, R, O> BreakerLayer<BreakerHandle, C, R, O> {
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
        K: Eq + Hash + Clone,
        F: Fn(&Request<B>) -> K,
    {
        Self {
            breaker: PerKey { breakers, key },
            classifier: HttpClassifier,
            on_reject: Fail,
            observer: (),
            options: Options::default(),
        }
    }
}

impl<P, C, R, O> BreakerLayer<P, C, R, O> {
    /// Classifies answers by `classifier`.
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<P, D, R, O> {
        BreakerLayer {
            breaker: self.breaker,
            classifier,
            on_reject: self.on_reject,
            observer: self.observer,
            options: self.options,
        }
    }

    /// Answers rejected requests with the response that `respond` makes, instead of failing.
    pub fn respond<F, B, RB>(self, respond: F) -> BreakerLayer<P, C, Respond<F>, O>
    where
        F: Fn(Rejected, Request<B>) -> Response<RB>,
    {
        BreakerLayer {
            breaker: self.breaker,
            classifier: self.classifier,
            on_reject: Respond(respond),
            observer: self.observer,
            options: self.options,
        }
    }

    /// Reports the outcome of each request to `observer`, whether it is admitted or rejected.
    /// Without an observer, this costs nothing.
    pub fn with_observer<N>(self, observer: N) -> BreakerLayer<P, C, R, N> {
        BreakerLayer {
            breaker: self.breaker,
            classifier: self.classifier,
            on_reject: self.on_reject,
            observer,
            options: self.options,
        }
    }

    /// Lets the upstream's time begin when the request's body has been sent. The layer puts an
    /// [`Upload`](crate::Upload) in the extensions of a request with a body, and the inner service
    /// must drop it at that moment. Use this only with inner services that do.
    #[must_use]
    pub const fn await_upload(mut self) -> Self {
        self.options.await_upload = true;
        self
    }
}

impl<S, P, C, R, O> Layer<S> for BreakerLayer<P, C, R, O>
where
    P: Clone,
    C: Clone,
    R: Clone,
    O: Clone,
{
    type Service = BreakerService<S, P, C, R, O>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(
            inner,
            self.breaker.clone(),
            self.classifier.clone(),
            self.on_reject.clone(),
            self.observer.clone(),
            self.options,
        )
    }
}
