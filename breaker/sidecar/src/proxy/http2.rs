//! Serves HTTP/2, by prior knowledge, on a connection.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::frames::Budgeted;
use super::front::RequestService;
use super::socket::Socket;
use super::worker::Worker;
use crate::message::client::{Client, Ends};
use crate::message::limited::Limit;
use crate::message::timers::{Deadline, Timers};
use crate::sockets::Stream;

/// Serves requests until the client leaves, is idle for up to twice [`super::Limits::keep_alive`],
/// owes the rest of something for too long, or the worker drains.
pub(crate) async fn serve(worker: Rc<Worker>, client: Rc<Client>, stream: Stream, ahead: Bytes) {
    let socket = Budgeted::new(Socket::new(stream, ahead, client.clone()), client.clone());
    let front = RequestService::new(worker.clone(), client.clone());
    let mut connection = pin!(worker.http2.serve_connection(TokioIo::new(socket), front));
    let mut drained = pin!(worker.drained());
    let keep_alive = worker.limits.keep_alive;
    let mut look = Deadline::new(Instant::now() + keep_alive, &worker.timers);
    let ends = client.ends();
    let mut end = ends.map(|ends| Deadline::new(ends.at, &worker.timers));
    let mut requests = 0;
    let mut is_ending = false;
    let mut half = Owed::new(worker.limits.header);
    let mut blocked = Owed::new(worker.limits.write);
    // Of an idle connection: a peer that takes nothing, or answers nothing, is not waited for.
    let mut farewell: Option<Deadline> = None;
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let timers = &worker.timers;
        if half.poll(client.owed_frame(), timers, cx).is_ready() {
            Limit::HeaderTimeout.acts();
            return Poll::Ready(());
        }
        let unwritten = client.write_blocked().then(|| client.writes());
        if blocked.poll(unwritten, timers, cx).is_ready() {
            Limit::WriteTimeout.acts();
            return Poll::Ready(());
        }
        while !is_ending {
            if drained.as_mut().poll(cx).is_ready() {
                is_ending = true;
            } else if let Some(limit) = reached(&mut end, ends, cx) {
                is_ending = true;
                limit.acts();
            } else if look.poll(cx).is_ready() {
                is_ending = client.is_idle() && client.requests() == requests;
                requests = client.requests();
                look.set(Instant::now() + keep_alive);
                if is_ending {
                    Limit::IdleTimeout.acts();
                    let until = Instant::now() + worker.limits.write;
                    farewell = Some(Deadline::new(until, timers));
                }
            } else {
                return Poll::Pending;
            }
            if is_ending {
                connection.as_mut().graceful_shutdown();
                if Pin::new(&mut connection).poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
        }
        match &mut farewell {
            Some(farewell) if client.is_idle() => farewell.poll(cx),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// The limit by which a connection takes no more requests, once it is reached.
fn reached(end: &mut Option<Deadline>, ends: Option<Ends>, cx: &mut Context<'_>) -> Option<Limit> {
    let is_ready = end.as_mut().is_some_and(|end| end.poll(cx).is_ready());
    ends.filter(|_| is_ready).map(|ends| ends.by)
}

/// Something that the peer owes, for so long at most: the rest of what it has begun, or room for
/// what we have.
struct Owed {
    limit: Duration,
    /// What it is, by its number, and by when it must be there.
    since: Option<(u32, Deadline)>,
}

impl Owed {
    fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// Ready when `what` has been owed for too long. Of another number it is another thing.
    fn poll(&mut self, what: Option<u32>, timers: &Rc<Timers>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(what) = what else {
            self.since = None;
            return Poll::Pending;
        };
        if self.since.as_ref().is_none_or(|(owed, _)| *owed != what) {
            let until = Instant::now() + self.limit;
            self.since = Some((what, Deadline::new(until, timers)));
        }
        match &mut self.since {
            Some((_, deadline)) => deadline.poll(cx),
            None => Poll::Pending,
        }
    }
}
