//! Taking connections from a listening socket for good: trouble with one, or with descriptors, does
//! not end it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::sockets::{Listener, Peer, Stream};

/// A socket of either kind that connections are taken from.
pub(crate) trait Accept {
    type Stream;
    type Peer;

    /// The next connection, whose writes are sent at once; an error if it is not to be used.
    async fn accept(&self) -> io::Result<(Self::Stream, Self::Peer)>;
}

/// Takes the connections of a listener.
#[derive(Debug)]
pub(crate) struct Acceptor<'a, L> {
    listener: &'a L,
    /// Whose connections they are, for the log.
    of: &'static str,
    pause: Duration,
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }
}

impl Accept for Listener {
    type Stream = Stream;
    type Peer = Peer;

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let (stream, peer) = self.accept().await?;
        stream.set_nodelay()?;
        Ok((stream, peer))
    }
}

impl<'a, L: Accept> Acceptor<'a, L> {
    pub(crate) const fn new(listener: &'a L, of: &'static str) -> Self {
        Self {
            listener,
            of,
            pause: MIN_PAUSE,
        }
    }

    /// The next connection, and who is at its other end.
    pub(crate) async fn next(&mut self) -> (L::Stream, L::Peer) {
        loop {
            match self.try_next().await {
                Ok(accepted) => return accepted,
                Err(error) => self.wait(&error).await,
            }
        }
    }

    /// The next connection, unless there is no descriptor for it.
    pub(crate) async fn try_next(&mut self) -> io::Result<(L::Stream, L::Peer)> {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.pause = MIN_PAUSE;
                    return Ok(accepted);
                }
                Err(error) if is_exhausted(&error) => return Err(error),
                // The connection was gone before it was taken, or refuses an option for that.
                Err(_) => {}
            }
        }
    }

    /// Waits for others to close something, ever longer while there is no connection.
    pub(crate) async fn wait(&mut self, error: &io::Error) {
        tracing::warn!(%error, of = self.of, "cannot accept connections");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

/// Whether there is no descriptor, or no memory for one.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)
    )
}

/// Pauses while there are no descriptors.
const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_secs(1);
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOMEM: i32 = 12;
const ENOBUFS: i32 = 105;
