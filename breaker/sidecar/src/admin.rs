//! The admin port: the dashboard, health, metrics and what the breakers know.
//!
//! | path | |
//! |---|---|
//! | `/`, `/dashboard/…` | the dashboard |
//! | `/livez` | 200 while the process serves |
//! | `/readyz` | 200 while it takes traffic; 503 while it starts and while it drains |
//! | `/metrics` | Prometheus text, or OpenMetrics |
//! | `/breakers`, `/breakers/{name}/report` | [`report::Breaker`] as JSON |
//! | `/breakers/{name}` | a verdict: 200 with the report while the breaker admits, 503 while it refuses |
//! | `/api/v1` | [the control API](crate::control) |
//! | `/breaker.v1.Control/…` | the same by gRPC, with `grpc.reflection.v1` and `grpc.health.v1` |
//! | `/envoy.service.auth.v3.Authorization/Check` | a verdict for Envoy, by gRPC |

mod connections;
mod dashboard;
mod encoding;
mod ext_authz;
mod guard;
#[cfg(test)]
pub(crate) mod tests;
mod verdict;

use std::future::Future;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use http::{HeaderMap, StatusCode, header};

use crate::control::{self, AdminState, Phase};
use crate::report;
use crate::sockets::Listener;
use crate::tls::Server;

/// Serves `state` on `listener` until `shutdown`, and lets requests under way finish for a moment.
pub async fn serve(
    state: AdminState,
    listener: impl Into<Listener>,
    shutdown: impl Future<Output = ()>,
) {
    serve_by(state, listener.into(), None, shutdown).await;
}

/// The same, for clients that speak TLS if there is `tls`.
pub(crate) async fn serve_by(
    state: AdminState,
    listener: Listener,
    tls: Option<Server>,
    shutdown: impl Future<Output = ()>,
) {
    let loopback = listener.is_loopback();
    connections::serve(listener, tls, router(state, loopback), shutdown).await;
}

fn router(state: AdminState, loopback: bool) -> Router {
    let control = control::router(state.clone());
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
        .with_state(state)
        .merge(control);
    if loopback {
        router = router.layer(middleware::from_fn(guard::refuse_foreign_hosts));
    }
    router.layer(middleware::map_response(guard::secure))
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminState>) -> (StatusCode, &'static str) {
    match state.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::NoIdentity => (StatusCode::SERVICE_UNAVAILABLE, "no identity\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let gzip = encoding::takes_gzip(&headers);
    let format = encoding::exposition(&headers);
    let made = control::aside(move || {
        let (media_type, text) = state.telemetry.exposition(format);
        (media_type, encoding::encode(text, gzip))
    });
    match made.await {
        Ok((media_type, body)) => ([(header::CONTENT_TYPE, media_type)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn breakers(State(state): State<AdminState>) -> Response {
    control::json(move || report::Breakers::from(&*state.registry.list())).await
}

async fn breaker(State(state): State<AdminState>, Path(name): Path<String>) -> Response {
    match state.registry.find(&name) {
        Ok(entry) => Json(report::Breaker::from(&entry)).into_response(),
        Err(_) => no_such_breaker(),
    }
}

fn no_such_breaker() -> Response {
    (StatusCode::NOT_FOUND, "no breaker has this name\n").into_response()
}
