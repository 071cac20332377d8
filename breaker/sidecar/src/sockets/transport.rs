//! TLS over a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use rustix::net::{RecvFlags, recv};
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use super::Stream;

/// A connection in TLS, after its handshake.
#[derive(Debug)]
pub struct Transport {
    stream: TlsStream<Stream>,
    alert: Alert,
}

/// The alert that ended a connection, if one did. Not every layer above keeps what it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alert(Arc<OnceLock<AlertDescription>>);

impl Transport {
    /// The connection that it goes over.
    pub(crate) fn inner(&self) -> &Stream {
        self.stream.get_ref().0
    }

    /// What the other side has shown.
    #[cfg(test)]
    pub(crate) fn shown(&self) -> Option<Vec<u8>> {
        let shown = self.stream.get_ref().1.peer_certificates();
        Some(shown?.first()?.to_vec())
    }

    pub(super) fn alert(&self) -> &Alert {
        &self.alert
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut self.stream).poll_write(&mut cx, bytes);
        // What does not go out now never does.
        let _ = Pin::new(&mut self.stream).poll_flush(&mut cx);
        match polled {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// An upstream that refuses us says so and closes, and a write may fail before that is read.
    fn look_after<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let (Poll::Ready(Err(_)), TlsStream::Client(stream)) = (&written, &mut self.stream) {
            let (stream, session) = stream.get_mut();
            while let Ok(1..) = session.read_tls(&mut Unpolled(stream)) {
                if let Err(error) = session.process_new_packets() {
                    self.alert.note(&error);
                    break;
                }
            }
        }
        written
    }

    /// The next byte to read, which stays there, decrypted: the bytes below say nothing, since the
    /// end is an alert, and not each record has data.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let polled = Pin::new(&mut self.stream).poll_fill_buf(cx);
        polled.map_ok(|bytes| bytes.first().copied())
    }

    pub(super) fn leave(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // A peer that takes nothing more does without.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
    }
}

/// Reads what is there, whether the runtime knows of it or not.
struct Unpolled<'a>(&'a Stream);

impl io::Read for Unpolled<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buf, RecvFlags::DONTWAIT)?.1)
    }
}

impl Alert {
    /// What the other side said.
    pub(crate) fn heard(&self) -> Option<AlertDescription> {
        self.0.get().copied()
    }

    fn note(&self, error: &Error) {
        if let Error::AlertReceived(alert) = error {
            // The first one ends it.
            let _ = self.0.set(*alert);
        }
    }
}

impl<T: Into<TlsStream<Stream>>> From<T> for Transport {
    fn from(stream: T) -> Self {
        Self {
            stream: stream.into(),
            alert: Alert::default(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            let error = error.get_ref().and_then(|error| error.downcast_ref());
            error.into_iter().for_each(|error| self.alert.note(error));
        }
        polled
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.look_after(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.look_after(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.look_after(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
