//! Connections of senders that may live only so long.

use std::time::Duration;

use breaker_sidecar::ingest::{Limits, ReceiverSettings};
use http::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{request, send};
use crate::harness::{PATIENCE, Running, settings};

const AGE: Duration = Duration::from_millis(400);
const BATCH: &str = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\n\
                     Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

fn receiver() -> Running {
    let limits = Limits {
        age: Some(AGE),
        ..Limits::default()
    };
    Running::start(ReceiverSettings {
        limits,
        ..settings()
    })
}

/// What comes until the connection ends, which is said.
async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut rest)).await;
    read.expect("an end in time").expect("the end is said");
    rest
}

#[tokio::test]
async fn a_connection_that_is_too_old_ends_between_two_batches() {
    let receiver = receiver();
    let began = Instant::now();
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    stream.write_all(BATCH.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(
        began.elapsed() >= AGE.mul_f64(0.89),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(receiver.kept.take().len(), 1);
    // Others come as before.
    let batch = request(
        Version::HTTP_2,
        "/v1/logs",
        &[("content-type", "application/json")],
        http_body_util::Full::new(bytes::Bytes::from_static(b"{}")),
    );
    assert_eq!(send(receiver.address, batch).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_batch_under_way_is_taken_however_old_its_connection_is() {
    let receiver = receiver();
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    let (begun, end) = BATCH.as_bytes().split_at(BATCH.len() - 1);
    stream.write_all(begun).await.unwrap();
    // Longer than the second that others have at the end.
    let early = timeout(AGE + Duration::from_millis(1500), stream.read_u8()).await;
    assert!(early.is_err(), "it is waited for");
    stream.write_all(end).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(receiver.kept.take().len(), 1);
}
