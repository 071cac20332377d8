//! One service of the shop: it has a capacity, may need another service, and does what its fault
//! port says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use breaker_sidecar::client::Client;
use bytes::Bytes;
use http::{StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::fault::Fault;
use crate::next::{Called, Next};
use crate::pool::Pool;

/// What a service is.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSettings {
    /// Its name, for its answers.
    pub(crate) name: String,
    /// Where it serves.
    pub(crate) listen: SocketAddr,
    /// Where it takes its faults.
    pub(crate) faults: SocketAddr,
    /// The service that it calls for each request.
    pub(crate) calls: Option<Uri>,
    /// How long an attempt to call it may take.
    pub(crate) timeout: Duration,
    /// How often a failed call is repeated.
    pub(crate) retries: u32,
    /// How many requests it works on at once.
    pub(crate) workers: usize,
    /// How many more may wait.
    pub(crate) queue: usize,
    /// How long a request takes, what it waits for its next service aside.
    pub(crate) takes: Duration,
}

/// A service whose addresses are bound.
#[derive(Debug)]
pub(crate) struct Service {
    listener: TcpListener,
    fault_listener: TcpListener,
    shared: Arc<ServiceState>,
}

#[derive(Debug)]
struct ServiceState {
    name: String,
    pool: Pool,
    takes: Duration,
    next: Option<Next>,
    fault: watch::Sender<Fault>,
    requests: AtomicU64,
}

// === impl Service ===

impl Service {
    /// Binds both addresses.
    ///
    /// # Errors
    /// When an address is taken, or names can't be resolved here.
    pub(crate) async fn bind(settings: ServiceSettings) -> anyhow::Result<Self> {
        let next = match settings.calls {
            Some(address) => Some(Next {
                client: Client::new()?,
                address,
                timeout: settings.timeout,
                retries: settings.retries,
            }),
            None => None,
        };
        Ok(Self {
            listener: listen(settings.listen).await?,
            fault_listener: listen(settings.faults).await?,
            shared: Arc::new(ServiceState {
                name: settings.name,
                pool: Pool::new(settings.workers, settings.queue),
                takes: settings.takes,
                next,
                fault: watch::Sender::default(),
                requests: AtomicU64::new(0),
            }),
        })
    }

    /// Where it serves, and where it takes its faults.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((
            self.listener.local_addr()?,
            self.fault_listener.local_addr()?,
        ))
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// When a listener fails.
    pub(crate) async fn serve(self) -> std::io::Result<()> {
        let shop = Router::new()
            .fallback(order)
            .with_state(self.shared.clone());
        let faults = Router::new()
            .route("/fault", put(set_fault))
            .route("/livez", get("ok\n"))
            .with_state(self.shared);
        tokio::try_join!(async { axum::serve(self.listener, shop).await }, async {
            axum::serve(self.fault_listener, faults).await
        },)?;
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

async fn order(State(shared): State<Arc<ServiceState>>) -> Response {
    let Ok(result) = shared.pool.enqueue(work(shared.clone())) else {
        return answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &shared.name,
            "the queue is full",
        );
    };
    match result.await {
        Ok(response) => response,
        // The work panicked.
        Err(_gone) => answer(StatusCode::INTERNAL_SERVER_ERROR, &shared.name, "broken"),
    }
}

async fn work(shared: Arc<ServiceState>) -> Response {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let fault = *shared.fault.borrow();
    let hit = fault.hits(number);
    match fault {
        Fault::Slow { latency, .. } if hit => sleep(latency).await,
        Fault::Hang { .. } if hit => {
            let mut fault = shared.fault.subscribe();
            // The sender lives as long as the service.
            let _ = fault
                .wait_for(|now| !matches!(now, Fault::Hang { .. }))
                .await;
        }
        _ => {}
    }
    sleep(shared.takes).await;
    let name = &shared.name;
    if hit && matches!(fault, Fault::Errors { .. }) {
        return answer(StatusCode::INTERNAL_SERVER_ERROR, name, "broken");
    }
    let called = match &shared.next {
        Some(next) => next.call().await,
        None => Called::Done,
    };
    match called {
        Called::Done => answer(StatusCode::OK, name, "done"),
        Called::Refused(fields) => {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, name, "not now");
            response.headers_mut().extend(fields);
            response
        }
        Called::Failed => answer(StatusCode::BAD_GATEWAY, name, "the next service failed"),
    }
}

fn answer(status: StatusCode, name: &str, text: &str) -> Response {
    (status, format!("{name}: {text}\n")).into_response()
}

async fn set_fault(State(shared): State<Arc<ServiceState>>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(fault) => {
            shared.fault.send_replace(fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
