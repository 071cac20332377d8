//! What a breaker made of a request, for those who report or record it. A request is judged once:
//! whoever judged it a second time would sooner or later say otherwise.

use std::thread;

use breaker_core::Classification;
use http::{Request, StatusCode};

use crate::classify::Ending;
use crate::decision::Decision;
use crate::handle::InFlight;

/// Observes the outcomes of requests; see
/// [`BreakerLayer::with_observer`](crate::BreakerLayer::with_observer).
pub trait Observer<B> {
    /// Observes one request.
    type Witness: Witness;

    /// `request` arrived at its breaker.
    fn begin(&self, request: &Request<B>) -> Self::Witness;
}

/// Receives the outcome of one request.
pub trait Witness {
    /// Whether the outcome is wanted. If not, the layer does not determine anything that the
    /// breaker itself does not need.
    fn is_watching(&self) -> bool {
        true
    }

    /// The request ended, or was rejected. Called once, without the breaker's lock.
    fn decided(&mut self, decision: Decision);
}

/// Nobody wants to know.
impl<B> Observer<B> for () {
    type Witness = ();

    fn begin(&self, _: &Request<B>) {}
}

impl Witness for () {
    fn is_watching(&self) -> bool {
        false
    }

    fn decided(&mut self, _: Decision) {}
}

impl<W: Witness> Witness for Option<W> {
    fn is_watching(&self) -> bool {
        self.as_ref().is_some_and(W::is_watching)
    }

    fn decided(&mut self, decision: Decision) {
        if let Some(witness) = self {
            witness.decided(decision);
        }
    }
}

/// A request that was admitted, and who gets to know what becomes of it. Dropped before its outcome
/// is known, its caller went away.
#[derive(Debug)]
pub(crate) struct Watched<W: Witness> {
    request: InFlight,
    witness: W,
}

/// Reports a failure when it is dropped by a panic that came after it.
struct FailOnPanic<'a, W: Witness> {
    watched: &'a mut Watched<W>,
    panicked_before: bool,
}

impl<W: Witness> Watched<W> {
    pub(crate) const fn new(request: InFlight, witness: W) -> Self {
        Self { request, witness }
    }

    pub(crate) const fn request(&mut self) -> &mut InFlight {
        &mut self.request
    }

    /// Does `act`, on whose panic the request has failed. Its drop would not tell: it may come long
    /// after, if somebody catches the panic.
    pub(crate) fn failing_on_panic<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let _guard = FailOnPanic {
            panicked_before: thread::panicking(),
            watched: self,
        };
        act()
    }

    /// The outcome is known; nothing, if it was known before.
    pub(crate) fn end(&mut self, ending: Ending) {
        let is_watching = self.witness.is_watching();
        let known = self.request.known().filter(|_| is_watching);
        let known = known.map(|flight| (flight.policy.clone(), flight.answer.status));
        let decision = self.request.end(ending, is_watching);
        if let (Some(mut decision), Some((policy, status))) = (decision, known) {
            let by_status = |status: &StatusCode| Some(policy.failure().of_http(status.as_u16()));
            let classification = decision.classification();
            decision.status = status.filter(|status| by_status(status) == classification);
            decision.grpc = ending.grpc;
            self.witness.decided(decision);
        }
    }
}

impl<W: Witness> Drop for Watched<W> {
    fn drop(&mut self) {
        self.end(Ending::CALLER_GONE);
    }
}

impl<W: Witness> Drop for FailOnPanic<'_, W> {
    fn drop(&mut self) {
        if !self.panicked_before && thread::panicking() {
            self.watched.end(Classification::Failure.into());
        }
    }
}
