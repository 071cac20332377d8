//! One HTTP/2 connection to an endpoint, shared by all requests of a worker.

use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::HeadLimits;
use super::pool::Connections;
use crate::message::body::RequestBody;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::spawn::{Kind, LocalExecutor};

/// A handle on an HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Multiplex {
    sender: SendRequest<RequestBody>,
}

impl Multiplex {
    /// Starts HTTP/2 on a connection.
    pub(crate) async fn open(stream: TcpStream, head: HeadLimits) -> Result<Self, ProxyError> {
        let handshake = Builder::new(LocalExecutor(Kind::Upstream))
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(PING_INTERVAL))
            .keep_alive_timeout(PING_TIMEOUT)
            .max_header_list_size(list_size(head))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake
            .await
            .map_err(|error| ProxyError::caused_by(ErrorKind::Protocol, error))?;
        LocalExecutor::spawn(Kind::Upstream, async move {
            // An error of the connection is told to each request that it hits.
            let _ = connection.await;
        });
        Ok(Self { sender })
    }

    /// The connection to this endpoint, made if there is none.
    pub(crate) async fn of(connections: &Connections) -> Result<Self, ProxyError> {
        if let Some(shared) = Self::open_one(connections) {
            return Ok(shared);
        }
        let _turn = connections.opening.acquire().await;
        if let Some(shared) = Self::open_one(connections) {
            return Ok(shared);
        }
        let opened = connections.open_shared().await?;
        *connections.shared.borrow_mut() = Some(opened.clone());
        Ok(opened)
    }

    fn open_one(connections: &Connections) -> Option<Self> {
        connections
            .shared
            .borrow()
            .as_ref()
            .filter(|shared| !shared.sender.is_closed())
            .cloned()
    }

    /// Sends a request and waits for its response's head.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.sender.try_send_request(request)
    }
}

/// What HTTP/2 is to take of a head, by its own way of counting; what is over our limits is told apart by us.
fn list_size(head: HeadLimits) -> u32 {
    let overhead = head.fields.saturating_mul(32);
    let size = head.bytes.saturating_add(overhead).saturating_mul(2);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// How often a silent upstream is asked whether it is alive.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes in flight on one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes in flight on the connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
