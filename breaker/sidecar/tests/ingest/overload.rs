//! Too much at once: refused before it is read, told when to come back, and over when it is over.

use std::time::Duration;

use breaker_sidecar::ingest::{Limits, Reason, ReceiverSettings, Signal};
use http::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Chunks, export, http, request, retry_delay, send};
use crate::harness::{PATIENCE, Running, eventually, settings};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const UNAVAILABLE: i32 = 14;

fn limited(limits: Limits) -> Running {
    Running::start(ReceiverSettings {
        limits,
        ..settings()
    })
}

/// Sends `body` as the beginning of a request that does not end.
async fn begin(receiver: &Running, length: usize, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

async fn is_overloaded(receiver: &Running) {
    let taken = receiver.stats().signal(Signal::Traces).batches;
    let sensible = Duration::from_millis(900)..Duration::from_millis(3100);

    let answer = http(receiver.address, "/v1/traces", &[PROTOBUF], "a").await;
    assert_eq!(answer.status, 429);
    assert!((1..=4).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
    let status = answer.status_body();
    assert_eq!(status.code, UNAVAILABLE);
    assert!(sensible.contains(&retry_delay(&status).unwrap()));

    let json = ("content-type", "application/json");
    let answer = http(receiver.address, "/v1/traces", &[json], "{}").await;
    assert_eq!(answer.status, 429);
    let detail = &answer.json()["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.RetryInfo");
    assert!(detail["retryDelay"].as_str().unwrap().ends_with('s'));

    let answer = export(receiver.address, Signal::Traces, "", b"a").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (200, UNAVAILABLE));
    assert!(sensible.contains(&retry_delay(&answer.details()).unwrap()));

    // Not counted anywhere but as refused.
    assert!(receiver.kept.take().is_empty());
    assert_eq!(receiver.stats().signal(Signal::Traces).batches, taken);
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_when_to_come_back() {
    let receiver = limited(Limits {
        requests: 1,
        ..Limits::default()
    });
    let mut first = begin(&receiver, 2, b"{").await;
    // The first request may not have been read yet: the others come until they are refused.
    while export(receiver.address, Signal::Traces, "", b"a")
        .await
        .code()
        == 0
    {
        receiver.kept.take();
    }
    is_overloaded(&receiver).await;

    first.write_all(b"}").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, first.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(receiver.kept.take().len(), 1);
    assert_eq!(
        export(receiver.address, Signal::Traces, "", b"a")
            .await
            .code(),
        0
    );
    assert!(receiver.stats().refused(Reason::Overload) >= 3);
}

#[tokio::test]
async fn bytes_that_are_held_for_some_are_not_there_for_others() {
    let receiver = limited(Limits {
        batch: 50_000,
        memory: 110_000,
        ..Limits::default()
    });
    let zeros = vec![b' '; 49_000];
    let mut hogs = Vec::new();
    for _ in 0..3 {
        hogs.push(begin(&receiver, 50_000, &zeros).await);
    }
    // Of three that together would hold too much, one is refused; the others hold their bytes.
    eventually("one hog is refused", || {
        receiver.stats().refused(Reason::Overload) > 0
    })
    .await;
    let body = vec![0; 40_000];
    let answer = export(receiver.address, Signal::Traces, "", &body).await;
    assert_eq!(answer.code(), UNAVAILABLE);
    // A large body that says its length is refused before it is read: it would not end.
    let unread = request(
        Version::HTTP_11,
        "/v1/traces",
        &[PROTOBUF, ("content-length", "40000")],
        Chunks::new(["a"], true),
    );
    assert_eq!(send(receiver.address, unread).await.unwrap().status, 429);
    // There is room for little ones.
    assert_eq!(
        export(receiver.address, Signal::Traces, "", b"a")
            .await
            .code(),
        0
    );
    drop(hogs);
    let mut taken = false;
    for _ in 0..1000 {
        taken = export(receiver.address, Signal::Traces, "", &body)
            .await
            .code()
            == 0;
        if taken {
            break;
        }
    }
    assert!(
        taken,
        "the bytes of connections that are gone are free again"
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_others_are_closed() {
    let receiver = limited(Limits {
        connections: 2,
        ..Limits::default()
    });
    let first = begin(&receiver, 2, b"{").await;
    let second = begin(&receiver, 2, b"{").await;
    let address = receiver.address;
    let mut third = tokio::spawn(async move { export(address, Signal::Traces, "", b"a").await });
    let too_soon = timeout(Duration::from_millis(100), &mut third).await;
    assert!(too_soon.is_err());
    drop(first);
    assert_eq!(third.await.unwrap().code(), 0);
    drop(second);
}
