//! A connection by either kind of socket.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::{Alert, Transport};

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// To or from an address.
    Tcp(TcpStream),
    /// By a Unix socket.
    Unix(UnixStream),
    /// In TLS, over one of the others.
    Tls(Box<Transport>),
}

impl Stream {
    /// Sends at once what is written; a Unix socket does so anyway.
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.inner().set_nodelay(),
        }
    }

    /// Lets the end of the connection be a reset; a Unix socket has none.
    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Unix(_) => Ok(()),
            Self::Tls(stream) => stream.inner().set_zero_linger(),
        }
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// The address of the other side; a Unix socket has none.
    pub(crate) fn peer_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip()),
            Self::Unix(_) => None,
            Self::Tls(stream) => stream.inner().peer_ip(),
        }
    }

    /// How the connection broke, if it did.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Tls(stream) => stream.inner().take_error(),
        }
    }

    /// Waits until the connection has broken.
    pub(crate) async fn broken(&self) {
        let plain = match self {
            Self::Tls(stream) => stream.inner(),
            plain => plain,
        };
        // It is looked at afterwards what came of it.
        let _ = match plain {
            Self::Tcp(stream) => stream.ready(Interest::ERROR).await,
            Self::Unix(stream) => stream.ready(Interest::ERROR).await,
            // There is no TLS within TLS.
            Self::Tls(_) => return,
        };
    }

    /// The next byte to read, which stays there; none at the end.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut byte = [0];
        let peeked = match self {
            Self::Tcp(stream) => ready!(stream.poll_peek(cx, &mut ReadBuf::new(&mut byte))),
            Self::Unix(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                let peek = || Ok(recv(&*stream, &mut byte, RecvFlags::PEEK)?.1);
                match stream.try_io(Interest::READABLE, peek) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => break peeked,
                }
            },
            Self::Tls(stream) => return stream.poll_peek(cx),
        };
        Poll::Ready(peeked.map(|size| (size > 0).then_some(byte[0])))
    }

    /// Where an alert is noted that ends the connection, if it is in TLS.
    pub(crate) fn alert(&self) -> Option<Alert> {
        match self {
            Self::Tls(stream) => Some(stream.alert().clone()),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Says goodbye as far as that goes at once: TLS tells an end from a cut.
    pub(crate) fn leave(&mut self) {
        if let Self::Tls(stream) = self {
            stream.leave();
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.inner().as_fd(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Neither has anything to flush.
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
