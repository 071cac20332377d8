//! The resources as JSON, under `/api/v1`.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};

use super::problem::Problem;
use super::registry::Registry;
use crate::admin::report;

/// The routes of the API.
pub(crate) fn router(registry: Registry) -> Router {
    Router::new()
        .route("/api/v1/breakers", get(breakers))
        .route("/api/v1/breakers/{name}", get(breaker))
        .with_state(registry)
}

async fn breakers(State(registry): State<Registry>) -> Json<report::Breakers> {
    Json(report::Breakers::from(&*registry.list()))
}

async fn breaker(
    State(registry): State<Registry>,
    Path(name): Path<String>,
) -> Result<Json<report::Breaker>, Problem> {
    let entry = registry.find(&name)?;
    Ok(Json(report::Breaker::from(&entry)))
}
