//! An upstream's socket under hyper: what came in counts more than what no longer goes out.
//!
//! An upstream may answer before it has the whole request, and close (RFC 9112, 9.6). Then a write fails while the
//! answer waits to be read, and hyper would tell the failed write instead. So a write that fails only ends the
//! writing: reading goes on, to the answer or to the connection's end, and that is what is told.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::proxy::wire::Wire;

/// A connection to an endpoint, under hyper.
pub(crate) struct Line {
    wire: Wire,
    /// Whether the upstream takes nothing more.
    is_deaf: bool,
    has_read: Rc<Cell<bool>>,
}

impl Line {
    /// Notes in `has_read` when something was read.
    pub(super) fn new(stream: TcpStream, has_read: Rc<Cell<bool>>) -> Self {
        Self {
            wire: Wire(stream),
            is_deaf: false,
            has_read,
        }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.wire.0
    }

    fn written(
        &mut self,
        cx: &Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if !matches!(polled, Poll::Ready(Err(_))) {
            return polled;
        }
        self.is_deaf = true;
        // What came before the failure is read now. A connection whose writes fail always has an end to read.
        cx.waker().wake_by_ref();
        Poll::Pending
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
            self.has_read.set(true);
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

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
