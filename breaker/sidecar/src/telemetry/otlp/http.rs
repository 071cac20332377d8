//! The HTTP client of the HTTP/protobuf exporter.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{HttpClient, HttpError};

use crate::upstream::resolve::Resolver;

type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// A client with its own headers and deadline.
#[derive(Debug)]
pub(super) struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    headers: HeaderMap,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(connector: Connector, headers: HeaderMap, timeout: Duration) -> Self {
        Self {
            inner: legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
            headers,
            timeout,
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.inner.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        request.headers_mut().extend(self.headers.clone());
        let answer = tokio::time::timeout(self.timeout, self.send(request.map(Full::new))).await;
        let answer = answer.unwrap_or_else(|elapsed| Err(elapsed.into()));
        if let Err(error) = &answer {
            // The SDK keeps no more of it than that the network failed.
            tracing::debug!(error, "the collector did not answer");
        }
        answer
    }
}

/// What a collector answers is a few bytes, or an error text.
const MAX_ANSWER: usize = 64 * 1024;
