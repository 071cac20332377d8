//! The layer: a breaker, a classifier, and what becomes of rejected requests.

use std::hash::Hash;

use breaker_core::Rejected;
use http::{Request, Response};
use tower_layer::Layer;

use crate::classify::HttpClassifier;
use crate::handle::BreakerHandle;
use crate::reject::{Fail, Respond};
use crate::select::PerKey;
use crate::service::BreakerService;
use crate::set::BreakerSet;

/// Puts services behind a breaker. All services that one layer makes share its breaker.
#[derive(Clone, Debug)]
pub struct BreakerLayer<P = BreakerHandle, C = HttpClassifier, R = Fail> {
    breaker: P,
    classifier: C,
    on_reject: R,
    options: Options,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) unready_while_open: bool,
    pub(crate) await_upload: bool,
}

impl BreakerLayer {
    /// A layer with one breaker, which classifies HTTP and gRPC by the policy's rules and fails rejected requests with a boxed
    /// [`Rejected`].
    pub fn new(breaker: BreakerHandle) -> Self {
        Self {
            breaker,
            classifier: HttpClassifier,
            on_reject: Fail,
            options: Options::default(),
        }
    }
}

impl<C, R> BreakerLayer<BreakerHandle, C, R> {
    /// Is not ready while the breaker rejects, so that a balancer above goes round this service. During the ramp it is ready, and a request
    /// above the ramp's share is rejected.
    #[must_use]
    pub const fn unready_while_open(mut self) -> Self {
        self.options.unready_while_open = true;
        self
    }
}

impl<K, F> BreakerLayer<PerKey<K, F>> {
    /// A layer with a breaker for each key that `key` finds in requests.
    pub fn per_key<B>(breakers: BreakerSet<K>, key: F) -> Self
    where
        K: Eq + Hash + Clone,
        F: Fn(&Request<B>) -> K,
    {
        Self {
            breaker: PerKey { breakers, key },
            classifier: HttpClassifier,
            on_reject: Fail,
            options: Options::default(),
        }
    }
}

impl<P, C, R> BreakerLayer<P, C, R> {
    /// Classifies answers with `classifier`.
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<P, D, R> {
        BreakerLayer {
            breaker: self.breaker,
            classifier,
            on_reject: self.on_reject,
            options: self.options,
        }
    }

    /// Answers rejected requests with the response that `respond` makes, instead of failing.
    pub fn respond<F, B, RB>(self, respond: F) -> BreakerLayer<P, C, Respond<F>>
    where
        F: Fn(Rejected, Request<B>) -> Response<RB>,
    {
        BreakerLayer {
            breaker: self.breaker,
            classifier: self.classifier,
            on_reject: Respond(respond),
            options: self.options,
        }
    }

    /// Lets the upstream's time begin when the request's body is sent: an [`Upload`](crate::Upload) is put in the extensions of a request
    /// with a body, for the inner service to drop then. Only for inner services that know of it.
    #[must_use]
    pub const fn await_upload(mut self) -> Self {
        self.options.await_upload = true;
        self
    }
}

impl<S, P: Clone, C: Clone, R: Clone> Layer<S> for BreakerLayer<P, C, R> {
    type Service = BreakerService<S, P, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(
            inner,
            self.breaker.clone(),
            self.classifier.clone(),
            self.on_reject.clone(),
            self.options,
        )
    }
}
