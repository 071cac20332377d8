//! `/breakers/{name}`: may a request be sent? For proxies that ask by a subrequest before they send
//! one: nginx, Caddy, Traefik and their like.

#[cfg(test)]
mod tests;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::no_such_breaker;
use crate::control::AdminState;
use crate::proxy::respond;
use crate::report;

/// 200 with the report while the breaker admits, else the answer that the caller should get. Each
/// question takes a place of a trial, and a refusal is counted.
///
/// `?deny=403` makes the status another one: nginx's `auth_request` takes anything but 401 and 403
/// for a failure of its own. Other parameters are the caller's, whom proxies pass on, and mean
/// nothing here.
pub(super) async fn verdict(
    State(state): State<AdminState>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
) -> Response {
    let Ok(denied) = denied_status(query.as_deref().unwrap_or_default()) else {
        let rule = "deny must be 401, 403, 429 or 503\n";
        return (StatusCode::BAD_REQUEST, rule).into_response();
    };
    let Ok(entry) = state.registry.find(&name) else {
        return no_such_breaker();
    };
    match entry.breaker().check() {
        // To say what is in a window takes longer than to say yes, which is all that a HEAD asks
        // for.
        Ok(()) if method == Method::HEAD => StatusCode::OK.into_response(),
        Ok(()) => Json(report::Breaker::from(&entry)).into_response(),
        Err(rejected) => respond::rejected_request(&name, &rejected, denied).map(Body::from),
    }
}

/// The status that `query` wants instead of the policy's.
fn denied_status(query: &str) -> Result<Option<StatusCode>, ()> {
    let mut parameters = query.split('&');
    match parameters.find_map(|parameter| parameter.strip_prefix("deny=")) {
        None => Ok(None),
        Some("401") => Ok(Some(StatusCode::UNAUTHORIZED)),
        Some("403") => Ok(Some(StatusCode::FORBIDDEN)),
        Some("429") => Ok(Some(StatusCode::TOO_MANY_REQUESTS)),
        Some("503") => Ok(Some(StatusCode::SERVICE_UNAVAILABLE)),
        Some(_) => Err(()),
    }
}
