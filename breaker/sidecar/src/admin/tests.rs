use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::Classification;
use breaker_tower::{BreakerHandle, OnDrop, Policy};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::config::Token;
use crate::control::explain;
use crate::control::{AdminState, Pooling, Problem, Readiness, Reload, Tokens};
use crate::live::{self, Live};
use crate::proxy::{Route, RouteTable, Routes};
use crate::registry::{RegisteredBreaker, Registry};
use crate::report;
use crate::telemetry::{Environment, ExportSettings, Telemetry};
use crate::upstream::{Endpoint, Upstream};

/// A breaker that 20 failures opened, and that rejected one request.
pub(super) fn tripped() -> BreakerHandle {
    let pay = BreakerHandle::new("pay", Policy::sensitive());
    for _ in 0..20 {
        pay.try_acquire(OnDrop::Ignored)
            .unwrap()
            .finish(Classification::Failure);
    }
    pay.try_acquire(OnDrop::Ignored).unwrap_err();
    pay
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    readiness: Readiness,
    live: Live,
    shutdown: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with([RegisteredBreaker::from(&tripped())].into_iter().collect()).await
    }

    pub(crate) async fn with(registry: Registry) -> Self {
        Self::steered(registry, None, None).await
    }

    /// A server whose changes need this token, and whose configuration is loaded anew by this.
    pub(crate) async fn steered(
        registry: Registry,
        token: Option<Token>,
        reload: Option<Arc<dyn Reload>>,
    ) -> Self {
        Self::pooled(registry, token, reload, None).await
    }

    /// The same, in a fleet.
    pub(crate) async fn pooled(
        registry: Registry,
        token: Option<Token>,
        reload: Option<Arc<dyn Reload>>,
        fleet: Option<Arc<dyn Pooling>>,
    ) -> Self {
        let settings = ExportSettings::resolve(None, &Environment::default()).unwrap();
        let (telemetry, _) = Telemetry::start(settings, registry.watched()).unwrap();
        let readiness = Readiness::default();
        let live = Live::new(registry.watched());
        let reading = tokio::spawn(live.clone().run());
        let state = AdminState {
            registry,
            telemetry,
            live: live.clone(),
            routes: Some(routes()),
            readiness: readiness.clone(),
            tokens: Tokens::new(token),
            reload,
            sandbox: None,
            fleet,
            following: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, asked) = oneshot::channel();
        let ended = tokio::spawn(super::serve(state, listener, async move {
            asked.await.ok();
            reading.abort();
        }));
        Self {
            live,
            address,
            readiness,
            shutdown,
            ended,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String, String) {
        self.ask(path, &self.address.to_string()).await
    }

    /// Status, head and body.
    async fn ask(&self, path: &str, host: &str) -> (u16, String, String) {
        self.send("GET", path, host).await
    }

    pub(super) async fn send(&self, method: &str, path: &str, host: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head[9..12].parse().unwrap(),
            head.to_owned(),
            body.to_owned(),
        )
    }
}

#[tokio::test]
async fn readiness_is_that_of_the_proxy_and_a_drain_is_for_good() {
    let server = Server::start().await;
    assert_eq!(server.get("/livez").await.0, 200);
    assert_eq!(server.get("/readyz").await.0, 503);
    server.readiness.ready();
    assert_eq!(server.get("/readyz").await.0, 200);
    server.readiness.drain();
    server.readiness.ready();
    let (status, _, body) = server.get("/readyz").await;
    assert_eq!((status, &*body), (503, "draining\n"));
    assert_eq!(server.get("/livez").await.0, 200);
}

#[tokio::test]
async fn breakers_are_told_with_their_reason_and_window() {
    let server = Server::start().await;
    let (status, head, body) = server.get("/breakers").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let all: report::Breakers = serde_json::from_str(&body).unwrap();
    let [pay] = &all.breakers[..] else {
        panic!("{all:?}");
    };
    assert_eq!(
        (&*pay.name, pay.state.name(), pay.mode.name()),
        ("pay", "open", "auto")
    );
    assert_eq!(pay.reason.label, "error_rate");
    assert!(pay.open_remaining.unwrap() > 0.0);
    assert_eq!((pay.totals.failure, pay.totals.rejected), (20, 1));
    assert_eq!(pay.sources[0].source, "proxy");

    let (status, _, body) = server.get("/breakers/pay/report").await;
    let one: report::Breaker = serde_json::from_str(&body).unwrap();
    // Time goes on from one question to the next.
    let one = report::Breaker {
        lasted: pay.lasted,
        open_remaining: pay.open_remaining,
        tripped: one.tripped.map(|tripped| report::TripEvidence {
            lasted: pay.tripped.as_ref().unwrap().lasted,
            ..tripped
        }),
        ..one
    };
    assert_eq!((status, &one), (200, pay));
    assert_eq!(server.get("/breakers/none/report").await.0, 404);

    let (status, _, body) = server.get("/api/v1/breakers/pay/explanation").await;
    let told: explain::Explanation = serde_json::from_str(&body).unwrap();
    let why = "pay is open: its requests are rejected. ";
    assert!(status == 200 && told.text.starts_with(why), "{body}");
    let nowhere = server.get("/api/v1/breakers/none/explanation").await;
    assert_eq!(nowhere.0, 404);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = Server::start().await;
    let (status, head, body) = server.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        body.contains("breaker_state{breaker_name=\"pay\",breaker_state=\"open\"} 1"),
        "{body}"
    );
}

/// The test and the server are on one thread, as all of the admin port is.
#[tokio::test]
async fn a_health_check_does_not_wait_for_a_long_answer() {
    let policy = Arc::new(Policy::sensitive());
    let breakers = (0..3000).map(|number| {
        let name = format!("route-{number}");
        RegisteredBreaker::from(&BreakerHandle::new(name, policy.clone()))
    });
    let server = Server::with(breakers.collect()).await;
    for path in ["/breakers", "/api/v1/breakers", "/metrics"] {
        let mut long = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        long.write_all(request.as_bytes()).await.unwrap();
        // It has come, and is being answered.
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::select! {
            biased;
            _ = long.read_u8() => panic!("{path} was answered first"),
            (status, ..) = server.get("/livez") => assert_eq!(status, 200),
        }
        assert_eq!(long.read_u8().await.unwrap(), b'H', "{path}");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_and_answers_are_kept_from_other_sites() {
    let server = Server::start().await;
    for path in ["/breakers", "/none"] {
        assert_eq!(server.ask(path, "evil.example").await.0, 421);
        assert_eq!(server.ask(path, "evil.example:80").await.0, 421);
    }
    let (status, head, _) = server.ask("/breakers", "localhost:1").await;
    assert_eq!(status, 200);
    for header in [
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "{head}");
    }
}

#[tokio::test]
async fn a_connection_that_stops_in_the_preface_of_http2_does_not_hold_up_the_shutdown() {
    let server = Server::start().await;
    let mut halting = TcpStream::connect(server.address).await.unwrap();
    halting.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    assert_eq!(server.get("/livez").await.0, 200);
    server.shutdown.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.ended);
    ended.await.expect("an end in time").unwrap();
    assert_eq!(halting.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_shutdown() {
    let server = Server::start().await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/livez").await.0, 200);
    server.shutdown.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.ended);
    ended.await.expect("an end in time").unwrap();
}

/// An answer that does not end, without chunks: HTTP/1.0 has none.
struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn open(server: &Server) -> (String, Self) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "GET /api/v1/watch HTTP/1.0\r\nHost: {}\r\n\r\n",
            server.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head += &stream.line().await;
        }
        (head, stream)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        let read = tokio::time::timeout(Duration::from_secs(10), read);
        assert!(read.await.expect("a line in time").unwrap() > 0, "it ended");
        line
    }

    /// The next event of this name.
    async fn next(&mut self, name: &str) -> String {
        while self.line().await != format!("event: {name}\n") {}
        let data = self.line().await;
        data.strip_prefix("data: ").unwrap().trim_end().to_owned()
    }
}

#[tokio::test]
async fn a_watcher_is_told_all_at_once_each_second_and_what_happens() {
    let server = Server::start().await;
    let (head, mut stream) = Stream::open(&server).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let mut first = live::Reading::default();
    // There may have been no reading yet.
    while first.breakers.is_empty() {
        first = serde_json::from_str(&stream.next("snapshot").await).unwrap();
    }
    assert_eq!(first.breakers[0].state.name(), "open");
    let second: live::Changes = serde_json::from_str(&stream.next("changes").await).unwrap();
    assert!(second.t > first.t, "{} {}", first.t, second.t);
    assert!(second.breakers.len() <= 1 && second.points.len() == second.breakers.len());
    let told = live::Event::now(live::Kind::Reset, "pay".to_owned());
    server.live.tell(told.clone());
    let event: live::Event = serde_json::from_str(&stream.next("event").await).unwrap();
    assert_eq!(event, told);
}

#[tokio::test]
async fn the_sixty_fifth_watcher_is_told_to_come_back() {
    let server = Server::start().await;
    let watchers: Vec<_> = (0..64).map(|_| server.live.watch().unwrap()).collect();
    let (status, head, body) = server.get("/api/v1/watch").await;
    let problem: Problem = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &*problem.detail), (503, "64 watch already"));
    assert!(head.contains("retry-after: 5"), "{head}");
    drop(watchers);
    assert!(Stream::open(&server).await.0.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn the_place_of_a_watcher_that_leaves_is_free_again() {
    let server = Server::start().await;
    let watchers: Vec<_> = (0..63).map(|_| server.live.watch().unwrap()).collect();
    let (_, stream) = Stream::open(&server).await;
    assert!(server.live.watch().is_err());
    drop(stream);
    let freed = async {
        while server.live.watch().is_err() {
            tokio::task::yield_now().await;
        }
    };
    let freed = tokio::time::timeout(Duration::from_secs(10), freed);
    freed.await.expect("a free place");
    drop(watchers);
}

#[tokio::test]
async fn the_history_of_a_breaker_is_told() {
    let server = Server::start().await;
    let (_, mut stream) = Stream::open(&server).await;
    stream.next("snapshot").await;
    stream.next("snapshot").await;
    let (status, _, body) = server.get("/api/v1/breakers/pay/history").await;
    assert_eq!(status, 200);
    let history: live::History = serde_json::from_str(&body).unwrap();
    assert_eq!(history.points.last().unwrap().state, report::State::Open);
    assert_eq!(server.get("/api/v1/breakers/none/history").await.0, 404);
    let (status, _, body) = server
        .get("/api/v1/breakers/pay/history?source=proxy&since=1e12")
        .await;
    assert_eq!(status, 200);
    let none: live::History = serde_json::from_str(&body).unwrap();
    assert_eq!(none, live::History::default());
    for (query, status, rule) in [
        (
            "source=spans",
            422,
            "source: must be a source of pay: proxy",
        ),
        ("since=yesterday", 400, "since"),
        ("sinse=1", 400, "sinse"),
    ] {
        let path = format!("/api/v1/breakers/pay/history?{query}");
        let (told, _, body) = server.get(&path).await;
        assert_eq!(told, status, "{query}: {body}");
        assert!(body.contains(rule), "{query}: {body}");
    }
}

#[tokio::test]
async fn the_dashboard_runs_only_what_comes_with_it_and_is_asked_for_once() {
    let server = Server::start().await;
    let (status, head, body) = server.get("/").await;
    assert_eq!(status, 200);
    assert!(body.contains("/dashboard/main.js"), "{body}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'\r\n",
        "cache-control: no-cache",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    for (file, media_type) in [
        ("main.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let (status, head, _) = server.get(&format!("/dashboard/{file}")).await;
        assert_eq!(status, 200, "{file}");
        assert!(
            head.contains(&format!("content-type: {media_type}")),
            "{head}"
        );
    }
    assert_eq!(server.get("/dashboard/none.js").await.0, 404);
    assert_eq!(server.get("/dashboard/..%2f..%2fCargo.toml").await.0, 404);

    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    let host = format!("{}\r\nIf-None-Match: {}", server.address, tag.unwrap());
    let (status, head, body) = server.ask("/", &host).await;
    assert_eq!((status, &*body), (304, ""), "{head}");
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src"),
        "{head}"
    );
}

/// Where requests would go: to `pay`, which has three endpoints.
fn routes() -> Routes {
    let endpoints = [1, 2, 3].map(|port| Endpoint::new("127.0.0.1", port));
    let upstream = Arc::new(Upstream::new("pay", endpoints.into()));
    let breaker = BreakerHandle::new("pay", Policy::adaptive());
    let table = RouteTable::new(vec![Route::new(breaker, upstream)]).unwrap();
    Routes::of(Arc::new(table))
}
