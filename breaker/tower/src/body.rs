//! A response's body that reports how the request ended: at the end of the stream, at an error, or when it is dropped.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use breaker_core::Verdict;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::classify::{Classified, Classify, Ending, HttpClassifier};
use crate::request::InFlight;

pin_project! {
    /// The body of a response that went through a breaker. A request is finished when its body is finished, failed or dropped.
    pub struct BreakerBody<B, C = HttpClassifier> {
        #[pin]
        inner: B,
        observer: Observer<C>,
    }
}

/// What is still to be reported. Apart from the body, so that it can report when it is dropped.
struct Observer<C>(Option<(InFlight, Classified, C)>);

impl<B: Body, C: Classify> BreakerBody<B, C> {
    pub(crate) fn new(inner: B, request: InFlight, head: Classified, classifier: C) -> Self {
        let mut observer = Observer(Some((request, head, classifier)));
        if inner.is_end_stream() {
            observer.ended(None);
        }
        Self { inner, observer }
    }

    /// The body of an answer that the breaker has no part in.
    pub(crate) const fn unobserved(inner: B) -> Self {
        Self {
            inner,
            observer: Observer(None),
        }
    }

    /// The inner body.
    pub const fn get_ref(&self) -> &B {
        &self.inner
    }
}

impl<B, C> Body for BreakerBody<B, C>
where
    B: Body,
    B::Error: 'static,
    C: Classify,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let mut poll = || this.inner.as_mut().poll_frame(cx);
        let frame = ready!(match &mut this.observer.0 {
            Some((request, ..)) => request.failing_on_panic(&mut poll),
            None => poll(),
        });
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.observer.ended(Some(trailers));
                } else if this.inner.is_end_stream() {
                    this.observer.ended(None);
                }
            }
            Some(Err(error)) => this.observer.failed(error),
            None => this.observer.ended(None),
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

// === impl Observer ===

impl<C> Observer<C> {
    fn ended(&mut self, trailers: Option<&HeaderMap>)
    where
        C: Classify,
    {
        if let Some((request, head, classifier)) = self.0.take() {
            let Ending {
                verdict,
                retry_after,
            } = match head {
                Classified::Head(ending) => ending,
                Classified::AtTrailers => classifier.trailers(request.policy().failure(), trailers),
            };
            request.finish(verdict, retry_after);
        }
    }

    fn failed<E: 'static>(&mut self, error: &E)
    where
        C: Classify,
    {
        if let Some((request, _, classifier)) = self.0.take() {
            request.finish(classifier.error(error), None);
        }
    }
}

impl<C> Drop for Observer<C> {
    fn drop(&mut self) {
        // The caller went away. A head that was a failure stays one: no body could have mended it.
        if let Some((request, Classified::Head(ending), _)) = self.0.take()
            && ending.verdict == Verdict::Failure
        {
            request.finish(ending.verdict, ending.retry_after);
        }
    }
}

impl<B: fmt::Debug, C> fmt::Debug for BreakerBody<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<B: Default, C> Default for BreakerBody<B, C> {
    fn default() -> Self {
        Self {
            inner: B::default(),
            observer: Observer(None),
        }
    }
}
