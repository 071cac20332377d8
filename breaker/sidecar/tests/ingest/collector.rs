//! A collector that keeps every byte that it gets, and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::harness::{ANY, PATIENCE};

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Received {
    /// Before it was answered.
    pub(crate) at: Instant,
    pub(crate) version: Version,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is answered to one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// By a status of HTTP and fields.
    Http(u16, Vec<(&'static str, String)>),
    /// By a code of gRPC, perhaps with the seconds until the next attempt.
    Grpc(Code, Option<f64>),
    /// Never.
    Never,
    /// That it is not available, as soon as this is told.
    Held(Arc<Notify>),
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    server: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::at(ANY).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        Self::with(address, None).await
    }

    /// One that speaks TLS only.
    pub(crate) async fn secure(acceptor: TlsAcceptor) -> Self {
        Self::with(ANY, Some(acceptor)).await
    }

    async fn with(address: SocketAddr, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let replies = Arc::<Mutex<VecDeque<Reply>>>::default();
        Self {
            address: listener.local_addr().unwrap(),
            received,
            replies: replies.clone(),
            server: tokio::spawn(serve(listener, acceptor, sender, replies)),
        }
    }

    /// Answers the next requests so, one by one; further ones are taken.
    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }

    pub(crate) async fn next(&mut self) -> Received {
        let next = timeout(PATIENCE, self.received.recv()).await;
        next.expect("a batch in time").unwrap()
    }

    /// Whether nothing came that was not asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.received.try_recv().is_err()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    sender: mpsc::UnboundedSender<Received>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (sender, replies) = (sender.clone(), replies.clone());
        let service = service_fn(move |request| take(request, sender.clone(), replies.clone()));
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // How a connection ends is the sender's business.
            match acceptor {
                None => {
                    let served = server.serve_connection(TokioIo::new(stream), service);
                    served.await.ok();
                }
                Some(acceptor) => {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let served = server.serve_connection(TokioIo::new(stream), service);
                    served.await.ok();
                }
            }
        });
    }
}

async fn take(
    request: Request<Incoming>,
    sender: mpsc::UnboundedSender<Received>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
) -> hyper::Result<Response<BoxBody<Bytes, Infallible>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_grpc = head.headers["content-type"]
        .as_bytes()
        .starts_with(b"application/grpc");
    let reply = replies.lock().unwrap().pop_front();
    let received = Received {
        at: Instant::now(),
        version: head.version,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    };
    sender.send(received).ok();
    Ok(match reply {
        None if is_grpc => taken(),
        None => Response::new(Full::default().boxed()),
        Some(Reply::Http(status, fields)) => {
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(name, value);
            }
            response.body(Full::default().boxed()).unwrap()
        }
        Some(Reply::Grpc(code, None)) => refusal(Status::new(code, "as it was told")),
        Some(Reply::Grpc(code, Some(seconds))) => {
            let pause = std::time::Duration::from_secs_f64(seconds);
            let details = ErrorDetails::with_retry_info(Some(pause));
            refusal(Status::with_error_details(code, "later", details))
        }
        Some(Reply::Never) => std::future::pending().await,
        Some(Reply::Held(told)) => {
            told.notified().await;
            refusal(Status::unavailable("as it was told"))
        }
    })
}

fn taken() -> Response<BoxBody<Bytes, Infallible>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body = Full::new(Bytes::from_static(&[0; 5]));
    let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(body.boxed()).unwrap()
}

fn refusal(status: Status) -> Response<BoxBody<Bytes, Infallible>> {
    status.into_http::<Full<Bytes>>().map(BodyExt::boxed)
}
