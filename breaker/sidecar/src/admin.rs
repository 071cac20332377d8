//! The admin port: the dashboard, health, metrics and what the breakers know.
//!
//! | path | |
//! |---|---|
//! | `/`, `/dashboard/…` | the dashboard |
//! | `/livez` | 200 while the process serves |
//! | `/readyz` | 200 while it takes traffic; 503 while it starts and while it drains |
//! | `/metrics` | Prometheus text |
//! | `/breakers`, `/breakers/{name}/report` | [`report::Breaker`] as JSON |
//! | `/breakers/{name}` | a verdict: 200 with the report while the breaker admits, 503 while it refuses |
//! | `/api/v1` | [the control API](crate::control) |
//! | `/breaker.v1.Control/…` | the same by gRPC, with `grpc.reflection.v1` and `grpc.health.v1` |
//! | `/envoy.service.auth.v3.Authorization/Check` | a verdict for Envoy, by gRPC |

mod dashboard;
mod encoding;
mod ext_authz;
mod guard;
mod serve;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use http::{HeaderMap, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::control::{self, Reload, Tokens};
use crate::live::Live;
use crate::registry::Registry;
use crate::report;
use crate::telemetry::Telemetry;

/// What the admin port shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The breakers.
    pub registry: Registry,
    /// The metrics.
    pub telemetry: Telemetry,
    /// What happens.
    pub live: Live,
    /// Whether the proxy takes traffic.
    pub readiness: Readiness,
    /// What changes need, if they need one.
    pub tokens: Tokens,
    /// Who loads the configuration anew, where that is possible.
    pub reload: Option<Arc<dyn Reload>>,
}

/// Whether the proxy takes traffic: starting, then ready, then draining. Clones share it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<watch::Sender<Phase>>);

/// What the proxy is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Ready,
    Draining,
}

impl Admin {
    /// Serves on `listener` until `shutdown`, and lets requests under way finish for a moment.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let loopback = listener
            .local_addr()
            .is_ok_and(|address: SocketAddr| address.ip().is_loopback());
        serve::serve(listener, self.router(loopback), shutdown).await;
    }

    fn router(self, loopback: bool) -> Router {
        let control = control::router(self.clone());
        let mut router = Router::new()
            .route("/", get(dashboard::page))
            .route("/dashboard/{file}", get(dashboard::asset))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/breakers", get(breakers))
            .route("/breakers/{name}", get(verdict::verdict))
            .route("/breakers/{name}/report", get(breaker))
            .route(ext_authz::CHECK, post(ext_authz::check))
            .with_state(self)
            .merge(control);
        if loopback {
            router = router.layer(middleware::from_fn(guard::refuse_foreign_hosts));
        }
        router.layer(middleware::map_response(guard::secure))
    }
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let gzip = encoding::takes_gzip(&headers);
    // Megabytes where there are many routes: others of this thread needn't wait.
    let made = tokio::task::spawn_blocking(move || {
        let (media_type, text) = admin.telemetry.prometheus();
        (media_type, encoding::encode(text, gzip))
    });
    match made.await {
        Ok((media_type, body)) => ([(header::CONTENT_TYPE, media_type)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn breakers(State(admin): State<Admin>) -> Json<report::Breakers> {
    Json(report::Breakers::from(&*admin.registry.list()))
}

async fn breaker(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    match admin.registry.find(&name) {
        Ok(entry) => Json(report::Breaker::from(&entry)).into_response(),
        Err(_) => no_such_breaker(),
    }
}

fn no_such_breaker() -> Response {
    (StatusCode::NOT_FOUND, "no breaker has this name\n").into_response()
}

// === impl Readiness ===

impl Readiness {
    /// The proxy takes traffic from now on. Says nothing once it drains.
    pub fn ready(&self) {
        // Only a start can become ready: a drain that came first stands.
        self.0.send_if_modified(|phase| {
            let starting = *phase == Phase::Starting;
            if starting {
                *phase = Phase::Ready;
            }
            starting
        });
    }

    /// The proxy takes no new traffic from now on.
    pub fn drain(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// Whether the proxy takes traffic.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// `starting`, `ready` or `draining`.
    pub fn name(&self) -> &'static str {
        match self.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        }
    }

    /// Follows changes from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }

    fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.name()).finish()
    }
}
