//! A request on a client's HTTP/2 connection, which ends when its client takes nothing of the
//! answer for too long.
//!
//! hyper asks a body for more only while the client's window has room, so a client that grants none
//! leaves the body alone, and with it the upstream's connection and the places of the request.
//! Nothing of hyper tells that. So the outermost body notes on its thread whether it was asked or
//! has handed something on, and the task looks at it after each poll.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::Executor;
use tokio::time::Instant;

use crate::message::limited::Limit;
use crate::message::spawn::{Kind, LocalExecutor};
use crate::message::timers::{Deadline, Timers};

/// Spawns the requests of HTTP/2 connections, each within the time that its client may take
/// nothing.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    write: Duration,
    timers: Rc<Timers>,
}

/// What a body did last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing, in this poll.
    Nothing,
    /// It was asked for more, and waits for its upstream.
    Asked,
    /// It has handed on a piece, or the head before it: the client has to take that before it is
    /// asked again.
    HandedOn,
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last::Nothing) };
}

/// The body of an answer is asked for more.
pub(crate) fn is_asked() {
    LAST.set(Last::Asked);
}

/// The head of an answer, or a piece of its body, is handed on.
pub(crate) fn hands_on() {
    LAST.set(Last::HandedOn);
}

/// Leaves of `data` what is handed on as one piece, and returns the rest. How much of a piece the
/// client has taken can't be seen, so a client that reads slowly would seem to take nothing of a
/// large one.
pub(crate) fn split(data: &mut Bytes) -> Bytes {
    if data.len() > PIECE {
        data.split_off(PIECE)
    } else {
        Bytes::new()
    }
}

impl Streams {
    pub(crate) fn new(write: Duration, timers: &Rc<Timers>) -> Self {
        Self {
            write,
            timers: timers.clone(),
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        let Self { write, timers } = self.clone();
        LocalExecutor::spawn(Kind::Stream, async move {
            let mut future = pin!(future);
            let mut untaken: Option<Deadline> = None;
            poll_fn(|cx| {
                LAST.set(Last::Nothing);
                if future.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match LAST.get() {
                    Last::Nothing => {}
                    Last::Asked => untaken = None,
                    Last::HandedOn => {
                        let until = Instant::now() + write;
                        untaken = Some(Deadline::new(until, &timers));
                    }
                }
                let Some(untaken) = &mut untaken else {
                    return Poll::Pending;
                };
                // Dropped, the stream is reset, and its request ends as one that its caller has
                // left.
                untaken.poll(cx).map(|()| Limit::WriteTimeout.acts())
            })
            .await;
        });
    }
}

/// Bytes of an answer that a client has to take within the time, at the most.
const PIECE: usize = 32 * 1024;
