//! One who connects to a sidecar and does not behave.

use std::net::SocketAddr;
use std::time::Duration;

use breaker_tests::Sidecar;
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Somebody who knows where the sidecar is.
#[derive(Clone)]
pub(super) struct Attacker(SocketAddr);

/// A connection on which something was sent.
pub(super) struct Connection(TcpStream);

impl Attacker {
    pub(super) fn of(sidecar: &Sidecar) -> Self {
        Self(sidecar.address())
    }

    /// Sends `bytes` on a connection of its own, as far as they are taken.
    pub(super) async fn send(self, bytes: impl AsRef<[u8]>) -> Connection {
        let mut stream = TcpStream::connect(self.0).await.expect("it listens");
        // The sidecar may answer and close before it has read all.
        let _ = stream.write_all(bytes.as_ref()).await;
        sleep(Duration::from_millis(2)).await;
        Connection(stream)
    }

    /// Calls the service by gRPC with these fields, and reads the answer.
    pub(super) async fn call(&self, fields: &[(&str, &str)]) {
        let mut sender = self.http2(65_535).await;
        let mut request = grpc();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().expect("a field name");
            let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a field value");
            request.headers_mut().insert(name, value);
        }
        if let Ok(answer) = sender.send_request(request).await {
            let _ = answer.into_body().collect().await;
        }
    }

    /// Begins `streams` streams on one connection, and resets them after `patience`.
    pub(super) async fn cancel_streams(&self, streams: usize, patience: Duration) {
        let mut sender = self.http2(65_535).await;
        for _ in 0..streams {
            let _ = timeout(patience, sender.send_request(get("/pay/x"))).await;
        }
    }

    /// Begins `streams` streams of large answers, and grants no window for them.
    pub(super) async fn stall_streams(&self, streams: usize) {
        let mut sender = self.http2(0).await;
        let mut answers = Vec::new();
        for _ in 0..streams {
            answers.push(sender.send_request(get("/pay/large")).await);
        }
        sleep(Duration::from_millis(5)).await;
    }

    async fn http2(&self, window: u32) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.0).await.expect("it listens");
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(stream))
            .await
            .expect("it speaks HTTP/2");
        tokio::spawn(connection);
        sender
    }
}

impl Connection {
    /// Closes it.
    pub(super) fn leave(self) {
        drop(self.0);
    }

    /// Resets it.
    pub(super) fn reset(self) {
        self.0.set_zero_linger().expect("an option of any socket");
    }

    pub(super) async fn half_close(mut self) -> Self {
        let _ = self.0.shutdown().await;
        self
    }

    pub(super) async fn wait(self, period: Duration) -> Self {
        sleep(period).await;
        self
    }

    /// Reads what there is within 100 ms.
    pub(super) async fn read(mut self) {
        let mut answer = Vec::new();
        let reading = self.0.read_to_end(&mut answer);
        let _ = timeout(Duration::from_millis(100), reading).await;
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://pay{path}"))
        .version(Version::HTTP_2)
        .body(Full::default())
        .expect("a request")
}

fn grpc() -> Request<Full<Bytes>> {
    Request::post("http://pay/pay.Pay/Charge")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(Bytes::from_static(&[0, 0, 0, 0, 0])))
        .expect("a request")
}
