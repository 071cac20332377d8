//! A whole sidecar in this process, before a service that does as it is told and keeps the heads of
//! its requests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use breaker_tower::BreakerHandle;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::export::ANY;
use crate::app::App;
use crate::config::Config;
use crate::telemetry::Environment;

pub(super) struct Sidecar {
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) breaker: BreakerHandle,
    service: Service,
    stop: oneshot::Sender<()>,
    app: JoinHandle<anyhow::Result<()>>,
}

#[derive(Clone, Default)]
struct Service {
    status: Arc<AtomicU16>,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Sidecar {
    /// One route, `pay`, below `/pay/`, whose breaker opens at 2 requests, with what the
    /// `variables` say of telemetry.
    pub(super) async fn start(variables: &[(&str, &str)]) -> Self {
        let service = Service::default();
        service.status.store(200, Ordering::Relaxed);
        let listener = TcpListener::bind(ANY).await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });

        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nupstreams: {{ pay: {{ endpoints: ['http://{upstream}'] }} }}\n\
             routes:\n  - {{ name: pay, upstream: pay, match: {{ path: '/pay/{{*rest}}' }}, policy: {{ base: sensitive, min_requests: 2 }} }}\n"
        );
        let config = Config::parse(&yaml, None, Path::new(".")).expect(&yaml);
        let environment: Environment = variables.iter().copied().collect();
        let app = App::bind(&config, &environment).unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            address: app.listen().unwrap().tcp().unwrap(),
            admin: app.admin().tcp().unwrap(),
            breaker: app.breakers()[0].clone(),
            service,
            stop,
            app: tokio::spawn(app.run(async { drop(stopped.await) })),
        }
    }

    /// Makes the service answer `status`.
    pub(super) fn answer(&self, status: u16) {
        self.service.status.store(status, Ordering::Relaxed);
    }

    /// Sends a request with some more `headers`; returns the status.
    pub(super) async fn send(&self, line: &str, headers: &[&str]) -> u16 {
        let more: String = headers
            .iter()
            .map(|header| format!("{header}\r\n"))
            .collect();
        let request =
            format!("{line} HTTP/1.1\r\nHost: shop:8080\r\nConnection: close\r\n{more}\r\n");
        exchange(self.address, &request).await[9..12]
            .parse()
            .unwrap()
    }

    /// The head of the last request that the service got.
    pub(super) fn seen(&self) -> HeaderMap {
        self.service.seen.lock().unwrap().last().unwrap().clone()
    }

    /// The metrics as Prometheus reads them.
    pub(super) async fn metrics(&self) -> String {
        exchange(
            self.admin,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await
    }

    /// Ends it, which sends what was not sent yet.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.app).await;
        ended.expect("an end in time").unwrap().unwrap();
    }
}

pub(super) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer));
    read.await.expect("an answer in time").unwrap();
    answer
}

async fn answer(State(service): State<Service>, headers: HeaderMap) -> (StatusCode, &'static str) {
    service.seen.lock().unwrap().push(headers);
    let status = service.status.load(Ordering::Relaxed);
    (StatusCode::from_u16(status).unwrap(), "done")
}
