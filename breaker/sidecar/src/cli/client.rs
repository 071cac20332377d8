//! A client of a running sidecar's admin port.

mod admin_url;
mod connect;
mod error;
mod paths;

use std::time::Duration;

use breaker_sidecar::tls::{self, ClientSettings, Pair, Roots, SecureDial};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time;

pub(super) use self::admin_url::AdminUrl;
pub(super) use self::connect::{Connect, TOKEN_VARIABLE, Trust};
pub(super) use self::error::{ClientError, Unreachable};
pub(super) use self::paths::{breaker_path, upstream_path};

/// Asks one sidecar. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: legacy::Client<SecureDial, Full<Bytes>>,
    admin: AdminUrl,
    token: Option<HeaderValue>,
}

/// What is sent along with a request.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

// === impl Client ===

impl Client {
    fn new(connect: Connect) -> Result<Self, ClientError> {
        let token = connect::token(connect.token_file.as_deref())?;
        Self::of(connect.admin, token, connect.trust)
    }

    fn of(admin: AdminUrl, token: Option<HeaderValue>, trust: Trust) -> Result<Self, ClientError> {
        let tls = admin.is_secure().then(|| {
            let shown = trust.cert.zip(trust.key);
            tls::Client::new(ClientSettings {
                roots: trust.ca.map_or(Roots::System, Roots::File),
                present: shown.map(|(cert, key)| Pair { cert, key }.into()),
                ..ClientSettings::default()
            })
        });
        let tls = tls.transpose();
        let tls = tls.map_err(|fault| ClientError::Tls(fault.error))?;
        let http = legacy::Client::builder(TokioExecutor::new());
        Ok(Self {
            http: http.build(SecureDial::new(admin.dial(), tls)),
            token,
            admin,
        })
    }

    /// Gets the document at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request, and reads the document that answers it.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<T, ClientError> {
        let (status, body) = time::timeout(TIMEOUT, self.exchange(method, path, content))
            .await
            .unwrap_or_else(|_| Err(self.unreachable(Unreachable::Late)))?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| self.foreign(format!("answers with something else: {error}")));
        }
        Err(match serde_json::from_slice(&body) {
            Ok(problem) => ClientError::Problem(problem),
            Err(_) => self.foreign(format!("answers {status}")),
        })
    }

    /// Starts to read what the sidecar tells at `path` until one of both goes away.
    pub(super) async fn watch(&self, path: &str) -> Result<Incoming, ClientError> {
        let response = self.request(Method::GET, path, "text/event-stream", None);
        let response = time::timeout(TIMEOUT, response)
            .await
            .unwrap_or_else(|_| Err(self.unreachable(Unreachable::Late)))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(self.foreign(format!("answers {}", response.status())))
    }

    /// Where the sidecar is.
    pub(super) const fn admin(&self) -> &AdminUrl {
        &self.admin
    }

    /// How the sidecar at `admin` answers a request for `path`.
    pub(super) async fn status(
        admin: AdminUrl,
        path: &str,
        trust: Trust,
    ) -> Result<StatusCode, ClientError> {
        let client = Self::of(admin, None, trust)?;
        let (status, _) = client.exchange(Method::GET, path, None).await?;
        Ok(status)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let response = self.request(method, path, "application/json", content);
        let (head, body) = response.await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| self.unreachable(Unreachable::Other(error.to_string())))?;
        Ok((head.status, body.to_bytes()))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        content: Option<Content>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.admin.at(path))
            .header(header::ACCEPT, accept);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = match content {
            Some(content) => {
                request = request.header(header::CONTENT_TYPE, content.media_type);
                Full::new(content.bytes)
            }
            None => Full::default(),
        };
        let request = request.body(body).expect("its parts are checked");
        self.http.request(request).await.map_err(|error| {
            let why = if error::is_refused(&error) {
                Unreachable::Refused
            } else {
                Unreachable::Other(error::root(&error))
            };
            self.unreachable(why)
        })
    }

    fn unreachable(&self, why: Unreachable) -> ClientError {
        ClientError::Unreachable {
            admin: self.admin.clone(),
            why,
        }
    }

    /// That it is not what was expected.
    pub(super) fn foreign(&self, why: String) -> ClientError {
        ClientError::Foreign {
            admin: self.admin.clone(),
            why,
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// A thousand breakers with sixteen feeds each are 10 MB.
const MAX_ANSWER: usize = 64 << 20;
