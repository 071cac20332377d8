//! An upstream's socket under hyper: what came in counts more than what no longer goes out.
//!
//! An upstream may answer before it has the whole request, and close (RFC 9112, 9.6). Then a write
//! fails while the answer waits to be read, and hyper would tell the failed write instead. So a
//! write that fails only ends the writing: reading goes on, to the answer or to the connection's
//! end, and that is what is told.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::wire::Wire;
use crate::sockets::Stream;

/// A connection to an endpoint, under hyper.
pub(crate) struct Line {
    wire: Wire,
    /// Whether the upstream takes nothing more.
    is_deaf: bool,
    traffic: Rc<Traffic>,
}

/// What went over a line since the last request began.
#[derive(Default)]
pub(super) struct Traffic {
    /// Whether anything was read.
    pub(super) has_read: Cell<bool>,
    /// Writes that the system took.
    pub(super) writes: Cell<u32>,
    /// Their bytes.
    pub(super) written: Cell<usize>,
    /// Whether a write was answered by what a closed socket answers: not that it was reset, but
    /// that it had ended before.
    pub(super) was_closed: Cell<bool>,
}

impl Traffic {
    /// Begins with a request.
    pub(super) fn begin(&self) {
        self.has_read.set(false);
        self.writes.set(0);
        self.written.set(0);
        self.was_closed.set(false);
    }
}

impl Line {
    /// Notes in `traffic` what goes over it.
    pub(super) fn new(stream: Stream, traffic: Rc<Traffic>) -> Self {
        Self {
            wire: Wire(stream),
            is_deaf: false,
            traffic,
        }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.wire.0
    }

    fn written(
        &mut self,
        cx: &Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(Ok(size)) => {
                let Traffic {
                    writes, written, ..
                } = &*self.traffic;
                writes.set(writes.get().saturating_add(1));
                written.set(written.get().saturating_add(*size));
                return polled;
            }
            Poll::Pending => return polled,
            Poll::Ready(Err(error)) => self.breaks(cx, error),
        }
        Poll::Pending
    }

    /// Nothing more is written. What came before the failure is read now: a connection whose writes
    /// fail always has an end to read.
    fn breaks(&mut self, cx: &Context<'_>, error: &io::Error) {
        let was_closed = error.kind() == io::ErrorKind::BrokenPipe;
        self.traffic.was_closed.set(was_closed);
        self.is_deaf = true;
        cx.waker().wake_by_ref();
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.wire).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.traffic.has_read.set(true);
        }
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.wire).poll_write(cx, buf);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.wire).poll_write_vectored(cx, bufs);
        self.written(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        match Pin::new(&mut self.wire).poll_flush(cx) {
            Poll::Ready(Err(error)) => {
                self.breaks(cx, &error);
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
