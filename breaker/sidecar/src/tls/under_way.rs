//! Handshakes under way: so many at once, and none that keeps others out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::handshake::Handshake;
use super::server::{Accepted, Opening, Server};
use crate::sockets::Stream;

/// The handshakes under way of a port, or of one worker of it. One more than [`MAX`] ends the
/// oldest: clients that begin one and do not go on can't keep others out, who need a round trip.
/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<Mutex<Begun>>);

#[derive(Debug, Default)]
struct Begun {
    oldest_first: VecDeque<(u64, Arc<Notify>)>,
    next: u64,
}

/// A place among those under way.
struct HandshakeSlot {
    of: UnderWay,
    number: u64,
    /// Told when another one needs the place.
    crowded_out: Arc<Notify>,
}

// === impl UnderWay ===

impl UnderWay {
    /// Shakes hands with a client whose first byte is there. If that fails, the connection is
    /// returned if the client may still be told why.
    pub(crate) async fn shake(
        &self,
        tls: &Server,
        stream: Stream,
    ) -> Result<Accepted, Option<Stream>> {
        let place = self.begin();
        tokio::select! {
            biased;
            shaken = tls.accept(stream) => shaken,
            () = place.crowded_out.notified() => {
                Handshake::Crowded.counts();
                Err(None)
            }
        }
    }

    /// The same with a client that nothing is known of yet, whose first byte comes within `limit`;
    /// `None` if nothing comes of it. Who speaks no TLS is told.
    pub(crate) async fn secure(
        &self,
        tls: &Server,
        mut stream: Stream,
        limit: Duration,
    ) -> Option<Accepted> {
        let first = poll_fn(|cx| stream.poll_peek(cx));
        let first = timeout(limit, first).await.ok()?.ok()??;
        match Opening::of(first) {
            Opening::Tls => return self.shake(tls, stream).await.ok(),
            Opening::Text => {
                // What was not read would reset the connection before this is.
                let told = async {
                    stream.write_all(NOT_TLS).await?;
                    stream.shutdown().await?;
                    stream.read(&mut [0; 4096]).await
                };
                let _ = timeout(FAREWELL, told).await;
            }
            Opening::Other => {}
        }
        None
    }

    fn begin(&self) -> HandshakeSlot {
        let mut begun = self.begun();
        if begun.oldest_first.len() >= MAX
            && let Some((_, oldest)) = begun.oldest_first.pop_front()
        {
            oldest.notify_one();
        }
        let number = begun.next;
        begun.next += 1;
        let crowded_out = Arc::<Notify>::default();
        begun.oldest_first.push_back((number, crowded_out.clone()));
        drop(begun);
        HandshakeSlot {
            of: self.clone(),
            number,
            crowded_out,
        }
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let begun = &mut self.of.begun().oldest_first;
        let place = begun.binary_search_by_key(&self.number, |(number, _)| *number);
        if let Ok(place) = place {
            begun.remove(place);
        }
    }
}

/// Handshakes at once.
const MAX: usize = 256;
/// The answer to plain HTTP where clients are to speak TLS.
pub(crate) const NOT_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 31\r\n\
      connection: close\r\n\r\nthis port speaks TLS (https://)";
/// How long it may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);
