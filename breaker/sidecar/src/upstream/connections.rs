//! One worker's connections to one endpoint.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::EndpointId;
use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::connect::{Connected, Way, connect};
use super::directory::NameSubscription;
use super::exchange::Exchange;
use super::instances::Instance;
use super::multiplex::{Multiplex, StreamSlot};
use super::shared::SharedConnections;
use super::{Endpoint, HeadLimits, Protocol, Upstream};
use crate::message::error::{ErrorKind, ProxyError};
use crate::sockets::Stream;
use crate::tls::{self, Alpn};

/// The connections to one endpoint.
pub(crate) struct Connections {
    id: EndpointId,
    endpoint: Endpoint,
    host: HeaderValue,
    /// Among the endpoints of its upstream.
    position: usize,
    upstream: Arc<Upstream>,
    head: HeadLimits,
    tcp_keepalive: Option<Duration>,
    /// The addresses of its name, if it has one.
    name: Option<NameSubscription>,
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
    shared: Rc<SharedConnections>,
    /// Whether the endpoint has ever answered by HTTP/2.
    speaks_http2: Cell<bool>,
    /// What a certificate of the endpoint must name, if it speaks TLS.
    server_name: Option<ServerName<'static>>,
    /// Which protocol the endpoint chose last, in TLS.
    chosen: Cell<Option<Alpn>>,
    /// The certificates that connections were made with.
    certificates: RefCell<Option<Arc<tls::Made>>>,
    /// How often there were others before.
    rotations: Cell<u64>,
    /// When a used connection last lost a request in doubt.
    doubted: Cell<Option<Instant>>,
    /// Whether a new connection has answered a request of that sort since.
    is_proved: Cell<bool>,
}

/// A new connection.
pub(crate) enum Opened {
    /// It is taken.
    Http1(Box<Exchange>),
    /// It is there, for this request and others.
    Http2,
}

impl Connections {
    pub(super) fn new(
        instance: &Instance,
        upstream: Arc<Upstream>,
        name: Option<NameSubscription>,
        (head, tcp_keepalive): (HeadLimits, Option<Duration>),
    ) -> Self {
        let endpoint = &instance.endpoint;
        // A request that names no host is for what was configured, not for one address of it.
        let configured = upstream.endpoints.get(instance.position);
        let configured = configured.unwrap_or(endpoint);
        let host = configured.authority();
        let is_secure = upstream.tls.is_some();
        Self {
            id: instance.id,
            endpoint: endpoint.clone(),
            host: HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static("")),
            position: instance.position,
            server_name: is_secure.then(|| configured.server_name()).flatten(),
            upstream,
            head,
            tcp_keepalive,
            name,
            turn: Cell::default(),
            idle: RefCell::default(),
            is_retired: Cell::new(false),
            shared: Rc::default(),
            speaks_http2: Cell::new(false),
            chosen: Cell::default(),
            certificates: RefCell::default(),
            rotations: Cell::default(),
            doubted: Cell::new(None),
            is_proved: Cell::new(false),
        }
    }

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
        let is_asked = self.chose_http2();
        let is_auto = self.upstream.protocol == Protocol::Auto;
        let guessed = is_auto && !is_asked && !self.speaks_http2.get();
        match error.kind() {
            ErrorKind::Terminated | ErrorKind::Protocol if guessed => {
                ProxyError::caused_by(ErrorKind::NotHttp2, error)
            }
            _ => error,
        }
    }

    /// Which endpoint of its upstream it is.
    pub(crate) const fn id(&self) -> EndpointId {
        self.id
    }

    /// Whether there is a connection that may be good.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty() || self.shared.has_room()
    }

    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.idle.take();
        self.shared.retire();
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

    /// Whether the endpoint chose HTTP/2 when it was last asked, in TLS.
    pub(crate) fn chose_http2(&self) -> bool {
        self.chosen.get() == Some(Alpn::Http2)
    }

    /// Whether the endpoint chose HTTP/1.1 when it was last asked, in TLS.
    pub(crate) fn chose_http1(&self) -> bool {
        self.chosen.get() == Some(Alpn::Http1)
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.upstream.tls.is_some()
    }

    /// A new connection, by HTTP/1.1 if it is to switch protocols, or else what the endpoint
    /// chooses.
    pub(super) async fn open(&self, is_switch: bool) -> Result<Opened, ProxyError> {
        let offered: &[_] = match self.upstream.protocol {
            Protocol::Auto if !is_switch => &[Alpn::Http2, Alpn::Http1],
            _ => &[Alpn::Http1],
        };
        self.follow_certificates();
        // Before it is made: it may be made with those of before.
        let rotations = self.rotations.get();
        let Connected { stream, chosen } = self.connect(offered).await?;
        if chosen == Some(Alpn::Http2) {
            let opened = self.share(stream).await?;
            self.shared.add(opened);
            return Ok(Opened::Http2);
        }
        let mut exchange = Exchange::open(stream, self.head).await?;
        exchange.rotations = rotations;
        if let Some(age) = self.upstream.max_connection_age {
            exchange.ages(self.jittered(age));
        }
        Ok(Opened::Http1(Box::new(exchange)))
    }

    /// A place for a stream on an HTTP/2 connection.
    pub(crate) async fn place(self: &Rc<Self>) -> Result<StreamSlot, ProxyError> {
        let open = || {
            let connections = self.clone();
            async move { connections.open_shared().await }
        };
        self.shared.let_go(|connection| !self.is_usable(connection));
        self.shared.place(open).await
    }

    async fn open_shared(&self) -> Result<Multiplex, ProxyError> {
        let offered: &[_] = match self.upstream.protocol {
            Protocol::Auto => &[Alpn::Http2, Alpn::Http1],
            _ => &[Alpn::Http2],
        };
        let Connected { stream, chosen } = self.connect(offered).await?;
        if chosen == Some(Alpn::Http1) {
            return Err(ErrorKind::NotHttp2.into());
        }
        self.share(stream).await
    }

    async fn share(&self, stream: Stream) -> Result<Multiplex, ProxyError> {
        let changed = self.shared.changed();
        let ping = self.upstream.http2_ping;
        let age = self.upstream.max_connection_age;
        let usable_until = age.map(|age| Instant::now() + self.jittered(age));
        let address = stream.peer_ip();
        let opened = Multiplex::open(stream, self.head, ping, changed).await?;
        Ok(opened.usable_at(address, usable_until))
    }

    /// ± 20 %: connections that were opened together do not end together.
    fn jittered(&self, age: Duration) -> Duration {
        let part = RandomState::new().hash_one(self.turn.get()) >> 40;
        age.mul_f64(0.8 + 0.4 * part as f64 / (1_u64 << 24) as f64)
    }

    /// A new connection; in TLS, one of the protocols is spoken there.
    async fn connect(&self, offered: &[Alpn]) -> Result<Connected, ProxyError> {
        let limit = self.upstream.connect_timeout;
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let way = Way {
            endpoint: &self.endpoint,
            name: self.name.as_ref(),
            turn,
            tcp_keepalive: self.tcp_keepalive,
            tls: self.upstream.tls.as_ref(),
            server_name: self.server_name.as_ref(),
        };
        let connected = connect(&way, offered, limit).await?;
        if offered.len() > 1 {
            self.chosen.set(connected.chosen);
        }
        Ok(connected)
    }

    /// Lets no request begin on connections that were made with other certificates than those of
    /// now.
    fn follow_certificates(&self) {
        let Some(tls) = &self.upstream.tls else {
            return;
        };
        let now = tls.generation();
        let before = self.certificates.replace(Some(now.clone()));
        if before.is_some_and(|before| !Arc::ptr_eq(&before, &now)) {
            self.rotations.set(self.rotations.get() + 1);
            self.idle.take();
            self.shared.let_go(|_| true);
        }
    }

    /// Gives a connection back for later use, if it is good for any.
    pub(crate) fn give_back(&self, mut exchange: Box<Exchange>) {
        let is_good = exchange.is_ready() || exchange.is_usable();
        let now = Instant::now();
        let is_good = is_good && !self.is_retired.get() && self.is_fresh(&exchange, now);
        if is_good && self.idle.borrow().len() < self.upstream.idle_connections {
            exchange.rest(now);
            self.idle.borrow_mut().push(exchange);
        }
    }

    pub(super) fn prune(&self, now: Instant) {
        self.follow_certificates();
        self.idle
            .borrow_mut()
            .retain_mut(|exchange| self.is_fresh(exchange, now) && exchange.is_usable());
        self.shared.let_go(|connection| !self.is_usable(connection));
        self.shared.prune(now, self.upstream.idle_timeout);
    }

    /// Whether the endpoint's name still stands for where a connection goes.
    fn is_current(&self, address: Option<IpAddr>) -> bool {
        let name = self.name.as_ref().zip(address);
        name.is_none_or(|(name, address)| name.has(address))
    }

    /// Whether an HTTP/2 connection takes further requests, by its age and by where it goes.
    fn is_usable(&self, connection: &Multiplex) -> bool {
        let (address, until) = connection.usable();
        until.is_none_or(|until| Instant::now() < until) && self.is_current(address)
    }

    /// Whether neither we nor the upstream have given up a connection for its age, for where it
    /// goes, or for the certificates that it was made with.
    fn is_fresh(&self, exchange: &Exchange, now: Instant) -> bool {
        let limit = self.upstream.idle_timeout;
        exchange
            .idle_since()
            .is_none_or(|since| now.duration_since(since) < limit)
            && exchange.idle_until.is_none_or(|until| now < until)
            && exchange.usable_until().is_none_or(|until| now < until)
            && exchange.rotations == self.rotations.get()
            && self.is_current(exchange.peer())
    }
}

/// How long used connections are not trusted with what can't be sent twice, after one has lost
/// something.
const WARY: Duration = Duration::from_secs(60);
