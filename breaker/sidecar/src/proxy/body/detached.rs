//! An exchange whose answer began before its upload had ended: it goes on by itself, within bounds.
//!
//! The caller may read nothing before it has sent everything, so the upload can't wait for the
//! answer to be read. The exchange ends when both are complete (then it goes back to its pool),
//! when the caller has left its answer, or a while after the answer is complete: then nobody needs
//! the rest of the upload (RFC 9112, 9.6).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::message::spawn::{Kind, LocalExecutor};
use crate::message::timers::{Deadline, Timers};
use crate::upstream::connections::Connections;
use crate::upstream::exchange::Exchange;

/// An exchange that goes on by itself. Dropped before [`complete`](Self::complete), it ends at
/// once.
pub(crate) struct Detached(oneshot::Sender<()>);

/// Counts one whose answer is complete, for as long as it lives.
struct Lingering;

thread_local! {
    static LINGERING: Cell<usize> = const { Cell::new(0) };
}

impl Detached {
    /// Lets an exchange go on; where it ends well, it goes back to where it belongs.
    pub(super) fn start(
        exchange: Box<Exchange>,
        connections: Rc<Connections>,
        timers: Rc<Timers>,
    ) -> Self {
        let (told, answered) = oneshot::channel();
        let run = run(exchange, connections, timers, answered);
        LocalExecutor::spawn(Kind::Upload, run);
        Self(told)
    }

    /// The answer is complete.
    pub(super) fn complete(self) {
        // One that has ended need not know.
        let _ = self.0.send(());
    }
}

async fn run(
    exchange: Box<Exchange>,
    connections: Rc<Connections>,
    timers: Rc<Timers>,
    mut answered: oneshot::Receiver<()>,
) {
    let mut exchange = Some(exchange);
    let mut lingers: Option<(Deadline, Lingering)> = None;
    poll_fn(|cx| {
        if let Some(driven) = &mut exchange {
            driven.drive(cx);
            if driven.is_ready() {
                if let Some(done) = exchange.take() {
                    connections.give_back(done);
                }
            } else if !driven.is_over() {
                if lingers.is_none()
                    && let Poll::Ready(told) = Pin::new(&mut answered).poll(cx)
                {
                    let (Ok(()), Some(lingering)) = (told, Lingering::begin()) else {
                        return Poll::Ready(());
                    };
                    let until = Deadline::new(Instant::now() + LINGER, &timers);
                    lingers = Some((until, lingering));
                }
                return match &mut lingers {
                    Some((until, _)) => until.poll(cx),
                    None => Poll::Pending,
                };
            }
        }
        Poll::Ready(())
    })
    .await;
}

impl Lingering {
    /// `None` where there are as many as there may be.
    fn begin() -> Option<Self> {
        let count = LINGERING.get();
        (count < LINGERING_MAX).then(|| {
            LINGERING.set(count + 1);
            Self
        })
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        LINGERING.set(LINGERING.get() - 1);
    }
}

/// How long an upload goes on after its answer is complete.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// How many do so at once on one worker.
const LINGERING_MAX: usize = 1024;
