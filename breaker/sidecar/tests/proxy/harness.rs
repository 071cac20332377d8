//! A proxy, upstreams that do as they are told, and clients that send what they like.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_sidecar::message::{Finished, Recorder, Sent};
use breaker_sidecar::proxy::{
    Limits, Observers, Proxy, ProxySettings, Route, RouteTable, Running, Span, Tracer,
};
use breaker_sidecar::tls::Server;
use breaker_sidecar::upstream::{Endpoint, Names, Upstream};
use breaker_tower::{BreakerHandle, Decision, Policy, TraceContext};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take; never waited for in full unless a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running proxy with one route, `all`, unless said otherwise.
pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    pub(crate) breaker: BreakerHandle,
    pub(crate) finished: Arc<Mutex<Vec<String>>>,
    /// What was sent to endpoints, in the order of its end.
    pub(crate) sent: Arc<Mutex<Vec<String>>>,
    /// What the spans of requests were told, if they are traced.
    pub(crate) decisions: Arc<Mutex<Vec<Option<Decision>>>>,
    shutdown: watch::Sender<bool>,
    running: Option<Running>,
}

pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) route: fn(Route) -> Route,
    pub(crate) upstream: fn(Upstream) -> Upstream,
    pub(crate) grace: Duration,
    pub(crate) traced: bool,
    /// What the worker does with each head, before it looks at it and at its connections.
    pub(crate) at_head: Option<Hook>,
    /// What clients must speak.
    pub(crate) tls: Option<Server>,
}

pub(crate) type Hook = Arc<dyn Fn() + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            policy: Policy::builtin("sensitive").unwrap(),
            route: |route| route,
            upstream: |upstream| upstream,
            grace: Duration::from_millis(300),
            traced: false,
            at_head: None,
            tls: None,
        }
    }
}

struct Log {
    finished: Arc<Mutex<Vec<String>>>,
    sent: Arc<Mutex<Vec<String>>>,
}

impl Recorder for Log {
    fn record(&self, finished: &Finished<'_>) {
        let status = finished.status.map_or(0, |status| status.as_u16());
        let line = format!(
            "{:?} {} {status} {:?}",
            finished.route, finished.method, finished.error
        );
        self.finished.lock().unwrap().push(line);
    }

    fn sent(&self, sent: &Sent<'_>) {
        let status = sent.status.map_or(0, |status| status.as_u16());
        let line = format!(
            "{} {:?} {} {status} {:?}",
            sent.endpoint, sent.version, sent.method, sent.error
        );
        self.sent.lock().unwrap().push(line);
    }
}

/// Records every request.
struct Spans(Arc<Mutex<Vec<Option<Decision>>>>, Hook);

impl Tracer for Spans {
    fn begin(
        &self,
        _: Option<TraceContext>,
        _: &http::request::Parts,
        _: &http::HeaderValue,
    ) -> (TraceContext, Option<Box<dyn Span>>) {
        (self.1)();
        let context = TraceContext {
            trace_id: 1,
            span_id: 2,
            flags: 3,
        };
        (
            context,
            Some(Box::new(Self(self.0.clone(), self.1.clone()))),
        )
    }
}

impl Span for Spans {
    fn end(self: Box<Self>, _: &Finished<'_>, decision: Option<Decision>) {
        self.0.lock().unwrap().push(decision);
    }
}

impl Sidecar {
    /// One with the default options but for what `set` says.
    pub(crate) fn with(endpoint: SocketAddr, set: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        set(&mut options);
        Self::start(endpoint, options)
    }

    pub(crate) fn start(endpoint: SocketAddr, options: Options) -> Self {
        Self::to(patient(vec![Endpoint::Address(endpoint)]), options)
    }

    /// With this upstream.
    pub(crate) fn to(upstream: Upstream, options: Options) -> Self {
        let upstream = Arc::new((options.upstream)(upstream));
        let breaker = BreakerHandle::with_seed("all", options.policy, 1);
        let traced = options.traced.then(|| Arc::new(|| ()) as Hook);
        let mut route = Route::new(breaker.clone(), upstream);
        route.timeout = Some(PATIENCE);
        let route = (options.route)(route);
        Self::run(
            vec![route],
            breaker,
            options.limits,
            options.grace,
            Names::of_system(),
            options.at_head.or(traced),
            options.tls,
        )
    }

    /// With an upstream that is known by name.
    pub(crate) fn by_name(endpoint: Endpoint, names: Names) -> Self {
        Self::by_names(patient(vec![endpoint]), names)
    }

    /// With an upstream whose endpoints are looked up so.
    pub(crate) fn by_names(upstream: Upstream, names: Names) -> Self {
        let upstream = Arc::new(upstream);
        let breaker = BreakerHandle::with_seed("all", Policy::builtin("sensitive").unwrap(), 1);
        let route = Route::new(breaker.clone(), upstream);
        Self::run(
            vec![route],
            breaker,
            Limits::default(),
            Duration::ZERO,
            names,
            None,
            None,
        )
    }

    pub(crate) fn with_routes(
        routes: Vec<Route>,
        breaker: BreakerHandle,
        limits: Limits,
        grace: Duration,
    ) -> Self {
        Self::run(
            routes,
            breaker,
            limits,
            grace,
            Names::of_system(),
            None,
            None,
        )
    }

    /// With these routes, for clients that speak TLS.
    pub(crate) fn with_tls(
        routes: Vec<Route>,
        breaker: BreakerHandle,
        limits: Limits,
        tls: Server,
    ) -> Self {
        let names = Names::of_system();
        Self::run(
            routes,
            breaker,
            limits,
            Duration::ZERO,
            names,
            None,
            Some(tls),
        )
    }

    fn run(
        routes: Vec<Route>,
        breaker: BreakerHandle,
        limits: Limits,
        grace: Duration,
        names: Names,
        at_head: Option<Hook>,
        tls: Option<Server>,
    ) -> Self {
        let settings = ProxySettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            workers: 1,
            limits,
            table: Arc::new(RouteTable::new(routes).unwrap()),
            names,
            grace,
        };
        let proxy = Proxy::bind(settings).unwrap().secured(tls);
        let address = proxy.local_addr().tcp().unwrap();
        let (shutdown, receiver) = watch::channel(false);
        let finished = Arc::<Mutex<Vec<String>>>::default();
        let sent = Arc::<Mutex<Vec<String>>>::default();
        let (log, sent_log) = (finished.clone(), sent.clone());
        let decisions = Arc::<Mutex<Vec<Option<Decision>>>>::default();
        let told = decisions.clone();
        let observers = move |_: &RouteTable| {
            let log = Log {
                finished: log.clone(),
                sent: sent_log.clone(),
            };
            let at_head = at_head.clone();
            Observers::new(log).traced(at_head.map(|at_head| Spans(told.clone(), at_head)))
        };
        let running = proxy.start(&receiver, observers).unwrap();
        Self {
            address,
            breaker,
            finished,
            sent,
            decisions,
            shutdown,
            running: Some(running),
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends one request on a connection of its own; returns what comes until the connection is
    /// closed.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    /// The same, but returns after one response with a `Content-Length`.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.response().await
    }

    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    pub(crate) async fn ended(&mut self) {
        let running = self.running.take().unwrap();
        let joined = tokio::task::spawn_blocking(move || running.join());
        timeout(PATIENCE, joined)
            .await
            .expect("the proxy ends")
            .unwrap()
            .unwrap();
    }

    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let totals = self.breaker.snapshot().totals;
        (totals.success, totals.failure, totals.ignored)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.begin_shutdown();
    }
}

/// An upstream that may take its time to accept a connection, as may all in this process.
pub(crate) fn patient(endpoints: Vec<Endpoint>) -> Upstream {
    let mut upstream = Upstream::new("app", endpoints);
    upstream.connect_timeout = PATIENCE;
    upstream
}

/// An address where nobody listens, and that nobody else gets while this process runs.
pub(crate) fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// A client's raw connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads one response with a `Content-Length`, or none that has a body.
    pub(crate) async fn response(&mut self) -> String {
        let head = self.head().await;
        let mut body = vec![0; content_length(&head)];
        timeout(PATIENCE, self.0.read_exact(&mut body))
            .await
            .expect("a body")
            .unwrap();
        head + &String::from_utf8_lossy(&body)
    }

    pub(crate) async fn head(&mut self) -> String {
        read_head(&mut self.0).await.expect("a response")
    }

    /// Reads until the connection is closed, or reset.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let read = async {
            let mut piece = [0; 4096];
            while let Ok(size @ 1..) = self.0.read(&mut piece).await {
                all.extend_from_slice(&piece[..size]);
            }
        };
        timeout(PATIENCE, read)
            .await
            .expect("the connection is closed");
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// Reads a head up to its empty line; `None` if the connection ends before.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        Some(())
    };
    timeout(PATIENCE, read).await.expect("a head")?;
    Some(String::from_utf8(head).unwrap())
}

pub(crate) fn content_length(head: &str) -> usize {
    header(head, "content-length").map_or(0, |value| value.parse().unwrap())
}

/// A header's value.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
}

pub(crate) fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or(response)
}

/// An upstream: each connection is given to a script.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// The heads of the requests that came.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    /// Runs `script` with each connection.
    pub(crate) async fn raw<F, T>(script: F) -> Self
    where
        F: Fn(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(stream));
            }
        });
        Self {
            address,
            connections,
            heads: Arc::default(),
        }
    }

    /// Answers each request, after its body, with what `answer` makes of its head and body.
    pub(crate) async fn answering<F>(answer: F) -> Self
    where
        F: Fn(&str, &str) -> String + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let log = heads.clone();
        let origin = Self::raw(move |mut stream| {
            let (answer, log) = (answer.clone(), log.clone());
            async move {
                while let Some(head) = read_head(&mut stream).await {
                    log.lock().unwrap().push(head.clone());
                    let Some(body) = read_body(&mut stream, &head).await else {
                        return;
                    };
                    if stream
                        .write_all(answer(&head, &body).as_bytes())
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        })
        .await;
        Self { heads, ..origin }
    }

    /// Answers every request with `ok`.
    pub(crate) async fn ok() -> Self {
        Self::answering(|_, _| OK.to_owned()).await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Reads a request's body as its head says, chunked ones with their framing.
pub(crate) async fn read_body(stream: &mut TcpStream, head: &str) -> Option<String> {
    let mut body = Vec::new();
    if header(head, "transfer-encoding").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(stream.read_u8().await.ok()?);
        }
    } else {
        body.resize(content_length(head), 0);
        stream.read_exact(&mut body).await.ok()?;
    }
    Some(String::from_utf8_lossy(&body).into_owned())
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
