//! Long answers, which are megabytes where there are many routes. They are made on a thread for
//! that: the admin port has one thread, and health checks must not wait for a document.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use tokio::task::{JoinError, spawn_blocking};

/// Makes something that takes long.
pub(crate) async fn aside<T: Send + 'static>(
    make: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    spawn_blocking(make).await
}

/// Answers with a document that takes long, as JSON.
pub(crate) async fn json<T: Serialize>(make: impl FnOnce() -> T + Send + 'static) -> Response {
    let made = aside(move || {
        let document = make();
        serde_json::to_vec(&document).expect("strings and numbers are good JSON")
    });
    match made.await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
