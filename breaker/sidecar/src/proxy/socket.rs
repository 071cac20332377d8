//! A client's socket under hyper, which notes what the driver must know of it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::client::Client;
use super::wire::Wire;

/// A socket, and the bytes that were read from it before it was given to hyper.
pub(crate) struct Socket {
    wire: Wire,
    ahead: Bytes,
    client: Rc<Client>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, ahead: Bytes, client: Rc<Client>) -> Self {
        Self {
            wire: Wire(stream),
            ahead,
            client,
        }
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.wire.0
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let size = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead[..size]);
            this.ahead.advance(size);
            this.client.has_read();
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut this.wire).poll_read(cx, buf);
        if polled.is_ready() {
            this.client.has_read();
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write(cx, buf);
        self.client.has_written(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write_vectored(cx, bufs);
        self.client.has_written(polled.is_pending());
        polled
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
