//! Idle connections: a socket, a deadline, and nothing else.
//!
//! hyper keeps its buffers, about 19 KB, for as long as its connection lives. So there is no hyper
//! connection while a client is silent: a parked socket is read into a buffer that all of a
//! worker's connections share, and only what comes first costs memory of its own.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::worker::Worker;
use crate::message::limited::Limit;
use crate::message::timers::Deadline;
use crate::sockets::Stream;

/// Waits for the next bytes of a silent connection until then, which `limit` says; `None` when it
/// ends, or is to end.
pub(crate) async fn next_bytes(
    worker: &Worker,
    stream: &mut Stream,
    until: Instant,
    limit: Limit,
) -> Option<Bytes> {
    let mut deadline = Deadline::new(until, &worker.timers);
    let mut drained = pin!(worker.drained());
    poll_fn(|cx| {
        let mut scratch = worker.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                return Poll::Ready(Some(Bytes::copy_from_slice(buf.filled())));
            }
            Poll::Ready(_) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if drained.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if deadline.poll(cx).is_ready() {
            limit.acts();
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
