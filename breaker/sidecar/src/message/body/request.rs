//! The caller's body on its way to the upstream.
//!
//! It knows when the upload ends and how: while the caller is still uploading, time passes at the
//! caller's expense, and whatever breaks in its body is the caller's fault, though the upstream's
//! connection is what fails of it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::BodyLimits;
use super::upload::Upload;
use crate::causes;
use crate::message::client::Client;
use crate::message::decision::Decided;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::framing;
use crate::message::headers::Fields;
use crate::message::limited::Limit;
use crate::message::timers::{Deadline, Timers};

/// A request's body, and what the front knows of the request beyond its head.
pub struct RequestBody {
    content: Option<Box<Content>>,
    client: Rc<Client>,
    fields: Fields,
    route: Rc<str>,
    started: Instant,
    /// Where the breaker's decision is put, if somebody wants to know it.
    decided: Option<Decided>,
    /// The content, where it was sent before.
    repeated: Option<Box<Bytes>>,
}

struct Content {
    incoming: Incoming,
    upload: Rc<Upload>,
    client: Rc<Client>,
    /// Bytes that may still come.
    left: u64,
    limits: BodyLimits,
    started: Instant,
    /// Set while the caller is being waited for.
    stalled: Option<Deadline>,
    timers: Rc<Timers>,
}

// === impl RequestBody ===

impl RequestBody {
    /// Makes a body of what the client sends.
    pub(crate) fn new(
        client: Rc<Client>,
        fields: Fields,
        route: Rc<str>,
        started: Instant,
    ) -> Self {
        Self {
            content: None,
            client,
            fields,
            route,
            started,
            decided: None,
            repeated: None,
        }
    }

    /// Lets the breaker's decision be put there.
    pub(crate) fn decided_in(mut self, decided: Decided) -> Self {
        self.decided = Some(decided);
        self
    }

    pub(crate) fn decided(&self) -> Option<&Decided> {
        self.decided.as_ref()
    }

    /// Adds the content, if there is any.
    pub(crate) fn with(
        mut self,
        incoming: Incoming,
        limits: &BodyLimits,
        timers: &Rc<Timers>,
    ) -> Self {
        if !incoming.is_end_stream() {
            let left = limits.request_bytes.unwrap_or(u64::MAX);
            let mut limits = limits.clone();
            if self.fields.has(Fields::GRPC) {
                limits.idle = None;
            }
            self.client.begin_upload();
            self.content = Some(Box::new(Content {
                incoming,
                upload: Rc::default(),
                left,
                limits,
                client: self.client.clone(),
                started: self.started,
                stalled: None,
                timers: timers.clone(),
            }));
        }
        self
    }

    /// The progress of the upload; `None` if there is nothing to upload.
    pub(crate) fn upload(&self) -> Option<Rc<Upload>> {
        self.content.as_ref().map(|content| content.upload.clone())
    }

    pub(crate) fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// The name of the request's route.
    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    /// When the request's head had come.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn fields(&self) -> Fields {
        self.fields
    }

    /// Makes another body for the same request, without content.
    pub(crate) fn twin(&self) -> Self {
        Self {
            content: None,
            client: self.client.clone(),
            fields: self.fields,
            route: self.route.clone(),
            started: self.started,
            decided: None,
            repeated: None,
        }
    }

    /// Gives it content that was sent before.
    pub(crate) fn repeat(&mut self, content: Bytes) {
        self.repeated = Some(Box::new(content));
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        match &mut self.content {
            Some(content) => content.poll_frame(cx),
            None => Poll::Ready(
                self.repeated
                    .take()
                    .map(|content| Ok(Frame::data(*content))),
            ),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Some(content) => content.incoming.is_end_stream(),
            None => self.repeated.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Some(content) => content.incoming.size_hint(),
            None => {
                let repeated = self.repeated.as_ref().map_or(0, |content| content.len());
                SizeHint::with_exact(repeated as u64)
            }
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("size", &self.size_hint())
            .finish_non_exhaustive()
    }
}

// === impl Content ===

impl Content {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.upload.is_asked();
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    framing::strip_trailers(trailers);
                }
                self.stalled = None;
                self.upload.hands_on();
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = self.left.checked_sub(size) else {
                    Limit::MaxBodyBytes.acts();
                    return self.fail(ErrorKind::RequestBodyTooLarge.into());
                };
                self.left = left;
                self.upload.keep_frame(&frame);
                let ends_by = self.upload.ends();
                if ends_by.is_some_and(|ends_by| ends_by <= Instant::now()) {
                    return self.fail(ErrorKind::RequestBodyTimeout.into());
                }
                if self.incoming.is_end_stream() {
                    self.end(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(ProxyError::caused_by(fault_of(&error), error))
            }
            Poll::Ready(None) => {
                self.end(true);
                Poll::Ready(None)
            }
            Poll::Pending => match self.poll_stalled(cx) {
                Poll::Ready(()) => {
                    self.count_timeout();
                    self.fail(ErrorKind::RequestBodyTimeout.into())
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.upload.waits(cx);
        let ends_by = self.upload.ends();
        if self.stalled.is_none() {
            let idle = self.limits.idle.map(|idle| Instant::now() + idle);
            let total = self.limits.request_total.map(|total| self.started + total);
            let Some(at) = [idle, total, ends_by].into_iter().flatten().min() else {
                return Poll::Pending;
            };
            self.stalled = Some(Deadline::new(at, &self.timers));
        }
        if let (Some(stalled), Some(ends_by)) = (&mut self.stalled, ends_by)
            && stalled.at() > ends_by
        {
            stalled.set(ends_by);
        }
        self.stalled
            .as_mut()
            .map_or(Poll::Pending, |stalled| stalled.poll(cx))
    }

    /// Counts the limit that was the first to be over; none if the answer was complete, and nobody
    /// needs the rest.
    fn count_timeout(&self) {
        let now = Instant::now();
        let total = self.limits.request_total;
        if self.upload.ends().is_some_and(|by| by <= now) {
        } else if total.is_some_and(|total| self.started + total <= now) {
            Limit::BodyTimeout.acts();
        } else {
            Limit::BodyIdleTimeout.acts();
        }
    }

    fn fail(&mut self, error: ProxyError) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.upload.fails(error.kind());
        Poll::Ready(Some(Err(error)))
    }

    fn end(&self, is_whole: bool) {
        if self.upload.ended().is_none() {
            self.client.end_upload(is_whole);
            self.upload.end(is_whole);
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // The upstream wants no more of it, or the exchange is over.
        self.end(false);
    }
}

/// Tells garbage from a caller that went away.
fn fault_of(error: &hyper::Error) -> ErrorKind {
    let mut faults = causes::chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let is_garbage = |fault: &io::Error| {
        use io::ErrorKind::{InvalidData, InvalidInput};
        matches!(fault.kind(), InvalidInput | InvalidData)
    };
    match faults.any(is_garbage) {
        true => ErrorKind::RequestBodyMalformed,
        false => ErrorKind::ClientGone,
    }
}
