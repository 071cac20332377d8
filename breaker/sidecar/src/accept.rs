//! Taking connections from a listening socket for good: trouble with one, or with descriptors, does
//! not end it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Takes the connections of a listener.
#[derive(Debug)]
pub(crate) struct Acceptor<'a> {
    listener: &'a TcpListener,
    /// Whose connections they are, for the log.
    of: &'static str,
    pause: Duration,
}

impl<'a> Acceptor<'a> {
    pub(crate) const fn new(listener: &'a TcpListener, of: &'static str) -> Self {
        Self {
            listener,
            of,
            pause: MIN_PAUSE,
        }
    }

    /// The next connection, and who is at its other end.
    pub(crate) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.try_next().await {
                Ok(accepted) => return accepted,
                Err(error) => self.wait(&error).await,
            }
        }
    }

    /// The next connection, unless there is no descriptor for it.
    pub(crate) async fn try_next(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = MIN_PAUSE;
                    // An answer is written at once; a socket that refuses the option is closed
                    // already.
                    if stream.set_nodelay(true).is_ok() {
                        return Ok((stream, peer));
                    }
                }
                Err(error) if is_exhausted(&error) => return Err(error),
                // The connection was gone before it was taken.
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
