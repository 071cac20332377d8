//! The caller's body on its way to the upstream.
//!
//! It knows when the upload ends and how: while the caller is still uploading, time passes at the
//! caller's expense, and whatever breaks in its body is the caller's fault, though the upstream's
//! connection is what fails of it.
//!
//! What has been taken of it is kept while it may have to be sent again, up to [`KEPT`] bytes.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
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
    content: Option<Rc<Content>>,
    /// Which of the bodies of one request it is: only the last one in force has the content.
    turn: u32,
    client: Rc<Client>,
    fields: Fields,
    route: Rc<str>,
    started: Instant,
    /// Where the breaker's decision is put, if somebody wants to know it.
    decided: Option<Decided>,
    /// What is in use for as long as the body is.
    held: Option<Rc<dyn Any>>,
}

/// The content of one request, for all bodies that are made for it.
struct Content {
    upload: Rc<Upload>,
    client: Rc<Client>,
    /// The body that has it.
    turn: Cell<u32>,
    reader: RefCell<Reader>,
}

struct Reader {
    incoming: Incoming,
    /// What was taken of it, unless that was too much.
    kept: Option<Vec<Piece>>,
    /// How many of the pieces the body whose turn it is has handed on.
    handed_on: usize,
    /// Bytes that may still come.
    left: u64,
    limits: BodyLimits,
    started: Instant,
    /// Set while the caller is being waited for.
    stalled: Option<Deadline>,
    timers: Rc<Timers>,
}

/// A frame that was taken.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
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
            turn: 0,
            client,
            fields,
            route,
            started,
            decided: None,
            held: None,
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
            self.content = Some(Rc::new(Content {
                upload: Rc::default(),
                client: self.client.clone(),
                turn: Cell::new(self.turn),
                reader: RefCell::new(Reader {
                    incoming,
                    kept: Some(Vec::new()),
                    handed_on: 0,
                    left,
                    limits,
                    started: self.started,
                    stalled: None,
                    timers: timers.clone(),
                }),
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

    /// Makes another body for the same request. While there is one, what is taken of the content
    /// is kept.
    pub(crate) fn twin(&self) -> Self {
        Self {
            content: self.content.clone(),
            turn: self.turn + 1,
            client: self.client.clone(),
            fields: self.fields,
            route: self.route.clone(),
            started: self.started,
            decided: self.decided.clone(),
            held: None,
        }
    }

    /// Gives a twin the content from its beginning; the body that had it has no more. Tells whether
    /// that can be: not if more was taken than is kept.
    pub(crate) fn rewind(&self) -> bool {
        self.content
            .as_ref()
            .is_none_or(|content| content.rewind(self.turn))
    }

    /// How many bytes were taken of the content, and are kept; `None` if they can't be sent again:
    /// it was too many, or the caller did not send it well.
    pub(crate) fn kept(&self) -> Option<usize> {
        let Some(content) = &self.content else {
            return Some(0);
        };
        if content.upload.fault().is_some() {
            return None;
        }
        let reader = content.reader.borrow();
        let pieces = reader.kept.as_ref()?.iter();
        Some(pieces.map(Piece::len).sum())
    }

    /// Keeps something in use for as long as the body is.
    pub(crate) fn hold(&mut self, held: Rc<dyn Any>) {
        self.held = Some(held);
    }

    /// The content, if it is this body's turn.
    fn content(&self) -> Option<&Rc<Content>> {
        let content = self.content.as_ref();
        content.filter(|content| content.turn.get() == self.turn)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = ProxyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        match self.content() {
            Some(content) => content.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content()
            .is_none_or(|content| content.reader.borrow().is_over())
    }

    fn size_hint(&self) -> SizeHint {
        match self.content() {
            Some(content) => content.reader.borrow().size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(content) = self.content() {
            // The upstream wants no more of it, or the exchange is over.
            content.upload.is_left();
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
        self: &Rc<Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.upload.is_asked();
        let mut reader = self.reader.borrow_mut();
        if let Some(again) = reader.again() {
            self.upload.hands_on();
            return Poll::Ready(Some(Ok(again.into_frame())));
        }
        match Pin::new(&mut reader.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    framing::strip_trailers(trailers);
                }
                reader.stalled = None;
                self.upload.hands_on();
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = reader.left.checked_sub(size) else {
                    Limit::MaxBodyBytes.acts();
                    return self.fail(ErrorKind::RequestBodyTooLarge.into());
                };
                reader.left = left;
                // Nobody else is there to send it again.
                let is_last = Rc::strong_count(self) == 1;
                reader.keep(Some(&frame).filter(|_| !is_last));
                let ends_by = self.upload.ends();
                if ends_by.is_some_and(|ends_by| ends_by <= Instant::now()) {
                    return self.fail(ErrorKind::RequestBodyTimeout.into());
                }
                if reader.incoming.is_end_stream() {
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
            Poll::Pending => match reader.poll_stalled(&self.upload, cx) {
                Poll::Ready(()) => {
                    reader.count_timeout(&self.upload);
                    self.fail(ErrorKind::RequestBodyTimeout.into())
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn rewind(&self, turn: u32) -> bool {
        let mut reader = self.reader.borrow_mut();
        let is_kept = reader.kept.is_some();
        if is_kept && self.upload.fault().is_none() {
            reader.handed_on = 0;
            self.turn.set(turn);
            self.upload.is_resumed();
            return true;
        }
        false
    }

    fn fail(&self, error: ProxyError) -> Poll<Option<Result<Frame<Bytes>, ProxyError>>> {
        self.upload.fails(error.kind());
        Poll::Ready(Some(Err(error)))
    }

    fn end(&self, is_whole: bool) {
        if self.upload.end(is_whole) {
            self.client.end_upload(is_whole);
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.end(false);
    }
}

// === impl Reader ===

impl Reader {
    /// The next piece of what is sent again.
    fn again(&mut self) -> Option<Piece> {
        let piece = self.kept.as_ref()?.get(self.handed_on)?.clone();
        self.handed_on += 1;
        Some(piece)
    }

    /// Keeps what was taken, if there is somebody to keep it for, and room.
    fn keep(&mut self, frame: Option<&Frame<Bytes>>) {
        let Some(kept) = &mut self.kept else { return };
        let size = kept.iter().map(Piece::len).sum::<usize>();
        match frame.map(Piece::of) {
            Some(piece) if size + piece.len() <= KEPT && kept.len() < PIECES => {
                kept.push(piece);
                self.handed_on = kept.len();
            }
            _ => self.kept = None,
        }
    }

    fn is_over(&self) -> bool {
        let kept = self.kept.as_ref().map_or(0, Vec::len);
        self.handed_on >= kept && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.iter().flatten().skip(self.handed_on);
        let again = kept.map(Piece::len).sum::<usize>() as u64;
        let mut hint = self.incoming.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + again);
        }
        hint.set_lower(hint.lower() + again);
        hint
    }

    fn poll_stalled(&mut self, upload: &Upload, cx: &mut Context<'_>) -> Poll<()> {
        upload.waits(cx);
        let ends_by = upload.ends();
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
    fn count_timeout(&self, upload: &Upload) {
        let now = Instant::now();
        let total = self.limits.request_total;
        if upload.ends().is_some_and(|by| by <= now) {
        } else if total.is_some_and(|total| self.started + total <= now) {
            Limit::BodyTimeout.acts();
        } else {
            Limit::BodyIdleTimeout.acts();
        }
    }
}

// === impl Piece ===

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Self {
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Self::Data(data.clone()),
            (None, trailers) => Self::Trailers(trailers.cloned().unwrap_or_default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
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

/// Bytes of a request's content that are kept in case that it has to be sent again.
const KEPT: usize = 64 * 1024;
/// And pieces, each of which may keep a buffer in use.
const PIECES: usize = 16;
