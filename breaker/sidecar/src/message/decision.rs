//! What a request's breaker made of it, for its span and its recording: what the breaker's layer
//! says, and nobody else judges. While nothing is traced or recorded there is no [`Decided`], and
//! all of this is one branch.

use std::cell::Cell;
use std::rc::Rc;

use breaker_tower::{Decision, Observer, Witness};
use http::Request;
use tokio::time::Instant;

use super::body::RequestBody;

/// Where the decision on a request is put; goes through the layer with the request's body.
#[derive(Clone, Default)]
pub(crate) struct Decided(Rc<Cell<Option<Judged>>>);

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
        self.0.get()
    }
}

impl Witness for Decided {
    fn decided(&mut self, decision: Decision) {
        let now = Instant::now();
        self.0.set(Some(Judged {
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
