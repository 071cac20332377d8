//! A client's TLS handshake: after its first byte, within a time, and of so many at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::time::Instant;

use super::worker::Worker;
use crate::message::limited::Limit;
use crate::message::timers::Deadline;
use crate::sockets::Stream;
use crate::tls::{Accepted, NOT_TLS, Opening, Server};

/// Shakes hands with a client whose first byte comes before `until`. If that fails, the connection
/// is returned if the client may still be told why.
pub(crate) async fn shake(
    worker: &Worker,
    tls: &Server,
    mut stream: Stream,
    until: Instant,
) -> Result<Accepted, Option<Stream>> {
    let first = first_byte(worker, &mut stream, until).await;
    match first.map(Opening::of) {
        Some(Opening::Tls) => {}
        None | Some(Opening::Other) => return Err(None),
        Some(Opening::Text) => {
            // One attempt: it is less than any socket has room for.
            let _ = stream.try_write(NOT_TLS);
            return Err(Some(stream));
        }
    }
    worker.handshakes.shake(tls, stream).await
}

/// The first byte of a client, before anything is kept for it; `None` if the connection ends.
async fn first_byte(worker: &Worker, stream: &mut Stream, until: Instant) -> Option<u8> {
    let mut deadline = Deadline::new(until, &worker.timers);
    let mut drained = pin!(worker.drained());
    poll_fn(|cx| {
        if let Poll::Ready(peeked) = stream.poll_peek(cx) {
            return Poll::Ready(peeked.ok().flatten());
        }
        if drained.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if deadline.poll(cx).is_ready() {
            Limit::HeaderTimeout.acts();
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
