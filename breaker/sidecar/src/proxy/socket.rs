//! A client's socket under hyper, which notes what the driver must know of it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::message::client::Client;
use crate::message::wire::Wire;
use crate::sockets::Stream;

/// A socket, and the bytes that were read from it before it was given to hyper.
///
/// Its driver shares it, since hyper does not give it out while it serves.
pub(crate) struct Socket {
    wire: Rc<RefCell<Wire>>,
    ahead: Bytes,
    client: Rc<Client>,
    /// Whether hyper has the rest of something to write.
    is_midway: bool,
}

/// A view of a connection that hyper has.
pub(crate) struct PeekHandle(Rc<RefCell<Wire>>);

/// What a peer did.
pub(crate) enum Peer {
    /// It sent more.
    Sends,
    /// It closed its sending side: it may be waiting for its answer (RFC 9112, 9.6), or gone.
    Closed,
    /// It reset the connection.
    Gone,
}

impl Socket {
    pub(crate) fn new(stream: Stream, ahead: Bytes, client: Rc<Client>) -> Self {
        Self {
            wire: Rc::new(RefCell::new(Wire(stream))),
            ahead,
            client,
            is_midway: false,
        }
    }

    /// A look at the connection from outside.
    pub(crate) fn peephole(&self) -> PeekHandle {
        PeekHandle(self.wire.clone())
    }

    /// Takes the connection back; the peephole must be gone.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        Rc::into_inner(self.wire).map(|wire| wire.into_inner().0)
    }
}

impl Socket {
    /// Writes the interim responses that wait, which only goes between two of hyper's messages.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.client.has_interim() {
            return Poll::Ready(Ok(()));
        }
        let client = self.client.clone();
        let mut interim = client.interim();
        if self.is_midway {
            // They come too late.
            interim.clear();
        }
        while !interim.is_empty() {
            let polled = Pin::new(&mut *self.wire.borrow_mut()).poll_write(cx, &interim);
            self.client.has_written(polled.is_pending());
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                size => drop(interim.drain(..size)),
            }
        }
        client.interim_is_written();
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, polled: &Poll<io::Result<usize>>, whole: usize) {
        self.client.has_written(polled.is_pending());
        self.is_midway = match polled {
            Poll::Ready(Ok(size)) => *size < whole,
            _ => true,
        };
    }
}

impl PeekHandle {
    /// What the peer did while it is not being read from. Without a system call while it does
    /// nothing.
    pub(crate) fn poll_peer(&self, cx: &mut Context<'_>) -> Poll<Peer> {
        let peeked = ready!(self.0.borrow_mut().0.poll_peek(cx));
        Poll::Ready(match peeked {
            Ok(Some(_)) => Peer::Sends,
            Ok(None) => Peer::Closed,
            Err(_) => Peer::Gone,
        })
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
        let polled = Pin::new(&mut *this.wire.borrow_mut()).poll_read(cx, buf);
        if polled.is_ready() {
            this.client.has_read();
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        let polled = Pin::new(&mut *this.wire.borrow_mut()).poll_write(cx, buf);
        this.written(&polled, buf.len());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        let polled = Pin::new(&mut *this.wire.borrow_mut()).poll_write_vectored(cx, bufs);
        this.written(&polled, bufs.iter().map(|buf| buf.len()).sum());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        let polled = Pin::new(&mut *this.wire.borrow_mut()).poll_flush(cx);
        if polled.is_pending() {
            // What TLS has taken of a write waits for the peer just as the rest.
            this.client.has_written(true);
        } else if this.client.write_blocked() {
            this.client.has_written(false);
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire.borrow_mut()).poll_shutdown(cx)
    }
}
