//! A response's body that reports how the request ended: at the end of the stream, at an error, or when it is dropped.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::{Attribution, Verdict};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::classify::{Classified, Classify, Ending, HttpClassifier};
use crate::deadline::CallerDeadline;
use crate::observer::{Watched, Witness};

pin_project! {
    /// The body of a response that went through a breaker. A request is finished when its body is finished,
    /// failed or dropped.
    pub struct BreakerBody<B, C = HttpClassifier, W = ()>
    where
        W: Witness,
    {
        #[pin]
        inner: B,
        reporter: Reporter<C, W>,
    }
}

/// Reports the end, once. Apart from the body, so that it can do so when it is dropped.
struct Reporter<C, W: Witness>(Option<Answered<C, W>>);

/// A request whose head was answered.
pub(crate) struct Answered<C, W: Witness> {
    pub(crate) request: Watched<W>,
    pub(crate) head: Classified,
    pub(crate) classifier: C,
    pub(crate) deadline: CallerDeadline,
    /// The breaker knows that the answer has well begun.
    pub(crate) begun: bool,
}

impl<B: Body, C: Classify, W: Witness> BreakerBody<B, C, W> {
    pub(crate) fn new(inner: B, answered: Answered<C, W>) -> Self {
        let mut reporter = Reporter(Some(answered));
        if inner.is_end_stream() {
            reporter.ended(None);
        }
        Self { inner, reporter }
    }

    /// The body of an answer that the breaker has no part in.
    pub(crate) const fn unobserved(inner: B) -> Self {
        Self {
            inner,
            reporter: Reporter(None),
        }
    }

    /// The inner body.
    pub const fn get_ref(&self) -> &B {
        &self.inner
    }
}

impl<B, C, W> Body for BreakerBody<B, C, W>
where
    B: Body,
    B::Error: 'static,
    C: Classify,
    W: Witness,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let mut poll = || this.inner.as_mut().poll_frame(cx);
        let frame = ready!(match &mut this.reporter.0 {
            Some(answered) => answered.request.failing_on_panic(&mut poll),
            None => poll(),
        });
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.reporter.ended(Some(trailers));
                } else if this.inner.is_end_stream() {
                    this.reporter.ended(None);
                } else {
                    this.reporter.flows();
                }
            }
            Some(Err(error)) => this.reporter.failed(error),
            None => this.reporter.ended(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Reporter ===

impl<C, W: Witness> Reporter<C, W> {
    /// A part of the body has come, and not the last. With the first one a gRPC answer has well begun.
    fn flows(&mut self) {
        if let Some(answered) = &mut self.0
            && !answered.begun
            && answered.head == Classified::AtTrailers
        {
            answered.begun = true;
            answered.request.request().begun();
        }
    }

    fn ended(&mut self, trailers: Option<&HeaderMap>)
    where
        C: Classify,
    {
        if let Some(mut answered) = self.0.take() {
            let ending = match answered.head {
                Classified::Head(ending) => ending,
                Classified::AtTrailers if answered.deadline.forced_trailers(trailers) => {
                    Ending::caused_by(Attribution::Caller)
                }
                Classified::AtTrailers => {
                    let rules = answered.request.request().policy().failure();
                    answered.classifier.trailers(rules, trailers)
                }
            };
            answered.request.finish(ending);
        }
    }

    fn failed<E: 'static>(&mut self, error: &E)
    where
        C: Classify,
    {
        if let Some(answered) = self.0.take() {
            let ending = answered.deadline.or_error(&answered.classifier, error);
            answered.request.finish(ending);
        }
    }
}

impl<C, W: Witness> Drop for Reporter<C, W> {
    fn drop(&mut self) {
        // The caller went away. A head that was a failure stays one: no body could have mended it.
        if let Some(answered) = self.0.take()
            && let Classified::Head(ending) = answered.head
            && ending.verdict == Verdict::Failure
        {
            answered.request.finish(ending);
        }
    }
}

impl<B: fmt::Debug, C, W: Witness> fmt::Debug for BreakerBody<B, C, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<B: Default, C, W: Witness> Default for BreakerBody<B, C, W> {
    fn default() -> Self {
        Self {
            inner: B::default(),
            reporter: Reporter(None),
        }
    }
}
