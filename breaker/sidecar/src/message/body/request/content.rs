//! The content of a request: handed on as it comes, ended, or failed by whoever breaks it.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::reader::Reader;
use crate::causes;
use crate::message::body::upload::Upload;
use crate::message::client::Client;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::framing;
use crate::message::limited::Limit;

/// The content of one request, for all bodies that are made for it.
pub(super) struct Content {
    pub(super) upload: Rc<Upload>,
    pub(super) client: Rc<Client>,
    /// The body that has it.
    pub(super) turn: Cell<u32>,
    pub(super) reader: RefCell<Reader>,
}

// === impl Content ===

impl Content {
    pub(super) fn poll_frame(
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

    pub(super) fn rewind(&self, turn: u32) -> bool {
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
