//! A client's TLS handshake: after its first byte, within a time, and of so many at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::worker::Worker;
use crate::message::limited::Limit;
use crate::message::timers::Deadline;
use crate::sockets::Stream;
use crate::tls::{Accepted, Handshake, NOT_TLS, Opening, Server};

/// The handshakes of one worker that are under way. One more than [`MAX`] ends the oldest: clients
/// that begin one and do not go on can't keep others out, who need a round trip.
#[derive(Default)]
pub(crate) struct UnderWay {
    begun: RefCell<VecDeque<(u64, Rc<Notify>)>>,
    next: Cell<u64>,
}

/// A place among those under way.
struct HandshakeSlot {
    of: Rc<UnderWay>,
    number: u64,
    /// Told when another one needs the place.
    crowded_out: Rc<Notify>,
}

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
    let place = worker.handshakes.take();
    let mut shaken = pin!(tls.accept(stream));
    let mut crowded_out = pin!(place.crowded_out.notified());
    poll_fn(|cx| {
        if let Poll::Ready(shaken) = shaken.as_mut().poll(cx) {
            return Poll::Ready(shaken);
        }
        crowded_out.as_mut().poll(cx).map(|()| {
            Handshake::Crowded.counts();
            Err(None)
        })
    })
    .await
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

// === impl UnderWay ===

impl UnderWay {
    fn take(self: &Rc<Self>) -> HandshakeSlot {
        let mut begun = self.begun.borrow_mut();
        if begun.len() >= MAX
            && let Some((_, oldest)) = begun.pop_front()
        {
            oldest.notify_one();
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let crowded_out = Rc::<Notify>::default();
        begun.push_back((number, crowded_out.clone()));
        HandshakeSlot {
            of: self.clone(),
            number,
            crowded_out,
        }
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut begun = self.of.begun.borrow_mut();
        let place = begun.binary_search_by_key(&self.number, |(number, _)| *number);
        if let Ok(place) = place {
            begun.remove(place);
        }
    }
}

/// Handshakes of one worker at once.
const MAX: usize = 256;
