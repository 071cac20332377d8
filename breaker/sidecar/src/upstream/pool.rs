//! One worker's connections to one upstream.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use socket2::SockRef;
use tokio::time::Instant;

use super::connect::{connect, keep_alive};
use super::directory::{Directory, Followed, Question};
use super::exchange::Exchange;
use super::multiplex::{Multiplex, Place};
use super::shared::Shared;
use super::{Endpoint, HeadLimits, Protocol, Upstream};
use crate::message::attempt::Attempt;
use crate::message::error::{ErrorKind, ProxyError};
use crate::sockets::Stream;

/// The connections of one worker to one upstream.
pub(crate) struct Pool {
    upstream: Arc<Upstream>,
    endpoints: Vec<Rc<Connections>>,
    next: Cell<usize>,
}

/// The connections to one endpoint.
pub(crate) struct Connections {
    endpoint: Endpoint,
    host: HeaderValue,
    /// Among the endpoints of its upstream.
    position: usize,
    upstream: Arc<Upstream>,
    head: HeadLimits,
    tcp_keepalive: Option<Duration>,
    /// The addresses of its name, if it has one.
    name: Option<Followed>,
    /// Which of them is the next one's.
    turn: Cell<usize>,
    /// Unused connections, the most recently used last.
    #[expect(
        clippy::vec_box,
        reason = "it is boxed wherever it goes, and moves at each request"
    )]
    idle: RefCell<Vec<Box<Exchange>>>,
    /// Whether connections are no longer kept.
    is_retired: Cell<bool>,
    /// The connections that HTTP/2 requests share.
    shared: Rc<Shared>,
    /// Whether the endpoint has ever answered by HTTP/2.
    speaks_http2: Cell<bool>,
    /// When a used connection last lost a request in doubt.
    doubted: Cell<Option<Instant>>,
    /// Whether a new connection has answered a request of that sort since.
    is_proved: Cell<bool>,
}

impl Pool {
    /// Makes a pool without connections.
    pub(crate) fn new(
        upstream: Arc<Upstream>,
        head: HeadLimits,
        tcp_keepalive: Option<Duration>,
        directory: &Directory,
    ) -> Self {
        let connections = |(position, endpoint): (usize, &Endpoint)| {
            Rc::new(Connections {
                endpoint: endpoint.clone(),
                host: HeaderValue::try_from(endpoint.authority())
                    .unwrap_or(HeaderValue::from_static("")),
                position,
                upstream: upstream.clone(),
                head,
                tcp_keepalive,
                name: match endpoint {
                    Endpoint::Name(host, _) => {
                        Some(directory.follow(&Question::Host(host.clone())))
                    }
                    Endpoint::Address(_) | Endpoint::Unix(_) => None,
                },
                turn: Cell::default(),
                idle: RefCell::default(),
                is_retired: Cell::new(false),
                shared: Rc::default(),
                speaks_http2: Cell::new(false),
                doubted: Cell::new(None),
                is_proved: Cell::new(false),
            })
        };
        let endpoints = upstream
            .endpoints
            .iter()
            .enumerate()
            .map(connections)
            .collect();
        Self {
            upstream,
            endpoints,
            next: Cell::new(0),
        }
    }

    pub(crate) const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The endpoint whose turn it is.
    pub(crate) fn pick(&self) -> Option<&Rc<Connections>> {
        if let [only] = &*self.endpoints {
            return Some(only);
        }
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        self.endpoints.get(turn.checked_rem(self.endpoints.len())?)
    }

    /// A new connection to `first`, or one to another endpoint if that can't be connected to; then
    /// `attempt` becomes an attempt at that one.
    pub(crate) async fn open(
        &self,
        first: Rc<Connections>,
        attempt: &mut Attempt,
    ) -> Result<(Box<Exchange>, Rc<Connections>), ProxyError> {
        let mut connections = first;
        let mut others = self.endpoints.len() - 1;
        loop {
            let failure = match connections.open().await {
                Ok(exchange) => return Ok((exchange, connections)),
                Err(failure) => failure,
            };
            let Some(next) = self.pick().filter(|_| others > 0) else {
                return Err(failure);
            };
            attempt.again(failure.kind(), next.position);
            connections = next.clone();
            others -= 1;
            if let Some(exchange) = connections.take_idle() {
                return Ok((exchange, connections));
            }
        }
    }

    /// The endpoint to which a request goes that `connections` did not take, and how many others
    /// there are.
    pub(crate) fn after(&self, connections: &Rc<Connections>) -> (Rc<Connections>, usize) {
        let next = (connections.position + 1) % self.endpoints.len();
        let next = self.endpoints.get(next).unwrap_or(connections);
        (next.clone(), self.endpoints.len() - 1)
    }

    /// Closes what is unused, and keeps nothing that is given back: no further requests will come.
    /// Those under way go on.
    pub(crate) fn retire(&self) {
        for connections in &self.endpoints {
            connections.is_retired.set(true);
            connections.idle.take();
            connections.shared.retire();
        }
    }

    /// Closes what has been unused for too long, or was closed by the upstream.
    pub(crate) fn prune(&self, now: Instant) {
        for connections in &self.endpoints {
            connections.prune(now);
        }
    }
}

impl Connections {
    /// The endpoint has answered by HTTP/2.
    pub(crate) fn answered_http2(&self) {
        self.speaks_http2.set(true);
    }

    /// Whether what can't be sent twice is to go over new connections.
    pub(crate) fn is_wary(&self) -> bool {
        let is_fresh = |at: Instant| at.elapsed() < WARY;
        let doubted = self.doubted.get();
        doubted.is_some_and(|at| is_fresh(at) || !self.is_proved.get())
    }

    /// A used connection has lost a request, and nothing tells whether it was received. Tells
    /// whether that is excused: once, until a new connection has shown that it is no fault of the
    /// request.
    pub(crate) fn excuses_loss(&self) -> bool {
        let is_excused = !self.is_wary();
        if is_excused {
            self.is_proved.set(false);
        }
        self.doubted.set(Some(Instant::now()));
        is_excused
    }

    /// A new connection has answered a request that can't be sent twice.
    pub(crate) fn is_proved(&self) {
        self.is_proved.set(true);
    }

    /// What an error of HTTP/2 is, where a caller's gRPC was why it was spoken: not the upstream's
    /// failure, if that never has answered so.
    pub(crate) fn http2_error(&self, error: ProxyError) -> ProxyError {
        let guessed = self.upstream.protocol == Protocol::Auto && !self.speaks_http2.get();
        match error.kind() {
            ErrorKind::Terminated | ErrorKind::Protocol if guessed => {
                ProxyError::caused_by(ErrorKind::NotHttp2, error)
            }
            _ => error,
        }
    }

    /// The endpoint's position in its upstream.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// An unused connection for a request that can't be sent twice: only one that was used
    /// recently, as the upstream may be about to close it.
    pub(crate) fn take_recent(&self) -> Option<Box<Exchange>> {
        if self.is_wary() {
            return None;
        }
        let youngest = self.idle.borrow().last()?.idle_since();
        let is_recent = youngest.is_none_or(|since| since.elapsed() < self.upstream.reuse_after);
        is_recent.then(|| self.take_idle()).flatten()
    }

    /// An unused connection, if there is a good one; one that is too old is closed.
    pub(crate) fn take_idle(&self) -> Option<Box<Exchange>> {
        loop {
            let mut exchange = self.idle.borrow_mut().pop()?;
            if self.is_fresh(&exchange, Instant::now()) && exchange.is_usable() {
                return Some(exchange);
            }
        }
    }

    /// What `Host` says where the caller named none.
    pub(crate) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    /// The bounds of a response's head.
    pub(crate) fn head(&self) -> HeadLimits {
        self.head
    }

    /// A new connection.
    async fn open(&self) -> Result<Box<Exchange>, ProxyError> {
        let stream = self.connect().await?;
        Exchange::open(stream, self.head).await.map(Box::new)
    }

    /// A place for a stream on an HTTP/2 connection.
    pub(crate) async fn place(self: &Rc<Self>) -> Result<Place, ProxyError> {
        let open = || {
            let connections = self.clone();
            async move { connections.open_shared().await }
        };
        self.shared.place(open).await
    }

    async fn open_shared(&self) -> Result<Multiplex, ProxyError> {
        let stream = self.connect().await?;
        let changed = self.shared.changed();
        Multiplex::open(stream, self.head, self.upstream.http2_ping, changed).await
    }

    async fn connect(&self) -> Result<Stream, ProxyError> {
        let limit = self.upstream.connect_timeout;
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let stream = connect(&self.endpoint, self.name.as_ref(), turn, limit).await?;
        if let (Some(time), Stream::Tcp(stream)) = (self.tcp_keepalive, &stream) {
            keep_alive(&SockRef::from(stream), time);
        }
        Ok(stream)
    }

    /// Gives a connection back for later use, if it is good for any.
    pub(crate) fn give_back(&self, mut exchange: Box<Exchange>) {
        let is_good = exchange.is_ready() || exchange.is_usable();
        let is_good = is_good && !self.is_retired.get() && self.is_current(&exchange);
        if is_good && self.idle.borrow().len() < self.upstream.idle_connections {
            exchange.rest(Instant::now());
            self.idle.borrow_mut().push(exchange);
        }
    }

    fn prune(&self, now: Instant) {
        self.idle
            .borrow_mut()
            .retain_mut(|exchange| self.is_fresh(exchange, now) && exchange.is_usable());
        self.shared.prune(now, self.upstream.idle_timeout);
    }

    /// Whether the endpoint's name still stands for where the connection goes.
    fn is_current(&self, exchange: &Exchange) -> bool {
        let name = self.name.as_ref().zip(exchange.peer());
        name.is_none_or(|(name, address)| name.has(address))
    }

    /// Whether neither we nor the upstream have given up a connection for its age, or for where it
    /// goes.
    fn is_fresh(&self, exchange: &Exchange, now: Instant) -> bool {
        let limit = self.upstream.idle_timeout;
        exchange
            .idle_since()
            .is_none_or(|since| now.duration_since(since) < limit)
            && exchange.idle_until.is_none_or(|until| now < until)
            && self.is_current(exchange)
    }
}

/// How long used connections are not trusted with what can't be sent twice, after one has lost
/// something.
const WARY: Duration = Duration::from_secs(60);
