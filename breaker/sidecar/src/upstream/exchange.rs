//! One HTTP/1.1 connection to an endpoint, driven by the request that uses it.
//!
//! hyper's connection is a future that somebody must poll. Spawning it costs two wake-ups across tasks per request;
//! here the request polls it itself, so a request from socket to socket is one task. A connection that nobody uses
//! is not polled: whether it is still good is found out when it is taken, by one poll without a system call.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::HeadLimits;
use super::line::Line;
use crate::proxy::body::RequestBody;
use crate::proxy::error::{ErrorKind, ProxyError};
use crate::proxy::upgrade::Upgraded;

/// A connection to an endpoint.
pub(crate) struct Exchange {
    sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Line>, RequestBody>,
    is_over: bool,
    /// Whether anything was read since the last request.
    has_read: Rc<Cell<bool>>,
    /// When it was last given back; `None` while it has served nothing.
    idle_since: Option<Instant>,
    /// When it is too old to be used again.
    pub(crate) idle_until: Option<Instant>,
}

impl Exchange {
    /// Starts HTTP/1.1 on a connection.
    pub(crate) async fn open(stream: TcpStream, head: HeadLimits) -> Result<Self, ProxyError> {
        let has_read = Rc::<Cell<bool>>::default();
        let handshake = Builder::new()
            .max_headers(head.fields)
            .max_header_size(head.bytes)
            .handshake(TokioIo::new(Line::new(stream, has_read.clone())));
        let (sender, connection) = handshake
            .await
            .map_err(|error| ProxyError::caused_by(ErrorKind::Internal, error))?;
        Ok(Self {
            sender,
            connection,
            is_over: false,
            has_read,
            idle_since: None,
            idle_until: None,
        })
    }

    /// Sends a request; what is returned is its response's head, once the exchange is driven.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.has_read.set(false);
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
        self.has_read.get()
    }

    /// Whether the last exchange is complete, as far as is known without looking.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_over && self.sender.is_ready()
    }

    /// Whether another request may be sent: the last exchange is complete and the upstream has not closed.
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

    /// How long the connection has been unused; `None` if it is new.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
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
