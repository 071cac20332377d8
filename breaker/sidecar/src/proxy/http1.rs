//! Serves HTTP/1 on a connection that has something to say, until it falls silent.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep};

use super::front::RequestService;
use super::limits::Limits;
use super::respond;
use super::socket::{PeekHandle, Peer, Socket};
use super::worker::Worker;
use crate::message::client::Client;
use crate::message::limited::Limit;
use crate::message::upgrade::Upgraded;
use crate::sockets::Stream;

/// What becomes of a connection.
pub(crate) enum Next {
    /// It is idle.
    Park(Stream),
    /// It is over, but the peer may still be sending.
    Linger(Stream),
    /// It has left HTTP: the client's side, and the upstream's.
    Tunnel(Upgraded, Upgraded),
    /// It is over.
    Closed,
}

/// Why hyper's connection is left.
enum End {
    Over(hyper::Result<()>),
    Idle,
    Late,
    Stuck,
    Gone,
}

/// Serves requests; `ahead` is what was read from the connection before.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    mut stream: Stream,
    mut ahead: Bytes,
) -> Next {
    let _served = worker.unparked();
    loop {
        let socket = Socket::new(stream, ahead, client.clone());
        let peephole = socket.peephole();
        let front = RequestService::new(worker.clone(), client.clone());
        let mut connection = worker.http1.serve_connection(TokioIo::new(socket), front);
        let mut watch = ConnectionMonitor::new(&worker.limits);
        let end = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
            Poll::Ready(result) => Poll::Ready(End::Over(result)),
            Poll::Pending => watch.poll(cx, worker, client, &peephole),
        })
        .await;
        drop(peephole);
        let parts = connection.into_parts();
        let Some(taken) = parts.io.into_inner().into_stream() else {
            return Next::Closed;
        };
        stream = taken;
        ahead = parts.read_buf;
        return match end {
            End::Idle if ahead.is_empty() => Next::Park(stream),
            // The beginning of another request was read together with the last one.
            End::Idle => continue,
            End::Late => {
                Limit::HeaderTimeout.acts();
                // One attempt: a socket that has no room for this has a peer that does not read.
                let _ = stream.try_write(respond::REQUEST_TIMEOUT);
                refused(worker, StatusCode::REQUEST_TIMEOUT);
                Next::Linger(stream)
            }
            End::Stuck => {
                Limit::WriteTimeout.acts();
                Next::Closed
            }
            End::Gone => Next::Closed,
            End::Over(result) => match (client.take_upgrade(), result) {
                (Some(upstream), Ok(())) => Next::Tunnel(Upgraded { stream, ahead }, upstream),
                (_, Err(error)) if error.is_parse() => {
                    if error.is_parse_too_large() {
                        Limit::MaxHeaderBytes.acts();
                        refused(worker, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
                    } else {
                        refused(worker, StatusCode::BAD_REQUEST);
                    }
                    Next::Linger(stream)
                }
                (_, Err(error)) => {
                    if error.is_user() {
                        // A response broke off; where its end is the connection's, a reset tells
                        // that it is not whole.
                        let _ = stream.set_zero_linger();
                    }
                    Next::Closed
                }
                // In TLS the end is said.
                (_, Ok(())) if client.lingers() || client.is_secure() => Next::Linger(stream),
                (_, Ok(())) => Next::Closed,
            },
        };
    }
}

/// Tells the access log of a head that no request was made of, and what was answered.
fn refused(worker: &Worker, status: StatusCode) {
    if let Some(access) = &worker.generation().observing.access {
        access.refused(status);
    }
}

/// Looks at a connection: whether it is idle, whether the peer is too slow, and whether it went
/// away meanwhile. hyper could see the last too, but to that end it would reserve a buffer for each
/// request.
///
/// The alarm is not set for each request, it rings every [`Limits::park_after`] while the
/// connection is quiet, so what it measures is exact to that much.
struct ConnectionMonitor<'a> {
    limits: &'a Limits,
    alarm: Pin<Box<Sleep>>,
    /// Requests seen at the last look.
    requests: u32,
    /// The number of requests at which the peer sent more before it had its answer.
    pipelined_at: u32,
    /// Since when the peer has sent its last byte and taken none of ours, and what was written
    /// until then.
    half_closed: Option<(Instant, u32)>,
    /// Since when the peer has owed us bytes, or room for ours.
    slow_since: Option<Instant>,
}

impl<'a> ConnectionMonitor<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            alarm: Box::pin(sleep(limits.park_after)),
            requests: 0,
            pipelined_at: 0,
            half_closed: None,
            slow_since: None,
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        client: &Client,
        peephole: &PeekHandle,
    ) -> Poll<End> {
        if client.is_idle() {
            if client.take_left_unread() {
                // hyper has not seen it yet: it drains what is there already, or ends the
                // connection.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if worker.is_crowded() && is_silent(client) {
                return Poll::Ready(End::Idle);
            }
        } else if self.pipelined_at != client.requests() {
            match peephole.poll_peer(cx) {
                Poll::Ready(Peer::Gone) => return Poll::Ready(End::Gone),
                Poll::Ready(Peer::Closed) if self.half_closed.is_none() => {
                    let now = Instant::now();
                    self.half_closed = Some((now, client.writes()));
                    let look = now + self.limits.half_closed.min(BUSY);
                    self.alarm.as_mut().reset(look);
                }
                // What it does not read tells whether it is there.
                Poll::Ready(Peer::Closed) => {}
                // The next request. What comes after it can't be seen before it is read.
                Poll::Ready(Peer::Sends) => self.pipelined_at = client.requests(),
                Poll::Pending => {}
            }
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let now = Instant::now();
            let is_new = client.requests() != self.requests;
            self.requests = client.requests();
            if is_new {
                self.slow_since = None;
            } else if is_silent(client) {
                return Poll::Ready(End::Idle);
            }
            if client.write_blocked() {
                if self.is_slow(now, self.limits.write) {
                    return Poll::Ready(End::Stuck);
                }
            } else if client.is_idle() && client.has_partial_head() {
                if self.is_slow(now, self.limits.header) {
                    return Poll::Ready(End::Late);
                }
            } else {
                self.slow_since = None;
            }
            if let Some((since, writes)) = &mut self.half_closed {
                if *writes != client.writes() {
                    (*since, *writes) = (now, client.writes());
                } else if !client.write_blocked()
                    && now.duration_since(*since) >= self.limits.half_closed
                {
                    Limit::HalfClosedTimeout.acts();
                    return Poll::Ready(End::Gone);
                }
            }
            let pause = match self.half_closed {
                _ if client.is_idle() => self.limits.park_after,
                Some(_) => BUSY.min(self.limits.half_closed.max(self.limits.park_after)),
                None => BUSY,
            };
            self.alarm.as_mut().reset(now + pause);
        }
    }

    fn is_slow(&mut self, now: Instant, limit: Duration) -> bool {
        now.duration_since(*self.slow_since.get_or_insert(now)) >= limit
    }
}

fn is_silent(client: &Client) -> bool {
    client.is_idle() && !client.has_partial_head() && !client.write_blocked()
}

/// How often a connection with requests in flight is looked at.
const BUSY: Duration = Duration::from_secs(1);
