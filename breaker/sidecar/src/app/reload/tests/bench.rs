//! A whole sidecar in this process, by a file, before a service that answers when it may.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use breaker_tower::BreakerHandle;
use http::Uri;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Reloaded, Reloader};
use crate::app::App;
use crate::config::Config;
use crate::live::{self, History};
use crate::registry::Registry;
use crate::telemetry::Environment;

/// A route below `/pay`.
pub(super) const PAY: &str =
    "  - { name: pay, upstream: app, match: { path: /pay }, policy: sensitive }\n";
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) reloader: Reloader,
    pub(super) registry: Registry,
    pub(super) address: SocketAddr,
    pub(super) receives: Option<SocketAddr>,
    /// Where the service is.
    pub(super) service: SocketAddr,
    /// Lets requests of `/slow` be answered, one each.
    pub(super) gate: Arc<Semaphore>,
    admin: SocketAddr,
    head: String,
    stop: oneshot::Sender<()>,
    app: JoinHandle<anyhow::Result<()>>,
}

impl Bench {
    pub(super) async fn start(routes: &str) -> Self {
        Self::start_with(false, |_| routes.to_owned()).await
    }

    /// Starts it with the routes that `prepare` says, which may put more into the folder.
    pub(super) async fn start_with(watch: bool, prepare: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let routes = prepare(folder.path());
        let (service, gate) = serve().await;
        let policies = if folder.path().join("policies").is_dir() {
            "policies: [policies]\n"
        } else {
            ""
        };
        let receive = if routes.contains("feeds") {
            "telemetry: { receive: { http: 127.0.0.1:0 } }\n"
        } else {
            ""
        };
        let head = format!(
            "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 2\nwatch: {watch}\n{policies}{receive}\
             upstreams: {{ app: {{ endpoints: ['http://{service}'] }} }}\nroutes:\n"
        );
        fs::write(
            folder.path().join("breaker.yaml"),
            format!("{head}{routes}"),
        )
        .unwrap();
        Self::of(folder, head, (service, gate))
    }

    /// Starts it by the file `breaker.yaml` that is in `folder`.
    pub(super) fn of(folder: TempDir, head: String, service: (SocketAddr, Arc<Semaphore>)) -> Self {
        let config = Config::load(&folder.path().join("breaker.yaml")).expect("a configuration");
        let app = App::bind(&config, &Environment::default()).unwrap();
        let (stop, stopped) = oneshot::channel();
        Self {
            folder,
            reloader: app.reloader(),
            registry: app.registry(),
            address: app.listen().unwrap().tcp().unwrap(),
            receives: app.receives().and_then(|addresses| addresses.http),
            service: service.0,
            gate: service.1,
            admin: app.admin().tcp().unwrap(),
            head,
            stop,
            app: tokio::spawn(app.run(async { drop(stopped.await) })),
        }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("breaker.yaml")
    }

    /// The text with these routes.
    pub(super) fn text(&self, routes: &str) -> String {
        format!("{}{routes}", self.head)
    }

    pub(super) fn write(&self, routes: &str) {
        self.write_text(&self.text(routes));
    }

    /// Replaces the file as editors do, so that nobody reads half of it.
    pub(super) fn write_text(&self, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    pub(super) async fn reload(&self) -> Reloaded {
        self.reloader.reload().await.expect("a good configuration")
    }

    /// How many reloads were applied, found nothing new, and were refused.
    pub(super) fn results(&self) -> [u64; 3] {
        let reloads = self.reloader.reloads();
        [reloads.applied, reloads.unchanged, reloads.refused]
    }

    pub(super) fn breaker(&self, name: &str) -> BreakerHandle {
        let breakers = self.reloader.breakers();
        let found = breakers
            .into_iter()
            .find(|breaker| &**breaker.name() == name);
        found.expect("a route of this name")
    }

    /// The status of a request on a connection of its own.
    pub(super) async fn get(&self, path: &str) -> u16 {
        status(&exchange(self.address, path).await)
    }

    /// Sends a request and leaves it to answer.
    pub(super) fn begin(&self, path: &'static str) -> JoinHandle<u16> {
        let address = self.address;
        tokio::spawn(async move { status(&exchange(address, path).await) })
    }

    /// The metrics as Prometheus reads them.
    pub(super) async fn metrics(&self) -> String {
        exchange(self.admin, "/metrics").await
    }

    /// What the admin port answers.
    pub(super) async fn admin(&self, path: &str) -> String {
        exchange(self.admin, path).await
    }

    /// What happened to a breaker, by what admin answers: kind, label and detail of each event.
    pub(super) async fn told(&self, name: &str) -> Vec<String> {
        let answer = exchange(self.admin, &format!("/api/v1/breakers/{name}/history")).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let history: History = serde_json::from_str(body).unwrap();
        let words = |event: &live::Event| {
            let reason = event.reason.as_ref().expect("a reason");
            format!("{} {}: {}", event.kind.name(), reason.label, reason.detail)
        };
        history.events.iter().map(words).collect()
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = timeout(PATIENCE, self.app).await;
        ended.expect("an end in time").unwrap().unwrap();
    }
}

/// A service: `/slow` is answered when it may be, everything else at once.
pub(super) async fn serve() -> (SocketAddr, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(gate.clone());
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (address, gate)
}

async fn answer(State(gate): State<Arc<Semaphore>>, uri: Uri) -> &'static str {
    if uri.path() == "/slow" {
        gate.acquire().await.unwrap().forget();
    }
    "done"
}

async fn exchange(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer));
    read.await.expect("an answer in time").unwrap();
    answer
}

fn status(answer: &str) -> u16 {
    answer[9..12].parse().unwrap()
}

/// Waits until `holds`.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "no {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
