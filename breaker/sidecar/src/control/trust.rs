//! Who may change something.
//!
//! Whoever has the token, where there is one; else programs of the same machine. And no page of
//! another site that an operator's browser shows: its requests name where they come from, and can't
//! have a media type of their own without asking first.

use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::grpc;
use super::problem::Problem;
use crate::config::Token;
use crate::sockets::Peer;

/// The token in force, if changes need one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<RwLock<Option<Token>>>);

/// Refuses to change anything for who may not.
pub(super) async fn guard(State(tokens): State<Tokens>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_call = path.starts_with(grpc::PREFIX);
    let changes = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => false,
        _ => !grpc::READS.contains(&path),
    };
    if !changes {
        return next.run(request).await;
    }
    let peer: Option<Peer> = request.extensions().get().copied();
    let permitted = check_site(request.headers(), request.uri())
        .and_then(|()| check_caller(tokens.current().as_ref(), peer, request.headers()));
    let Err(problem) = permitted else {
        return next.run(request).await;
    };
    tracing::warn!(
        target: super::audit::TARGET,
        peer = peer.map(tracing::field::display),
        method = %request.method(),
        path,
        status = problem.status,
        "refused: {}",
        problem.detail
    );
    if is_call {
        return problem.into_status().into_http::<axum::body::Body>();
    }
    let asks_for_token = problem.status == StatusCode::UNAUTHORIZED.as_u16();
    let mut response = problem.into_response();
    if asks_for_token {
        let challenge = HeaderValue::from_static("Bearer realm=\"breaker\"");
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A browser says from where it sends a request that changes something; a form can't be anything
/// but one of three media types.
fn check_site(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let media_type = text(&header::CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if FORMS
        .iter()
        .any(|form| media_type.eq_ignore_ascii_case(form))
    {
        let detail =
            format!("{media_type} is what forms of other sites send: use another Content-Type");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    if let Some(site) = text(&SEC_FETCH_SITE)
        && !matches!(site, "same-origin" | "none")
    {
        let detail = "a page of another site must not change anything here";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    if let Some(origin) = text(&header::ORIGIN) {
        let host = uri
            .authority()
            .map(Authority::as_str)
            .or(text(&header::HOST));
        let origin = origin.split_once("://").map(|(_, authority)| authority);
        if origin.is_none() || origin != host {
            let detail =
                "Origin is not this host: a page of another site must not change anything here";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    }
    Ok(())
}

fn check_caller(
    token: Option<&Token>,
    peer: Option<Peer>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let Some(token) = token else {
        let is_own = peer.is_some_and(Peer::is_local);
        return if is_own {
            Ok(())
        } else {
            let detail = "without a control token only this machine itself may change anything";
            Err(Problem::new(StatusCode::FORBIDDEN, detail))
        };
    };
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.as_bytes().split_first_chunk::<7>());
    match given {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"Bearer ") => {
            if token.is(given) {
                Ok(())
            } else {
                let detail = "this is not the control token";
                Err(Problem::new(StatusCode::FORBIDDEN, detail))
            }
        }
        _ => {
            let detail = "changes need the control token";
            Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
        }
    }
}

// === impl Tokens ===

impl Tokens {
    /// This token.
    pub fn new(token: Option<Token>) -> Self {
        Self(Arc::new(RwLock::new(token)))
    }

    /// Has changes need this token from now on.
    pub fn replace(&self, token: Option<Token>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    pub(crate) fn current(&self) -> Option<Token> {
        let token = self.0.read().unwrap_or_else(PoisonError::into_inner);
        token.clone()
    }
}

/// What a form may send (https://html.spec.whatwg.org/multipage/forms.html), which needs no
/// permission of ours.
const FORMS: [&str; 3] = [
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests;
