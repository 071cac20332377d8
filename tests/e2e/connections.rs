//! Many connections at once.

use breaker_tests::{Setup, Upstream, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn ten_thousand_idle_connections_are_fine() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(ask(TcpStream::connect(sidecar.address()).await.unwrap()).await);
    }
    assert_eq!(get(sidecar.url("/pay/x")).await.status, 200);
    // The first ones still work.
    for stream in idle.drain(..10) {
        ask(stream).await;
    }
}

/// Sends one request and reads its answer.
async fn ask(mut stream: TcpStream) -> TcpStream {
    let request = b"GET /pay/x HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("as told\n") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed after {answer:?}");
        answer += &String::from_utf8_lossy(&buffer[..read]);
    }
    stream
}
