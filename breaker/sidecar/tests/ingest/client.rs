//! Senders: one request on a connection of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use breaker_sidecar::ingest::Signal;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic_types::pb;

use crate::harness::{PATIENCE, compress, frame};

/// An answer, to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// Sends a request; `Version` decides on the protocol.
pub(crate) async fn send<B>(address: SocketAddr, request: Request<B>) -> hyper::Result<Answer>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    send_on(TcpStream::connect(address).await.unwrap(), request).await
}

/// The same on a connection that there is.
pub(crate) async fn send_on<B>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<B>,
) -> hyper::Result<Answer>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let answer = async {
        let response = if request.version() == Version::HTTP_2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            sender.send_request(request).await?
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        })
    };
    timeout(PATIENCE, answer).await.expect("an answer in time")
}

pub(crate) fn request<B>(version: Version, path: &str, fields: Fields<'_>, body: B) -> Request<B> {
    let uri = match version {
        Version::HTTP_2 => format!("http://receiver{path}"),
        _ => path.to_owned(),
    };
    let mut request = Request::post(uri).version(version);
    if version != Version::HTTP_2 {
        request = request.header("host", "localhost");
    }
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// Sends a batch by OTLP/HTTP, over HTTP/1.1.
pub(crate) async fn http(
    address: SocketAddr,
    path: &str,
    fields: Fields<'_>,
    body: impl Into<Bytes>,
) -> Answer {
    let request = request(Version::HTTP_11, path, fields, Full::new(body.into()));
    send(address, request).await.unwrap()
}

/// Sends what is a frame, or is not, by gRPC.
pub(crate) async fn grpc(
    address: SocketAddr,
    path: &str,
    fields: Fields<'_>,
    body: impl Into<Bytes>,
) -> Answer {
    let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
    all.extend(fields);
    let request = request(Version::HTTP_2, path, &all, Full::new(body.into()));
    send(address, request).await.unwrap()
}

/// A batch by OTLP/gRPC, compressed as `coding` says.
pub(crate) async fn export(
    address: SocketAddr,
    signal: Signal,
    coding: &str,
    plain: &[u8],
) -> Answer {
    let body = frame(!coding.is_empty(), &compress(coding, plain));
    grpc(
        address,
        grpc_path(signal),
        &[("grpc-encoding", coding)],
        body,
    )
    .await
}

pub(crate) fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

pub(crate) fn http_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/v1/traces",
        Signal::Metrics => "/v1/metrics",
        Signal::Logs => "/v1/logs",
    }
}

/// A body in pieces, whose end comes, or never.
pub(crate) struct Chunks {
    chunks: VecDeque<&'static str>,
    stalls: bool,
}

impl Chunks {
    pub(crate) fn new(chunks: impl IntoIterator<Item = &'static str>, stalls: bool) -> Self {
        Self {
            chunks: chunks.into_iter().collect(),
            stalls,
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.chunks.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The code of gRPC, from the trailers or the only head.
    pub(crate) fn code(&self) -> i32 {
        let code = self.trailers.get("grpc-status");
        let code = code.or_else(|| self.headers.get("grpc-status")).unwrap();
        code.to_str().unwrap().parse().unwrap()
    }

    /// `google.rpc.Status` as gRPC sends it.
    pub(crate) fn details(&self) -> pb::Status {
        let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
        let details = engine
            .decode(self.header("grpc-status-details-bin"))
            .unwrap();
        pb::Status::decode(&*details).unwrap()
    }

    /// `google.rpc.Status` as OTLP/HTTP sends it.
    pub(crate) fn status_body(&self) -> pb::Status {
        assert_eq!(self.header("content-type"), "application/x-protobuf");
        pb::Status::decode(&*self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// When the sender may try again, as `RetryInfo` tells it.
pub(crate) fn retry_delay(status: &pb::Status) -> Option<Duration> {
    let detail = status.details.first()?;
    assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let info = pb::RetryInfo::decode(&*detail.value).unwrap();
    Some(info.retry_delay?.try_into().unwrap())
}
