//! One HTTP/1.1 connection to an endpoint, driven by the request that uses it.
//!
//! hyper's connection is a future that somebody must poll. Spawning it costs two wake-ups across
//! tasks per request; here the request polls it itself, so a request from socket to socket is one
//! task. A connection that nobody uses is not polled: whether it is still good is found out when it
//! is taken, by one poll without a system call.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use tokio::time::{Instant, timeout};

use super::HeadLimits;
use super::line::{Line, Traffic};
use crate::message::body::{RequestBody, buffer};
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::upgrade::Upgraded;
use crate::sockets::{Alert, Stream};
use crate::tls::failure::refuses;

/// A connection to an endpoint.
pub(crate) struct Exchange {
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Line>, RequestBody>,
    is_over: bool,
    traffic: Rc<Traffic>,
    /// The upstream's address; `None` of a Unix socket.
    peer: Option<IpAddr>,
    /// Of a connection in TLS.
    alert: Option<Alert>,
    /// When it was last given back; `None` while it has served nothing.
    idle_since: Option<Instant>,
    /// When it is too old to be used again, unless it is used before.
    pub(crate) idle_until: Option<Instant>,
    /// When it is too old to be used again.
    usable_until: Option<Instant>,
    /// With which certificates it was made: how often there were others before.
    pub(crate) rotations: u64,
}

impl Exchange {
    /// Starts HTTP/1.1 on a connection.
    pub(crate) async fn open(stream: Stream, head: HeadLimits) -> Result<Self, ProxyError> {
        let traffic = Rc::<Traffic>::default();
        let peer = stream.peer_ip();
        let alert = stream.alert();
        let handshake = Builder::new()
            .max_headers(head.fields)
            .max_header_size(head.bytes)
            .max_buf_size(buffer(head.bytes))
            .handshake(TokioIo::new(Line::new(stream, traffic.clone())));
        let (sender, connection) = handshake
            .await
            .map_err(|error| ProxyError::caused_by(ErrorKind::Internal, error))?;
        Ok(Self {
            sender,
            connection,
            is_over: false,
            traffic,
            peer,
            alert,
            idle_since: None,
            idle_until: None,
            usable_until: None,
            rotations: 0,
        })
    }

    /// Sends a request; what is returned is its response's head, once the exchange is driven.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.traffic.begin();
        self.sender.try_send_request(request)
    }

    /// Moves the exchange on; an error of the connection is told to the request that it hits.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.is_over {
            self.is_over = self.connection.poll_without_shutdown(cx).is_ready();
        }
    }

    /// Whether the connection has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether a byte of the last request's answer has come.
    pub(crate) fn has_read(&self) -> bool {
        self.traffic.has_read.get()
    }

    /// The alert of TLS by which the upstream has refused the connection, if it has: it read
    /// nothing of the request.
    pub(crate) fn refusal(&self) -> Option<AlertDescription> {
        let alert = self.alert.as_ref().and_then(Alert::heard);
        let is_new = self.idle_since.is_none() && !self.has_read();
        alert.filter(|alert| is_new && refuses(*alert))
    }

    /// Whether the last exchange is complete, as far as is known without looking.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_over && self.sender.is_ready()
    }

    /// Whether another request may be sent: the last exchange is complete and the upstream has not
    /// closed.
    pub(crate) fn is_usable(&mut self) -> bool {
        if !self.is_over {
            self.drive(&mut Context::from_waker(Waker::noop()));
        }
        self.is_ready()
    }

    /// Marks the connection as unused from `now` on.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.idle_since = Some(now);
    }

    /// The upstream's address; `None` of a Unix socket.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Lets no request begin on it when it has this age.
    pub(crate) fn ages(&mut self, age: Duration) {
        self.usable_until = Some(Instant::now() + age);
    }

    /// When it is too old to be used again.
    pub(crate) fn usable_until(&self) -> Option<Instant> {
        self.usable_until
    }

    /// How long the connection has been unused; `None` if it is new.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Whether the upstream had closed the connection before the last request came to it, so that
    /// nobody can have read any of that. Asked after the connection's end.
    ///
    /// An upstream that has read all there is and closes, or dies, ends the connection in order and
    /// no more is heard of it. One that leaves a part unread resets it. Only what comes to it after
    /// the close is refused with a reset that follows an end in order, which Linux tells as a
    /// broken pipe. The reset takes a round trip, and the request must have gone in one piece: of
    /// several, the upstream may have read the first.
    pub(crate) async fn was_closed_before(self) -> bool {
        let Traffic {
            writes,
            written,
            was_closed,
            ..
        } = &*self.traffic;
        if writes.get() == 0 {
            return true;
        }
        if writes.get() > 1 || written.get() > ONE_PIECE {
            return false;
        }
        if was_closed.get() {
            return true;
        }
        let stream = self.connection.into_parts().io.into_inner().into_stream();
        let refused = || match stream.take_error() {
            Ok(Some(error)) => Some(error.kind() == io::ErrorKind::BrokenPipe),
            _ => None,
        };
        if let Some(refused) = refused() {
            return refused;
        }
        // Late or not, what counts is what the socket says then.
        let _ = timeout(ROUND_TRIP, stream.broken()).await;
        refused().unwrap_or(false)
    }

    /// Takes the connection out of HTTP, after a response that switched protocols.
    pub(crate) async fn upgrade(mut self) -> hyper::Result<Upgraded> {
        if !self.is_over {
            poll_fn(|cx| self.connection.poll_without_shutdown(cx)).await?;
        }
        let parts = self.connection.into_parts();
        Ok(Upgraded {
            stream: parts.io.into_inner().into_stream(),
            ahead: parts.read_buf,
        })
    }
}

/// What TCP sends at once after a pause (RFC 6928): no upstream reads, and ends, between two
/// segments of it.
const ONE_PIECE: usize = 14_600;

/// How long a reset may take.
const ROUND_TRIP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
