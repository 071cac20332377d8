//! The caller's body on its way to the upstream.
//!
//! It knows when the upload ends and how: while the caller is still uploading, time passes at the
//! caller's expense, and whatever breaks in its body is the caller's fault, though the upstream's
//! connection is what fails of it.

mod content;
mod reader;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use self::content::Content;
use self::reader::{Piece, Reader};
use super::BodyLimits;
use super::upload::Upload;
use crate::message::client::Client;
use crate::message::decision::Decided;
use crate::message::error::ProxyError;
use crate::message::headers::Fields;
use crate::message::timers::Timers;

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
