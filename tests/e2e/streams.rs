//! Bodies in both directions at once, HTTP/2, and connections that change their protocol.

use std::time::Duration;

use breaker_tests::{Script, Setup, Upstream, raw, send};
use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

#[tokio::test]
async fn bodies_are_not_held_back() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Echo);
    let sidecar = Setup::of(upstream.address()).start().await;
    let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
    let head = b"POST /pay/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for part in ["first", "second", "third"] {
        // The next part is sent only when this one came back: nobody waits for the whole.
        let chunk = format!("{:x}\r\n{part}\r\n", part.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains(part) {
            let mut buffer = [0; 1024];
            let read = time::timeout(Duration::from_secs(5), stream.read(&mut buffer));
            let read = read.await.expect("it comes back").unwrap();
            assert_ne!(read, 0, "closed after {seen:?}");
            seen += &String::from_utf8_lossy(&buffer[..read]);
        }
    }
}

#[tokio::test]
async fn http2_passes_bodies_and_trailers() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Echo);
    let setup = Setup::of(upstream.address());
    let yaml = setup
        .yaml()
        .replace("endpoints:", "protocol: http2, endpoints:");
    let sidecar = breaker_tests::Sidecar::start(yaml).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    let part = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; 100_000])));
    let frames = [part(), part(), Ok(Frame::trailers(trailers))];
    let request = Request::post(sidecar.url("/pay/x"))
        .version(Version::HTTP_2)
        .body(Box::pin(StreamBody::new(futures_util::stream::iter(
            frames,
        ))))
        .unwrap();
    let answer = send(request).await.unwrap();
    assert_eq!(answer.body.len(), 200_000);
    assert_eq!(answer.trailers["x-sum"], "7");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_protocol_change_becomes_a_pipe() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Upgrade);
    let sidecar = Setup::of(upstream.address()).start().await;
    let answer = raw(
        sidecar.address(),
        "GET /pay/x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nhello",
        Duration::from_secs(2),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[tokio::test]
async fn many_requests_share_one_connection_to_the_service() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    assert_eq!(crate::traffic::in_turn(&sidecar, 50).await, [200; 50]);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(
        upstream.connections() <= 2 * workers,
        "{}",
        upstream.connections()
    );
}
