//! What is known of an admitted request and its answer, from its call to the end of the response's
//! body. It is judged here, and moved as rarely as can be.

use breaker_core::{Attribution, Classification, Rejected};
use http::{HeaderMap, Response};
use http_body::Body;

use crate::classify::{Classified, Classify, Ending};
use crate::deadline::CallerDeadline;
use crate::observer::{Watched, Witness};

pub(crate) struct Exchange<C, W: Witness> {
    pub(crate) request: Watched<W>,
    classifier: C,
    deadline: CallerDeadline,
    /// The answer is all head: nobody will read its body to the end.
    bodiless: bool,
    /// What the head has told, once it has come.
    head: Option<Classified>,
    /// The breaker knows that the answer has well begun.
    begun: bool,
}

impl<C, W: Witness> Exchange<C, W> {
    pub(crate) const fn new(
        request: Watched<W>,
        classifier: C,
        deadline: CallerDeadline,
        bodiless: bool,
    ) -> Self {
        Self {
            request,
            classifier,
            deadline,
            bodiless,
            head: None,
            begun: false,
        }
    }

    /// The head of `response` has come: classifies it. If that is all of the answer, the request is
    /// over.
    pub(crate) fn answered<RB: Body>(&mut self, response: &Response<RB>)
    where
        C: Classify,
    {
        let status = response.status();
        self.request.answered(status);
        let head = if response.extensions().get::<Rejected>().is_some() {
            Classified::Head(Ending::caused_by(Attribution::InnerBreaker))
        } else if self.deadline.forced_head(status, response.headers()) {
            Classified::Head(Ending::caused_by(Attribution::Caller))
        } else {
            let rules = self.request.request().policy().failure();
            let (headers, extensions) = (response.headers(), response.extensions());
            self.classifier.response(rules, status, headers, extensions)
        };
        self.head = Some(head);
        let is_whole = response.body().is_end_stream();
        let classification = match head {
            Classified::Head(ending) if is_whole || self.bodiless => {
                return self.request.end(ending);
            }
            Classified::Head(ending) => Some(ending.classification),
            Classified::AtTrailers => None,
        };
        self.request.request().responded(classification);
        self.begun = classification == Some(Classification::Success);
        if is_whole {
            self.ended(None);
        } else {
            self.handed_on();
        }
    }

    /// A part of the body has come, and not the last. With the first one a gRPC answer has well
    /// begun.
    pub(crate) fn flows(&mut self) {
        if !self.begun && self.head == Some(Classified::AtTrailers) {
            self.begun = true;
            self.request.request().begun();
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
        let ending = match self.head {
            Some(Classified::Head(ending)) => ending,
            _ if self.deadline.forced_trailers(trailers) => Ending::caused_by(Attribution::Caller),
            _ => {
                let rules = self.request.request().policy().failure();
                self.classifier.trailers(rules, trailers)
            }
        };
        self.request.end(ending);
    }

    /// The call or the body has failed.
    pub(crate) fn failed<E: 'static>(&mut self, error: &E)
    where
        C: Classify,
    {
        let ending = self.deadline.or_error(&self.classifier, error);
        self.request.end(ending);
    }

    /// No head of an answer has come in time.
    pub(crate) fn timed_out(&mut self) {
        let ending = self.deadline.or(Ending::TIMED_OUT);
        self.request.end(ending);
    }

    /// The caller went away. A head that was a failure stays one: no body could have mended it.
    pub(crate) fn left(&mut self) {
        if let Some(Classified::Head(ending)) = self.head
            && ending.classification == Classification::Failure
        {
            self.request.end(ending);
        }
    }
}
