//! A connection that can be told to go wrong below HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP stream whose next write does what its [`Fault`] says.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    fault: Fault,
}

/// The switch of a [`Wire`].
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<AtomicU8>);

const NONE: u8 = 0;
const RESET: u8 = 1;
const GARBAGE: u8 = 2;
const CLOSE: u8 = 3;

// === impl Fault ===

impl Fault {
    /// Sends a TCP reset instead of what is written next.
    pub(super) fn reset(&self) {
        self.0.store(RESET, Ordering::Relaxed);
    }

    /// Sends bytes that are no HTTP instead of what is written next, then closes.
    pub(super) fn garbage(&self) {
        self.0.store(GARBAGE, Ordering::Relaxed);
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(stream: TcpStream) -> (Self, Fault) {
        let fault = Fault::default();
        let wire = Self {
            stream,
            fault: fault.clone(),
        };
        (wire, fault)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.fault.0.load(Ordering::Relaxed) {
            RESET => {
                self.stream.set_zero_linger()?;
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            GARBAGE => {
                self.fault.0.store(CLOSE, Ordering::Relaxed);
                let sent = Pin::new(&mut self.stream).poll_write(cx, b"\x00\x01 no HTTP\r\n\r\n");
                // HTTP/2 may have nothing more to write, which would be what closes the connection.
                let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
                // What HTTP wanted to say is gone; as far as it knows, all was sent.
                sent.map_ok(|_| buf.len())
            }
            CLOSE => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            NONE.. => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
