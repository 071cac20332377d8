//! What is read of the caller, within the limits of a body.
//!
//! What has been taken is kept while it may have to be sent again, up to [`KEPT`] bytes.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::message::body::BodyLimits;
use crate::message::body::upload::Upload;
use crate::message::limited::Limit;
use crate::message::timers::{Deadline, Timers};

pub(super) struct Reader {
    pub(super) incoming: Incoming,
    /// What was taken of it, unless that was too much.
    pub(super) kept: Option<Vec<Piece>>,
    /// How many of the pieces the body whose turn it is has handed on.
    pub(super) handed_on: usize,
    /// Bytes that may still come.
    pub(super) left: u64,
    pub(super) limits: BodyLimits,
    pub(super) started: Instant,
    /// Set while the caller is being waited for.
    pub(super) stalled: Option<Deadline>,
    pub(super) timers: Rc<Timers>,
}

/// A frame that was taken.
#[derive(Clone)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

// === impl Reader ===

impl Reader {
    /// The next piece of what is sent again.
    pub(super) fn again(&mut self) -> Option<Piece> {
        let piece = self.kept.as_ref()?.get(self.handed_on)?.clone();
        self.handed_on += 1;
        Some(piece)
    }

    /// Keeps what was taken, if there is somebody to keep it for, and room.
    pub(super) fn keep(&mut self, frame: Option<&Frame<Bytes>>) {
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

    pub(super) fn is_over(&self) -> bool {
        let kept = self.kept.as_ref().map_or(0, Vec::len);
        self.handed_on >= kept && self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let kept = self.kept.iter().flatten().skip(self.handed_on);
        let again = kept.map(Piece::len).sum::<usize>() as u64;
        let mut hint = self.incoming.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + again);
        }
        hint.set_lower(hint.lower() + again);
        hint
    }

    pub(super) fn poll_stalled(&mut self, upload: &Upload, cx: &mut Context<'_>) -> Poll<()> {
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
    pub(super) fn count_timeout(&self, upload: &Upload) {
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

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }

    pub(super) fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

/// Bytes of a request's content that are kept in case that it has to be sent again.
const KEPT: usize = 64 * 1024;
/// And pieces, each of which may keep a buffer in use.
const PIECES: usize = 16;
