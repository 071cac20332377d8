//! Over a pipe and with a paused clock.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http_body_util::Empty;
use hyper::client::conn::http2::{self, SendRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const PEER: Peer = Peer::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1));

/// A connection that is served, and what keeps the port from closing.
fn connect() -> (DuplexStream, watch::Sender<bool>) {
    let (ours, theirs) = duplex(64 * 1024);
    let (stop, stopped) = watch::channel(false);
    let endless = || {
        Body::from_stream(stream::repeat(Ok::<_, Infallible>(Bytes::from_static(
            &[b'x'; 1024],
        ))))
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/endless", get(async move || endless()));
    let place = Places::default().take(PEER);
    tokio::spawn(connection(theirs, PEER, place, router, stopped));
    (ours, stop)
}

async fn connect_http2() -> (
    SendRequest<Empty<Bytes>>,
    JoinHandle<hyper::Result<()>>,
    watch::Sender<bool>,
) {
    let (stream, stop) = connect();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, ended) = handshake.await.unwrap();
    (client, tokio::spawn(ended), stop)
}

async fn ask(client: &mut SendRequest<Empty<Bytes>>) -> StatusCode {
    client.ready().await.unwrap();
    let request = Request::get("http://admin/").body(Empty::new()).unwrap();
    client.send_request(request).await.unwrap().status()
}

fn seconds_since(start: Instant) -> u64 {
    start.elapsed().as_secs()
}

const IDLE_TIME: RangeInclusive<u64> = 30..=60;

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_not_enough_is_left() {
    for beginning in [
        "",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HT",
    ] {
        let start = Instant::now();
        let (mut client, _stop) = connect();
        client.write_all(beginning.as_bytes()).await.unwrap();
        // Of HTTP/2 the server says its settings first.
        client.read_to_end(&mut Vec::new()).await.ok();
        let waited = seconds_since(start);
        assert!((5..=6).contains(&waited), "{beginning:?}: {waited} s");
    }
}

#[tokio::test]
async fn health_is_told_however_many_say_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/livez", get(async || "here"));
    tokio::spawn(serve(listener.into(), None, router, std::future::pending()));
    let mut silent = Vec::new();
    for _ in 0..2 * places::MOST {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    for _ in 0..3 {
        let mut probe = TcpStream::connect(address).await.unwrap();
        let request = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        probe.write_all(request).await.unwrap();
        let mut answer = String::new();
        let read = probe.read_to_string(&mut answer);
        // Long before the silent are left.
        let read = time::timeout(Duration::from_secs(3), read).await;
        read.expect("an answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_reading_is_left() {
    let (mut client, stop) = connect();
    let start = Instant::now();
    let request = b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n";
    client.write_all(request).await.unwrap();
    client.read_exact(&mut [0; 100_000]).await.unwrap();
    // When the connection ends, so does its subscription.
    stop.closed().await;
    assert_eq!(seconds_since(start), 30);
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_is_kept_and_one_that_falls_idle_is_closed() {
    let (mut client, ended, _stop) = connect_http2().await;
    for _ in 0..10 {
        assert_eq!(ask(&mut client).await, StatusCode::OK);
        time::sleep(Duration::from_secs(20)).await;
    }
    let start = Instant::now();
    ended.await.unwrap().unwrap();
    let waited = 20 + seconds_since(start);
    assert!(IDLE_TIME.contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn connections_of_http1_end_when_they_are_idle() {
    let (mut client, _stop) = connect();
    let start = Instant::now();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(IDLE_TIME.contains(&seconds_since(start)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let (mut client, ended, stop) = connect_http2().await;
    assert_eq!(ask(&mut client).await, StatusCode::OK);
    let start = Instant::now();
    stop.send(true).unwrap();
    stop.closed().await;
    ended.await.unwrap().unwrap();
    assert_eq!(seconds_since(start), 0);
}
