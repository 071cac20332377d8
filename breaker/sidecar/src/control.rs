//! The control API: what the breakers are, and how an operator changes what they do.
//!
//! * `service`: what can be asked and done; `api` offers it as JSON under `/api/v1`, `grpc` as
//!   `breaker.v1.Control`.
//! * `panic`: all routes forced closed at once.
//! * `trust`: who may change something; `audit`: who did.
//! * `state`: what both ports need of the sidecar; `readiness`: whether it takes traffic.
//! * `explain`: why a breaker is what it is, in sentences; `watch`: what happens, as server-sent
//!   events.
//! * `upstreams`: the endpoints of upstreams; `fleet`: the fleet, if it is in one.
//! * `aside`: documents that take long to make.
//! * `policy`, `status`, `problem`: the documents, beside those of [`report`](crate::report) and
//!   [`live`](crate::live).
//! * `operation`, `openapi`: the list of operations, from which both the router and the document
//!   are made; `body`: what they take.

mod api;
mod aside;
mod audit;
mod body;
pub mod explain;
mod fleet;
mod grpc;
mod openapi;
mod operation;
mod panic;
mod policy;
mod problem;
mod readiness;
mod service;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod trust;
mod upstreams;
mod watch;

use axum::{Router, middleware};

pub use self::api::{SetMode, SetPanic};
pub(crate) use self::aside::{aside, json};
pub use self::fleet::{Following, Pooling};
pub(crate) use self::panic::end_panics;
pub use self::policy::{Choice, Condition, Policy};
pub use self::problem::{Broken, Problem};
pub use self::readiness::{Phase, Readiness};
pub(crate) use self::service::Control;
pub use self::state::AdminState;
pub use self::status::{Configuration, Identity, Refused, Reload, ReloadRefused, Reloaded, Status};
pub use self::trust::Tokens;
pub use self::upstreams::{Admit, Eject};

/// The API on the admin port.
pub(crate) fn router(state: AdminState) -> Router {
    let (readiness, tokens) = (state.readiness.clone(), state.tokens.clone());
    let control = Control::new(state);
    api::router()
        .with_state(control.clone())
        .merge(grpc::router(control))
        .layer(middleware::from_fn_with_state(tokens, trust::guard))
        .merge(grpc::about(readiness))
}
