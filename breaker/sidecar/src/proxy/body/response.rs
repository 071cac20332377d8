//! The upstream's body on its way to the caller.
//!
//! It owns the upstream's connection: while it is read it drives the exchange, when it is complete
//! it gives the connection back, and when it is dropped before that the connection is closed, never
//! reused undrained.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep};

use super::detached::{Detached, LINGER};
use crate::message::body::{PAUSE, Upload};
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::framing;
use crate::message::limited::Limit;
use crate::message::spawn::{Kind, LocalExecutor};
use crate::message::timers::{Deadline, Timers};
use crate::upstream::attempt::Attempt;
use crate::upstream::connections::Connections;
use crate::upstream::exchange::Exchange;
use crate::upstream::multiplex::{Loss, StreamSlot};

/// A response's body: the upstream's, or one of our own.
pub struct ResponseBody(Content);

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are of an upstream: a box would cost each an allocation"
)]
enum Content {
    Local(Option<Bytes>),
    Upstream(Streamed),
}

/// A body that is still coming.
pub(crate) struct Streamed {
    pub(crate) incoming: Incoming,
    pub(crate) source: Source,
    pub(crate) upload: Option<Rc<Upload>>,
    /// `None` once its end is told.
    pub(crate) attempt: Option<Attempt>,
    /// How long the upstream may pause.
    pub(crate) idle: Option<Duration>,
    /// Set while the upstream is being waited for.
    pub(crate) stalled: Option<Deadline>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) reading: Reading,
}

/// Where a body comes from.
pub(crate) enum Source {
    /// An HTTP/1.1 connection, and where that belongs.
    Http1(Box<Exchange>, Rc<Connections>),
    /// The same, but it goes on by itself while the upload does.
    Detached(Detached),
    /// A stream of an HTTP/2 connection, which has a place there.
    Http2(Rc<StreamSlot>),
    /// Nowhere any more.
    Nowhere,
}

/// Whether the caller takes what comes.
pub(crate) struct Reading {
    /// When the last piece was handed on; `None` once more has been asked for.
    handed_on: Option<Instant>,
    /// After a long pause: until when it explains that the upstream gives up.
    excuses_until: Option<Instant>,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// Makes a body of our own.
    pub(crate) fn local(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self(Content::Local(
            Some(content).filter(|content| !content.is_empty()),
        ))
    }

    /// Ends an answer that nobody is to see. It counts for its endpoint as its head says, and its
    /// connection is kept if the whole of it is there.
    pub(crate) fn give_up(self) {
        let Content::Upstream(mut streamed) = self.0 else {
            return;
        };
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = streamed.poll_frame(&mut cx) {}
        if let Some(attempt) = streamed.attempt.take() {
            attempt.complete();
        }
    }

    /// Makes a body of what an upstream sends.
    pub(crate) fn upstream(mut streamed: Streamed) -> Self {
        if streamed.is_uploading() {
            streamed.detach();
        }
        if streamed.incoming.is_end_stream() {
            streamed.complete();
        }
        Self(Content::Upstream(streamed))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        match &mut self.0 {
            Content::Local(content) => {
                Poll::Ready(content.take().map(|content| Ok(Frame::data(content))))
            }
            Content::Upstream(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Local(content) => content.is_none(),
            Content::Upstream(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Local(content) => {
                SizeHint::with_exact(content.as_ref().map_or(0, Bytes::len) as u64)
            }
            Content::Upstream(streamed) => streamed.incoming.size_hint(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}

// === impl Streamed ===

impl Streamed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.reading.goes_on();
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Source::Http1(exchange, _) = &mut self.source
        {
            exchange.drive(cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    framing::strip_trailers(trailers);
                    if let Some(attempt) = &mut self.attempt {
                        attempt.ended_by(trailers);
                    }
                }
                self.stalled = None;
                self.reading.hands_on();
                if self.incoming.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let fault = self.upload.as_ref().and_then(|upload| upload.fault());
                let kind = fault.unwrap_or_else(|| match Loss::of(&error) {
                    Some(Loss::TooManyFrames) => ErrorKind::TooManyFrames,
                    _ => self.reading.cut(),
                });
                self.fail(ProxyError::caused_by(kind, error))
            }
            Poll::Ready(None) if self.is_short() => self.fail(self.reading.cut().into()),
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.poll_stalled(cx));
                Limit::BodyIdleTimeout.acts();
                self.fail(ErrorKind::ResponseBodyTimeout.into())
            }
        }
    }

    /// Whether bytes of a stated length are missing. To hyper, RST_STREAM with NO_ERROR ends a body
    /// well, as it does after a whole answer to half a request.
    fn is_short(&self) -> bool {
        !self.incoming.is_end_stream() && self.incoming.size_hint().lower() > 0
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = self.idle else {
            return Poll::Pending;
        };
        let timers = &self.timers;
        self.stalled
            .get_or_insert_with(|| Deadline::new(Instant::now() + idle, timers))
            .poll(cx)
    }

    fn complete(&mut self) {
        match mem::replace(&mut self.source, Source::Nowhere) {
            Source::Http1(exchange, connections) => connections.give_back(exchange),
            Source::Detached(detached) => detached.complete(),
            Source::Http2(place) => {
                if self.is_uploading()
                    && let Some(upload) = &self.upload
                {
                    // It is bounded where it is read, and by this where nothing reads it.
                    upload.ends_by(Instant::now() + LINGER);
                    linger(&place);
                }
            }
            Source::Nowhere => {}
        }
        if let Some(attempt) = self.attempt.take() {
            attempt.complete();
        }
    }

    fn fail(&mut self, error: ProxyError) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.source = Source::Nowhere;
        let error = match self.attempt.take() {
            Some(mut attempt) => attempt.failed(error),
            None => error,
        };
        Poll::Ready(Some(Err(error)))
    }

    /// Lets an upload go on whether or not the caller reads what is answered to it meanwhile.
    fn detach(&mut self) {
        self.source = match mem::replace(&mut self.source, Source::Nowhere) {
            Source::Http1(exchange, connections) => {
                let timers = self.timers.clone();
                Source::Detached(Detached::start(exchange, connections, timers))
            }
            other => other,
        };
    }

    fn is_uploading(&self) -> bool {
        let upload = self.upload.as_ref();
        upload.is_some_and(|upload| upload.ended().is_none())
    }
}

/// Ends a stream that is answered completely if its upload goes on for long.
fn linger(place: &Rc<StreamSlot>) {
    let place = Rc::downgrade(place);
    LocalExecutor::spawn(Kind::Upload, async move {
        sleep(LINGER).await;
        // Gone if the upload has ended.
        if let Some(place) = place.upgrade() {
            place.lingers();
        }
    });
}

// === impl Reading ===

impl Reading {
    pub(crate) fn begin() -> Self {
        Self {
            handed_on: Some(Instant::now()),
            excuses_until: None,
        }
    }

    /// More is asked for.
    fn goes_on(&mut self) {
        match (self.handed_on.take(), self.excuses_until) {
            (Some(handed_on), _) => {
                let now = Instant::now();
                let pause = now - handed_on;
                if pause >= PAUSE {
                    // An upstream that gave up meanwhile is heard of once what it had sent is read.
                    self.excuses_until = Some(now + pause);
                }
            }
            (None, Some(until)) if until <= Instant::now() => self.excuses_until = None,
            (None, _) => {}
        }
    }

    fn hands_on(&mut self) {
        self.handed_on = Some(Instant::now());
    }

    /// What it is that the upstream ends the body too early.
    fn cut(&self) -> ErrorKind {
        match self.excuses_until {
            Some(_) => ErrorKind::ReadingPaused,
            None => ErrorKind::ResponseIncomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_reader_excuses_for_as_long_as_it_took() {
        let cut = ErrorKind::ResponseIncomplete;
        let paused = ErrorKind::ReadingPaused;
        for (pause, then_waits, expected) in [(0, 0, cut), (499, 0, cut), (500, 0, paused)]
            .into_iter()
            .chain([(0, 10_000, cut), (700, 699, paused), (700, 700, cut)])
        {
            let mut reading = Reading::begin();
            tokio::time::advance(Duration::from_millis(pause)).await;
            reading.goes_on();
            reading.hands_on();
            reading.goes_on();
            tokio::time::advance(Duration::from_millis(then_waits)).await;
            reading.goes_on();
            assert_eq!(reading.cut(), expected, "{pause} {then_waits}");
        }
    }
}
