//! A proxy that writes down what passes it, over HTTP/1.1 and cleartext HTTP/2.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// A running proxy. Dropping it closes its port and its connections.
#[derive(Debug)]
pub(crate) struct Recorder {
    address: SocketAddr,
    passed: Arc<Mutex<Vec<Passed>>>,
    accepting: AbortHandle,
}

/// A request that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the connections share.
#[derive(Debug)]
struct Way {
    target: String,
    passed: Arc<Mutex<Vec<Passed>>>,
    http1: Client<HttpConnector, Full<Bytes>>,
    http2: Client<HttpConnector, Full<Bytes>>,
}

impl Recorder {
    /// Starts one on a free port; `target` is a URL without a path.
    pub(crate) async fn in_front_of(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let passed = Arc::default();
        let client = |http2| {
            let mut client = Client::builder(TokioExecutor::new());
            client.http2_only(http2).build_http()
        };
        let way = Arc::new(Way {
            target: target.to_owned(),
            passed: Arc::clone(&passed),
            http1: client(false),
            http2: client(true),
        });
        Self {
            address: listener.local_addr().unwrap(),
            passed,
            accepting: tokio::spawn(accept(listener, way)).abort_handle(),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has passed so far, in order.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        let passed = self.passed.lock();
        passed.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let way = Arc::clone(&way);
        connections.spawn(async move {
            let service = service_fn(|request| pass(Arc::clone(&way), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            // A program that goes away in the middle is not this proxy's business.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn pass(
    way: Arc<Way>,
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let answer = through(&way, request).await.unwrap_or_else(|_| {
        let mut answer = Response::default();
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        answer
    });
    Ok(answer.map(|body: Collected<Bytes>| {
        let trailers = body.trailers().cloned();
        Full::new(body.to_bytes()).with_trailers(async { trailers.map(Ok) })
    }))
}

async fn through(
    way: &Way,
    request: Request<Incoming>,
) -> Result<Response<Collected<Bytes>>, Box<dyn Error + Send + Sync>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let passed = Passed {
        path: head.uri.path().to_owned(),
        headers: head.headers.clone(),
        body: body.clone(),
    };
    head.uri = format!("{}{}", way.target, passed.path).parse()?;
    head.headers.remove(HOST);
    let list = way.passed.lock();
    list.unwrap_or_else(PoisonError::into_inner).push(passed);

    let client = match head.version {
        Version::HTTP_2 => &way.http2,
        _ => &way.http1,
    };
    let request = Request::from_parts(head, Full::new(body));
    let (head, body) = client.request(request).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?))
}
