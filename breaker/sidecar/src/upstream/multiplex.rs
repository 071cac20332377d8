//! One HTTP/2 connection to an endpoint, shared by all requests of a worker.

use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::HeadLimits;
use super::pool::Connections;
use super::settings::{HeaderLimit, overheard};
use crate::message::body::RequestBody;
use crate::message::error::{ErrorKind, ProxyError};
use crate::message::spawn::{Kind, LocalExecutor};
use crate::sockets::Stream;

/// A handle on an HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Multiplex {
    sender: SendRequest<RequestBody>,
    header_limit: HeaderLimit,
}

impl Multiplex {
    /// Starts HTTP/2 on a connection.
    pub(crate) async fn open(stream: Stream, head: HeadLimits) -> Result<Self, ProxyError> {
        let (stream, header_limit) = overheard(stream);
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
        Ok(Self {
            sender,
            header_limit,
        })
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

    /// Whether the endpoint takes the header section of `request`, as far as it has said.
    pub(crate) fn takes(&self, request: &Request<RequestBody>) -> bool {
        let Some(limit) = self.header_limit.get() else {
            return true;
        };
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD);
        let uri = request.uri();
        let path = uri
            .path_and_query()
            .map_or(1, |target| target.as_str().len());
        let host = uri.authority().map_or(0, |host| host.as_str().len());
        // `:method`, `:scheme`, `:authority` and `:path`, the scheme being `http`.
        let names = 7 + 7 + 10 + 5 + 4 * FIELD_OVERHEAD + 4;
        let size = names + request.method().as_str().len() + path + host + fields.sum::<usize>();
        size <= limit as usize
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

/// What HTTP/2 is to take of a head, by its own way of counting; what is over our limits is told
/// apart by us.
fn list_size(head: HeadLimits) -> u32 {
    let overhead = head.fields.saturating_mul(32);
    let size = head.bytes.saturating_add(overhead).saturating_mul(2);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// What each field counts for beside its name and value (RFC 9113, 6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// How often a silent upstream is asked whether it is alive.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes in flight on one stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes in flight on the connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
