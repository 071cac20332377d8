//! Callers that go on asking, each on a connection of its own that it keeps.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tests::eventually;
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Load that goes on until it is ended.
pub(crate) struct Load {
    callers: JoinSet<()>,
    shared: Arc<Shared>,
    began: Instant,
}

/// What callers ask for, and how often.
pub(crate) struct Shape {
    pub(crate) callers: u64,
    /// The time from one request of a caller to its next; longer if the answer takes longer.
    pub(crate) each: Duration,
    pub(crate) method: Method,
    pub(crate) body: &'static [u8],
}

/// What callers got so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Answers of 200, by the endpoint that gave them.
    pub(crate) good: BTreeMap<String, u64>,
    /// Everything else, with the URI.
    pub(crate) bad: Vec<(String, String)>,
    pub(crate) seconds: f64,
}

struct Shared {
    tally: Mutex<Tally>,
    over: AtomicBool,
    next: AtomicU64,
}

impl Shape {
    /// So many GETs a second by so many callers.
    pub(crate) fn gets(callers: u64, a_second: u64) -> Self {
        Self {
            callers,
            each: Duration::from_secs(callers) / a_second as u32,
            method: Method::GET,
            body: b"",
        }
    }
}

impl Load {
    /// Begins to ask for `base`, followed by a number that differs from request to request.
    pub(crate) fn start(base: &Uri, shape: &Shape) -> Self {
        let shared = Arc::new(Shared {
            tally: Mutex::default(),
            over: AtomicBool::new(false),
            next: AtomicU64::new(0),
        });
        let mut callers = JoinSet::new();
        for _ in 0..shape.callers {
            let (base, shared) = (base.clone(), shared.clone());
            let (each, method, body) = (shape.each, shape.method.clone(), shape.body);
            callers.spawn(async move { call(base, each, method, body, &shared).await });
        }
        Self {
            callers,
            shared,
            began: Instant::now(),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.shared.tally.lock().unwrap().clone();
        tally.seconds = self.began.elapsed().as_secs_f64();
        tally
    }

    /// Waits for so many more answers.
    pub(crate) async fn more(&self, answers: u64) -> Tally {
        let until = self.tally().all() + answers;
        eventually!(self.tally().all() >= until, "{:?}", self.tally());
        self.tally()
    }

    /// Ends it after the answers that are awaited; what there was in all.
    pub(crate) async fn end(mut self) -> Tally {
        self.shared.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        self.tally()
    }
}

impl Tally {
    pub(crate) fn all(&self) -> u64 {
        self.good.values().sum::<u64>() + self.bad.len() as u64
    }

    /// The good answers of one endpoint.
    pub(crate) fn of(&self, endpoint: SocketAddr) -> u64 {
        let count = self.good.get(&endpoint.to_string());
        count.copied().unwrap_or_default()
    }

    /// The good answers of one endpoint since `before`, as a share of all.
    pub(crate) fn share(&self, endpoint: SocketAddr, before: &Self) -> f64 {
        let own = self.of(endpoint) - before.of(endpoint);
        let all: u64 = self.good.values().sum::<u64>() - before.good.values().sum::<u64>();
        own as f64 / all.max(1) as f64
    }

    pub(crate) fn a_second(&self) -> f64 {
        self.all() as f64 / self.seconds
    }
}

async fn call(base: Uri, each: Duration, method: Method, body: &'static [u8], shared: &Shared) {
    // A caller that sends again by itself would hide what is lost.
    let client = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http();
    let mut ticks = interval(each);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let uri = format!("{base}{number}");
        let request = Request::builder()
            .method(&method)
            .uri(&uri)
            .body(Full::new(Bytes::from_static(body)));
        let answer = ask(&client, request.unwrap()).await;
        let mut tally = shared.tally.lock().unwrap();
        match answer {
            Ok(from) => *tally.good.entry(from).or_default() += 1,
            Err(what) => tally.bad.push((uri, what)),
        }
    }
}

/// Which endpoint answers, or what comes instead of a good answer.
async fn ask(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<String, String> {
    let answer = client.request(request).await;
    let (head, body) = answer.map_err(|error| format!("{error:?}"))?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    let text = |name| head.headers.get(name).and_then(|it| it.to_str().ok());
    match head.status.as_u16() {
        200 => Ok(text("x-from").unwrap_or("nobody").to_owned()),
        status => {
            let why = text("proxy-status").unwrap_or_default();
            let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            Err(format!("{status} {why} {body:.200}"))
        }
    }
}
