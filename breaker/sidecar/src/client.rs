//! Calls over HTTP/1.1, with names resolved as the proxy does it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::causes;
use crate::upstream::Names;
use crate::upstream::resolve::Resolver;

/// An HTTP client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpConnector<Resolver>, Full<Bytes>>);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {problem}")]
pub struct ClientError {
    address: Uri,
    problem: String,
}

impl Client {
    /// Makes a client for the runtime of the caller.
    ///
    /// # Errors
    /// When the system's configuration of names can't be used.
    pub fn new() -> Result<Self, anyhow::Error> {
        let resolver = Resolver::new(&Names::of_system())?;
        let connector = HttpConnector::new_with_resolver(resolver);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Less than what servers keep.
            .pool_idle_timeout(Duration::from_secs(4))
            .build(connector);
        Ok(Self(client))
    }

    /// Gets `address`, with the whole answer within `limit`.
    ///
    /// # Errors
    /// When it can't be reached, or not in time.
    pub async fn get(
        &self,
        address: &Uri,
        limit: Duration,
    ) -> Result<Response<Bytes>, ClientError> {
        let request = Request::get(address).body(Full::default());
        self.send(address, request, limit).await
    }

    /// Puts a JSON document to `address`.
    ///
    /// # Errors
    /// When it can't be reached, or not in time.
    pub async fn put(
        &self,
        address: &Uri,
        document: &serde_json::Value,
        limit: Duration,
    ) -> Result<Response<Bytes>, ClientError> {
        let request = Request::put(address)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(document.to_string().into());
        self.send(address, request, limit).await
    }

    /// Sends `request` to `address`, and takes the whole answer within `limit`.
    ///
    /// # Errors
    /// When the request is not a good one, or `address` can't be reached, or not in time.
    pub async fn send(
        &self,
        address: &Uri,
        request: http::Result<Request<Full<Bytes>>>,
        limit: Duration,
    ) -> Result<Response<Bytes>, ClientError> {
        let failed = |problem: String| ClientError {
            address: address.clone(),
            problem,
        };
        let request = request.map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let answer = self.0.request(request).await;
            let (head, body) = answer
                .map_err(|error| failed(causes::in_full(&error)))?
                .into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| failed(error.to_string()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        timeout(limit, exchange)
            .await
            .unwrap_or_else(|_late| Err(failed(format!("no answer within {limit:?}"))))
    }
}

/// Of the shop, the collector and the admin ports.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
