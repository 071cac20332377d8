//! A layer for services of any request and response, such as clients of their own protocol.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::{Classification, Rejected};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::blame::BoxError;
use crate::classify::Ending;
use crate::handle::{BreakerHandle, OnDrop};
use crate::observer::Watched;
use crate::select::{PerKey, Select};
use crate::set::BreakerSet;

/// [`BreakerLayer`](crate::BreakerLayer) for services whose requests and responses are not those of
/// the crate `http`. A request ends with its response. Rejected requests fail with a boxed
/// [`Rejected`].
///
/// ```
/// use breaker_tower::breaker_core::Classification;
/// use breaker_tower::{AnyLayer, BreakerHandle, Policy};
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let breaker = BreakerHandle::new("cache", Policy::sensitive());
/// let layer = AnyLayer::new(breaker.clone()).judge(
///     |reply: &Result<String, std::io::Error>| match reply {
///         Ok(reply) if reply == "-BUSY" => Classification::Failure,
///         Ok(_) => Classification::Success,
///         Err(_) => Classification::Failure,
///     },
/// );
/// let mut cache = layer.layer(service_fn(async |command: String| {
///     Ok::<_, std::io::Error>(format!("+{command}"))
/// }));
/// let reply = cache.ready().await.unwrap().call("PING".into()).await;
/// assert_eq!(reply.unwrap(), "+PING");
/// assert_eq!(breaker.snapshot().totals.success, 1);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AnyLayer<P = BreakerHandle, J = ByResult> {
    breaker: P,
    judge: J,
}

/// A service behind a breaker; see [`AnyLayer`].
#[derive(Clone)]
pub struct AnyService<S, P = BreakerHandle, J = ByResult> {
    inner: S,
    breaker: P,
    judge: J,
    /// As [`BreakerService`](crate::BreakerService)'s.
    inner_skipped: Skipped,
}

/// Whether this very clone was ready without asking the inner service.
#[derive(Default)]
struct Skipped(bool);

/// Says how a call ended. Closures do.
pub trait Judge<T, E> {
    /// How a call with this result ended.
    fn judge(&self, result: &Result<T, E>) -> Ending;
}

/// `Ok` is a success, and `Err` is [`Ending::of_error`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ByResult;

pin_project! {
    /// The future of an [`AnyService`].
    pub struct AnyFuture<F, J> {
        // Dropped before the future, as that of a `ResponseFuture`.
        admitted: Result<Option<Watched<()>>, Option<Rejected>>,
        judge: J,
        #[pin]
        call: Option<F>,
    }
}

impl AnyLayer {
    /// A layer with one breaker. An error is a failure.
    pub const fn new(breaker: BreakerHandle) -> Self {
        Self {
            breaker,
            judge: ByResult,
        }
    }
}

impl<K, F> AnyLayer<PerKey<K, F>> {
    /// A layer with one breaker for each key that `key` finds in requests.
    pub const fn per_key<Q>(breakers: BreakerSet<K>, key: F) -> Self
    where
        K: Eq + Hash,
        F: Fn(&Q) -> K,
    {
        Self {
            breaker: PerKey { breakers, key },
            judge: ByResult,
        }
    }
}

impl<P, J> AnyLayer<P, J> {
    /// Lets `judge` say how calls ended, by a [`Classification`](breaker_core::Classification) or
    /// an [`Ending`].
    pub fn judge<N, T, E, V>(self, judge: N) -> AnyLayer<P, N>
    where
        N: Fn(&Result<T, E>) -> V,
        V: Into<Ending>,
    {
        AnyLayer {
            breaker: self.breaker,
            judge,
        }
    }
}

impl<S, P: Clone, J: Clone> Layer<S> for AnyLayer<P, J> {
    type Service = AnyService<S, P, J>;

    fn layer(&self, inner: S) -> Self::Service {
        AnyService {
            inner,
            breaker: self.breaker.clone(),
            judge: self.judge.clone(),
            inner_skipped: Skipped::default(),
        }
    }
}

impl<T, E: 'static> Judge<T, E> for ByResult {
    fn judge(&self, result: &Result<T, E>) -> Ending {
        match result {
            Ok(_) => Classification::Success.into(),
            Err(error) => Ending::of_error(error),
        }
    }
}

impl<F, T, E, V> Judge<T, E> for F
where
    F: Fn(&Result<T, E>) -> V,
    V: Into<Ending>,
{
    fn judge(&self, result: &Result<T, E>) -> Ending {
        self(result).into()
    }
}

impl<S, P, J, Q> Service<Q> for AnyService<S, P, J>
where
    S: Service<Q>,
    S::Error: Into<BoxError>,
    P: Select<Q>,
    J: Judge<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = AnyFuture<S::Future, J>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner_skipped.0 = self
            .breaker
            .fixed()
            .is_some_and(BreakerHandle::would_reject);
        match self.inner_skipped.0 {
            true => Poll::Ready(Ok(())),
            false => self.inner.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let breaker = self.breaker.select(&request);
        let admitted = match std::mem::take(&mut self.inner_skipped.0) {
            true => Err(breaker.refuse()),
            false => breaker.into_in_flight(OnDrop::Ignored),
        };
        let judge = self.judge.clone();
        match admitted {
            Ok(admitted) => {
                let mut admitted = Watched::new(admitted, ());
                let call = admitted.failing_on_panic(|| self.inner.call(request));
                AnyFuture {
                    admitted: Ok(Some(admitted)),
                    judge,
                    call: Some(call),
                }
            }
            Err(rejected) => AnyFuture {
                admitted: Err(Some(rejected)),
                judge,
                call: None,
            },
        }
    }
}

impl<F, J, T, E> Future for AnyFuture<F, J>
where
    F: Future<Output = Result<T, E>>,
    J: Judge<T, E>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (held, call) = match (this.admitted, this.call.as_pin_mut()) {
            (Ok(held), Some(call)) => (held, call),
            (Err(rejected), _) => {
                let rejected = rejected.take().expect(POLLED_AFTER_READY);
                return Poll::Ready(Err(rejected.into()));
            }
            (Ok(_), None) => unreachable!("an admitted request is called"),
        };
        let request = held.as_mut().expect(POLLED_AFTER_READY);
        let result = ready!(request.failing_on_panic(|| call.poll(cx)));
        request.end(this.judge.judge(&result));
        *held = None;
        Poll::Ready(result.map_err(Into::into))
    }
}

impl Clone for Skipped {
    /// Readiness belongs to the clone that asked.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<S: fmt::Debug, P: fmt::Debug, J> fmt::Debug for AnyService<S, P, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyService")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl<F, J> fmt::Debug for AnyFuture<F, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyFuture").finish_non_exhaustive()
    }
}

const POLLED_AFTER_READY: &str = "a future is not polled after it was ready";
