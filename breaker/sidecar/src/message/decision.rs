//! What a request's breaker made of it, for its span, its recording and its line in the access
//! log: what the breaker's layer says, and nobody else judges.

use std::cell::Cell;
use std::rc::Rc;

use breaker_tower::breaker_core::Classification;
use breaker_tower::{Decision, Observer, Rejected, Witness};
use http::Request;
use tokio::time::Instant;

use super::body::RequestBody;

/// Where the decision on a request is put; goes through the layer with the request's body.
#[derive(Clone, Default)]
pub(crate) struct Decided(Rc<Found>);

#[derive(Default)]
struct Found {
    judged: Cell<Option<Judged>>,
    endpoint: Cell<Option<usize>>,
    /// How often it was sent.
    sent: Cell<u32>,
    is_fallback: Cell<bool>,
    held: Cell<Option<Box<Held>>>,
}

/// A request that was rejected, while it waits for what answers in the upstream's place.
pub(crate) struct Held {
    pub(crate) rejected: Rejected,
    pub(crate) request: Request<RequestBody>,
}

/// A decision, with the time that it is about.
#[derive(Clone, Copy)]
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// When the upstream's time began: at admission, or at the end of the upload.
    pub(crate) began: Instant,
}

/// Finds where the decision on a request is to be put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher;

impl Decided {
    /// What was decided; `None` if the request never came to a breaker.
    pub(crate) fn get(&self) -> Option<Judged> {
        self.0.judged.get()
    }

    /// The index of the endpoint that it was sent to last; `None` if it never was.
    pub(crate) fn endpoint(&self) -> Option<usize> {
        self.0.endpoint.get()
    }

    /// It goes to the endpoint with this index. Returns how often it was sent before.
    pub(crate) fn goes_to(&self, endpoint: usize) -> u32 {
        self.0.endpoint.set(Some(endpoint));
        self.0.sent.replace(self.0.sent.get().saturating_add(1))
    }

    /// The fallback has answered it.
    pub(crate) fn falls_back(&self) {
        self.0.is_fallback.set(true);
    }

    /// Whether the fallback has answered it.
    pub(crate) fn is_fallback(&self) -> bool {
        self.0.is_fallback.get()
    }

    /// Keeps a rejected request until [`Self::held`] takes it. Who calls the breaker's layer must
    /// take it at once: it holds what holds it.
    pub(crate) fn hold(&self, rejected: Rejected, request: Request<RequestBody>) {
        self.0.held.set(Some(Box::new(Held { rejected, request })));
    }

    /// The request that was rejected just now, if it was, and is to be answered all the same.
    pub(crate) fn held(&self) -> Option<Box<Held>> {
        self.0.held.take()
    }
}

/// A word for what a request counted as. Without a classification it was rejected, and the fallback
/// may have answered it.
pub(crate) const fn outcome(
    classification: Option<Classification>,
    is_fallback: bool,
) -> &'static str {
    match classification {
        None if is_fallback => "fallback",
        None => "rejected",
        Some(Classification::Success) => "success",
        Some(Classification::Failure) => "failure",
        Some(_) => "ignored",
    }
}

impl Witness for Decided {
    fn decided(&mut self, decision: Decision) {
        let now = Instant::now();
        self.0.judged.set(Some(Judged {
            decision,
            began: now.checked_sub(decision.waited).unwrap_or(now),
        }));
    }
}

impl Observer<RequestBody> for Watcher {
    type Witness = Option<Decided>;

    fn begin(&self, request: &Request<RequestBody>) -> Option<Decided> {
        request.body().decided().cloned()
    }
}
