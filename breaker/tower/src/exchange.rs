//! What is known of an admitted request and its answer, from its call to the end of the response's
//! body. It is judged here, and moved as rarely as can be.

use breaker_core::{Attribution, Classification, Rejected};
use http::{HeaderMap, Response};
use http_body::Body;

use crate::classify::{Classified, Classify, Ending};
use crate::observer::{Watched, Witness};
use crate::shared::flight::Flight;

pub(crate) struct Exchange<C, W: Witness> {
    pub(crate) request: Watched<W>,
    classifier: C,
}

impl<C, W: Witness> Exchange<C, W> {
    pub(crate) const fn new(request: Watched<W>, classifier: C) -> Self {
        Self {
            request,
            classifier,
        }
    }

    /// The head of `response` has come: classifies it. If that is all of the answer, the request is
    /// over.
    pub(crate) fn answered<RB: Body>(&mut self, response: &Response<RB>)
    where
        C: Classify,
    {
        let Some(Flight { policy, answer, .. }) = self.request.request().known() else {
            return;
        };
        let status = response.status();
        answer.status = Some(status);
        let head = if response.extensions().get::<Rejected>().is_some() {
            Classified::Head(Ending::caused_by(Attribution::InnerBreaker))
        } else if answer.deadline.forced_head(status, response.headers()) {
            Classified::Head(Ending::caused_by(Attribution::Caller))
        } else {
            let (headers, extensions) = (response.headers(), response.extensions());
            self.classifier
                .response(policy.failure(), status, headers, extensions)
        };
        answer.head = Some(head);
        let is_whole = response.body().is_end_stream();
        let classification = match head {
            Classified::Head(ending) if is_whole || answer.is_bodiless => {
                return self.request.end(ending);
            }
            Classified::Head(ending) => Some(ending.classification),
            Classified::AtTrailers => None,
        };
        answer.has_begun = classification == Some(Classification::Success);
        self.request.request().responded(classification);
        if is_whole {
            self.ended(None);
        } else {
            self.handed_on();
        }
    }

    /// A part of the body has come, and not the last. With the first one a gRPC answer has well
    /// begun.
    pub(crate) fn flows(&mut self) {
        let request = self.request.request();
        if let Some(Flight { answer, .. }) = request.known()
            && !answer.has_begun
            && answer.head == Some(Classified::AtTrailers)
        {
            answer.has_begun = true;
            request.begun();
        }
    }

    /// A part of the answer is the caller's now: the upstream is not waited for until the caller
    /// asks for more and there is none.
    pub(crate) fn handed_on(&mut self) {
        self.request.request().paused();
    }

    /// The caller asks for more, and there is none yet.
    pub(crate) fn waits(&mut self) {
        self.request.request().resumed();
    }

    /// The body has ended, with `trailers` if there were any.
    pub(crate) fn ended(&mut self, trailers: Option<&HeaderMap>)
    where
        C: Classify,
    {
        let Some(Flight { policy, answer, .. }) = self.request.request().known() else {
            return;
        };
        let ending = match answer.head {
            Some(Classified::Head(ending)) => ending,
            _ if answer.deadline.forced_trailers(trailers) => {
                Ending::caused_by(Attribution::Caller)
            }
            _ => self.classifier.trailers(policy.failure(), trailers),
        };
        self.request.end(ending);
    }

    /// The call or the body has failed.
    pub(crate) fn failed<E: 'static>(&mut self, error: &E)
    where
        C: Classify,
    {
        if let Some(Flight { answer, .. }) = self.request.request().known() {
            let ending = answer.deadline.or_error(&self.classifier, error);
            self.request.end(ending);
        }
    }

    /// No head of an answer has come in time.
    pub(crate) fn timed_out(&mut self) {
        if let Some(Flight { answer, .. }) = self.request.request().known() {
            let ending = answer.deadline.or(Ending::TIMED_OUT);
            self.request.end(ending);
        }
    }

    /// The caller went away. A head that was a failure stays one: no body could have mended it.
    pub(crate) fn left(&mut self) {
        if let Some(Flight { answer, .. }) = self.request.request().known()
            && let Some(Classified::Head(ending)) = answer.head
            && ending.classification == Classification::Failure
        {
            self.request.end(ending);
        }
    }
}
