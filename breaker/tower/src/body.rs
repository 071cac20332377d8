//! A response's body that reports how the request ended: at the end of the stream, at an error, or
//! when it is dropped.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::classify::{Classify, HttpClassifier};
use crate::exchange::Exchange;
use crate::observer::Witness;

pin_project! {
    /// The body of a response that passed a breaker. The request ends when its body ends, fails or
    /// is dropped.
    pub struct BreakerBody<B, C = HttpClassifier, W = ()>
    where
        W: Witness,
    {
        // Without one, the answer is the breaker's own.
        #[pin]
        inner: Option<B>,
        reporter: Reporter<C, W>,
    }
}

/// Reports the end, once. Apart from the body, so that it can do so when it is dropped.
struct Reporter<C, W: Witness>(Option<Exchange<C, W>>);

impl<B, C, W: Witness> BreakerBody<B, C, W> {
    /// The body of an answer whose head was told to `exchange`.
    pub(crate) const fn new(inner: B, exchange: Option<Exchange<C, W>>) -> Self {
        Self {
            inner: Some(inner),
            reporter: Reporter(exchange),
        }
    }

    /// The body of an answer that the breaker has no part in; `None` is empty.
    pub(crate) const fn unobserved(inner: Option<B>) -> Self {
        Self {
            inner,
            reporter: Reporter(None),
        }
    }

    /// The inner body; `None` if the answer is the breaker's own.
    pub const fn get_ref(&self) -> Option<&B> {
        self.inner.as_ref()
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
        let this = self.project();
        let Some(mut inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let mut poll = || inner.as_mut().poll_frame(cx);
        let polled = match &mut this.reporter.0 {
            Some(exchange) => exchange.request.failing_on_panic(&mut poll),
            None => poll(),
        };
        if polled.is_pending() {
            this.reporter.waits();
        }
        let frame = ready!(polled);
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.reporter.ended(Some(trailers));
                } else if inner.is_end_stream() {
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
        self.inner.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let own = || SizeHint::with_exact(0);
        self.inner.as_ref().map_or_else(own, B::size_hint)
    }
}

// === impl Reporter ===

impl<C, W: Witness> Reporter<C, W> {
    fn waits(&mut self) {
        if let Some(exchange) = &mut self.0 {
            exchange.waits();
        }
    }

    fn flows(&mut self) {
        if let Some(exchange) = &mut self.0 {
            exchange.flows();
            exchange.handed_on();
        }
    }

    fn ended(&mut self, trailers: Option<&HeaderMap>)
    where
        C: Classify,
    {
        if let Some(exchange) = &mut self.0 {
            exchange.ended(trailers);
            self.0 = None;
        }
    }

    fn failed<E: 'static>(&mut self, error: &E)
    where
        C: Classify,
    {
        if let Some(exchange) = &mut self.0 {
            exchange.failed(error);
            self.0 = None;
        }
    }
}

impl<C, W: Witness> Drop for Reporter<C, W> {
    fn drop(&mut self) {
        if let Some(exchange) = &mut self.0 {
            exchange.left();
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
            inner: Some(B::default()),
            reporter: Reporter(None),
        }
    }
}
