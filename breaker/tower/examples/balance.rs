//! A tonic client with five channels: calls go to the one with less load of two, and a channel that
//! fails while the others do not gets none. The channels come from tower's `Discover`.
//!
//! `cargo run -p breaker-tower --example balance`

#![expect(clippy::print_stdout, reason = "an example")]

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use breaker_tower::breaker_core::policy::FailureRules;
use breaker_tower::breaker_core::{
    Candidate, Classification, EndpointId, EndpointSettings, EndpointState, Endpoints, Outcome,
    Timestamp,
};
use breaker_tower::{Classified, Classify, HttpClassifier};
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::discover::{Change, Discover, ServiceList};
use tower::{Service, ServiceExt};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Chooses among the services of `D`, and ejects those that are worse than the others.
struct Balance<D: Discover> {
    discover: D,
    services: HashMap<EndpointId, D::Service>,
    shared: Arc<Shared>,
    calls: u64,
}

/// What is known of the endpoints.
struct Shared {
    endpoints: Mutex<Endpoints>,
    started: Instant,
}

impl<D: Discover> Balance<D> {
    fn new(discover: D) -> Self {
        let settings = EndpointSettings::default();
        let endpoints = Endpoints::new(settings, 1, Timestamp::ZERO);
        Self {
            discover,
            services: HashMap::new(),
            shared: Arc::new(Shared {
                endpoints: Mutex::new(endpoints.expect("the defaults keep the rules")),
                started: Instant::now(),
            }),
            calls: 0,
        }
    }
}

impl<D> Service<Request<Body>> for Balance<D>
where
    D: Discover<Key = usize, Service = Channel> + Unpin,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut changed = false;
        while let Poll::Ready(Some(Ok(change))) = Pin::new(&mut self.discover).poll_discover(cx) {
            match change {
                Change::Insert(key, channel) => {
                    self.services.insert(EndpointId(key as u64), channel);
                }
                Change::Remove(key) => {
                    self.services.remove(&EndpointId(key as u64));
                }
            }
            changed = true;
        }
        if changed {
            let set = self.services.keys().map(|id| (*id, 1));
            self.shared.endpoints().replace(set, self.shared.now());
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.calls += 1;
        let shared = self.shared.clone();
        let now = shared.now();
        let mut endpoints = shared.endpoints();
        let pick = endpoints.pick(now, self.calls, |_| Candidate::Fresh);
        let pick = pick.expect("there are five channels");
        let attempt = endpoints.begin(pick, now);
        drop(endpoints);
        let channel = self.services[&pick.id()].clone();
        let began = Instant::now();
        Box::pin(async move {
            let answer = channel.oneshot(request).await;
            let classification = match &answer {
                Ok(response) => classification(response),
                Err(_) => Classification::Failure,
            };
            let (outcome, now) = (Outcome::new(classification, began.elapsed()), shared.now());
            // Dropped before this line, a call would stay in flight: a library needs a guard here.
            shared.endpoints().end(attempt, outcome, now);
            Ok(answer?)
        })
    }
}

impl Shared {
    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }
}

/// What the head of an answer says; a gRPC call whose trailers decide counts as good here.
fn classification(response: &Response<Body>) -> Classification {
    let rules = FailureRules::default();
    match HttpClassifier.head(&rules, response.status(), response.headers()) {
        Classified::Head(ending) => ending.classification,
        Classified::AtTrailers => Classification::Success,
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let mut channels = Vec::new();
    for _ in 0..4 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let (_, health) = tonic_health::server::health_reporter();
        let server = Server::builder().add_service(health);
        tokio::spawn(server.serve_with_incoming(incoming));
        channels.push(channel(&address.to_string()));
    }
    // Nobody listens there.
    channels.push(channel("127.0.0.1:1"));
    let balance = Balance::new(ServiceList::new(channels));
    let shared = balance.shared.clone();
    let mut client = HealthClient::new(balance);

    let (mut failed, mut good) = (0, 0);
    while good < 50 {
        match client.check(HealthCheckRequest::default()).await {
            Ok(_) => good += 1,
            Err(_) => (failed, good) = (failed + 1, 0),
        }
        sleep(Duration::from_millis(5)).await;
    }
    let snapshot = shared.endpoints().snapshot(shared.now());
    let out = snapshot
        .endpoints
        .iter()
        .filter(|it| it.state != EndpointState::In);
    let out: Vec<_> = out
        .map(|it| (it.id.0, it.reason.map(|why| why.to_string())))
        .collect();
    println!("{failed} calls failed; ejected: {out:?}");
    assert!(matches!(&*out, [(4, _)]), "{out:?}");
}

fn channel(address: &str) -> Channel {
    let channel = Channel::from_shared(format!("http://{address}"));
    channel.expect("a good URL").connect_lazy()
}
