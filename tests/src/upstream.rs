//! A service whose behaviour the test decides, request by request, over HTTP/1.1 and cleartext
//! HTTP/2.

mod script;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

pub use script::Script;
use wire::Wire;

/// A running service. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    stage: Arc<Stage>,
    listener: AbortHandle,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its HTTP version.
    pub version: Version,
    /// Its header fields.
    pub headers: http::HeaderMap,
    /// Its body; empty where the script passes it on unread.
    pub body: Bytes,
}

/// What the connections share.
#[derive(Debug)]
struct Stage {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    in_flight: AtomicUsize,
    connections: AtomicUsize,
}

/// Binds `address`, which the one before may take a moment to let go of.
async fn bind(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match listen(address) {
            Ok(listener) => return listener,
            Err(error) if Instant::now() > deadline => {
                panic!("cannot listen on {address}: {error}")
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // A test may open hundreds of connections at once; the usual 128 would drop some of them for a
    // second.
    socket.listen(4096)
}

// === impl Upstream ===

impl Upstream {
    /// Starts a service on a free port that answers every request with 200.
    pub async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts it at an address, to come back where another one was.
    ///
    /// # Panics
    /// If the address is taken.
    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = bind(address).await;
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let stage = Arc::new(Stage {
            script: Mutex::new(Script::Status(200)),
            seen: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&stage)));
        Self {
            address,
            stage,
            listener: accepting.abort_handle(),
        }
    }

    /// Changes what happens to requests that arrive from now on.
    pub fn play(&self, script: Script) {
        *lock(&self.stage.script) = script;
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.stage.seen).clone()
    }

    /// How many requests have arrived.
    pub fn count(&self) -> usize {
        lock(&self.stage.seen).len()
    }

    /// Forgets the requests so far, for tests that run for long.
    pub fn forget(&self) {
        lock(&self.stage.seen).clear();
    }

    /// How many requests are being worked on: neither answered nor cancelled.
    pub fn in_flight(&self) -> usize {
        self.stage.in_flight.load(Ordering::Relaxed)
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.stage.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Serves connections until it is aborted, which ends them too.
async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a listening socket accepts");
                stage.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(stream, Arc::clone(&stage)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, stage: Arc<Stage>) {
    let (wire, fault) = Wire::new(stream);
    let service = service_fn(|request: Request<Incoming>| {
        let script = lock(&stage.script).clone();
        let stage = Arc::clone(&stage);
        let fault = fault.clone();
        async move {
            let _in_flight = InFlight::new(&stage);
            script
                .perform(request, &fault, |seen| lock(&stage.seen).push(seen))
                .await
        }
    });
    // How the connection ends is the script's business, and the test's.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(wire), service)
        .await;
}

// === impl InFlight ===

/// Counts a request until its future is done or dropped.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(stage: &'a Stage) -> Self {
        stage.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(&stage.in_flight)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
