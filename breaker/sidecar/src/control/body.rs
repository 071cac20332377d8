//! Bodies of requests: bounded in size and time, and told what is wrong with them.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use bytes::Bytes;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time;

use super::policy::Choice;
use super::problem::Problem;

/// Reads a body.
async fn read(body: Body) -> Result<Bytes, Problem> {
    match time::timeout(TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body must be complete, and at most 1 MiB",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

/// Reads a document.
pub(super) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    of_json(&read(body).await?)
}

fn of_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let document = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data => Problem::of_field(path.trim_matches('.'), error.to_string())
                .at(error.line(), error.column()),
            _ => Problem::new(StatusCode::BAD_REQUEST, format!("no JSON: {error}")),
        }
    })?;
    json.end()
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("no JSON: {error}")))?;
    Ok(document)
}

/// Reads a policy: as YAML, or as JSON that has it or names it.
pub(super) async fn policy(request: Request) -> Result<Choice, Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let is_json = media_type.is_some_and(|media_type| {
        let media_type = media_type.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case("application/json")
    });
    let bytes = read(request.into_body()).await?;
    if is_json {
        return of_json(&bytes);
    }
    match String::from_utf8(bytes.into()) {
        Ok(text) => Ok(Choice::Yaml(text)),
        Err(_) => Err(Problem::of_field("", "must be UTF-8 text")),
    }
}

/// As large as a policy's file may be.
const MAX_BODY: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
