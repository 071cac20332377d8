//! Who waits for whom: only the time in which the upstream is waited for counts as its own.

use std::time::Duration;

use breaker_sidecar::upstream::{Protocol, Upstream};
use breaker_tests::calmly;
use breaker_tower::breaker_core::Ratio;
use breaker_tower::breaker_core::policy::{Condition, LatencyMeasure, TripEntry};
use breaker_tower::{Policy, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::harness::{Client, GET, OK, Options, Origin, Sidecar, eventually, read_head, status};

const SLOW: Duration = Duration::from_millis(300);
/// More than what fits between a sender and one that does not read.
const LARGE: usize = 24 << 20;

/// A policy that trips as soon as 5 requests have shown `condition`.
fn tripping_on(condition: Condition, latency: LatencyMeasure) -> Policy {
    Policy::builder("waiting")
        .min_requests(5)
        .latency(latency)
        .trip([TripEntry::open([condition])])
        .build()
        .unwrap()
}

fn slow(latency: LatencyMeasure) -> Policy {
    let share = Ratio::of(1, 2);
    let condition = Condition::SlowRate {
        share,
        threshold: SLOW,
    };
    tripping_on(condition, latency)
}

/// An upstream that takes a request's head, and nothing after it.
async fn takes_nothing() -> Origin {
    Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await
}

/// The same by HTTP/2: it never opens a stream's window further.
async fn opens_no_window() -> Origin {
    Origin::raw(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut requests = Vec::new();
        while let Some(Ok(request)) = connection.accept().await {
            requests.push(request);
        }
    })
    .await
}

/// Answers with a body that its reader has to read.
async fn large() -> Origin {
    Origin::raw(|mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            let is_large = head.starts_with("GET /large ");
            let answered = if is_large {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&vec![b'x'; LARGE]).await
            } else {
                stream.write_all(OK.as_bytes()).await
            };
            if answered.is_err() {
                return;
            }
        }
    })
    .await
}

/// Begins an upload, and goes on with it for as long as it is taken.
async fn upload(sidecar: &Sidecar) -> tokio::task::JoinHandle<()> {
    let mut client = sidecar.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    client.send(head).await;
    tokio::spawn(async move { while client.0.write_all(&[b'x'; 100_000]).await.is_ok() {} })
}

/// Callers that read the heads of their answers, and nothing more.
async fn readers(sidecar: &Sidecar, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = sidecar.connect().await;
        client.send(GET.replace("GET / ", "GET /large ")).await;
        assert_eq!(status(&client.head().await), "200");
        clients.push(client);
    }
    clients
}

async fn read_to_end(stream: &mut TcpStream) {
    let mut left = LARGE;
    let mut piece = vec![0; 1 << 16];
    while left > 0 {
        let size = stream.read(&mut piece).await.unwrap();
        assert_ne!(size, 0, "cut");
        left -= size;
    }
}

#[tokio::test]
async fn uploads_that_the_upstream_does_not_take_open_the_breaker_while_they_hang() {
    calmly(async || {
        for protocol in [Protocol::Http1, Protocol::H2c] {
            let origin = match protocol {
                Protocol::H2c => opens_no_window().await,
                _ => takes_nothing().await,
            };
            let options = Options {
                policy: slow(LatencyMeasure::Head),
                upstream: match protocol {
                    Protocol::H2c => |app| Upstream {
                        protocol: Protocol::H2c,
                        ..app
                    },
                    _ => |app| app,
                },
                // Who goes away is not seen behind what was not taken yet.
                route: |mut route| {
                    route.timeout = Some(Duration::from_secs(3));
                    route
                },
                ..Options::default()
            };
            let sidecar = Sidecar::start(origin.address, options);
            let mut uploads = Vec::new();
            for _ in 0..5 {
                uploads.push(upload(&sidecar).await);
            }
            eventually("open", || sidecar.breaker.state() == State::Open).await;
            assert_eq!(sidecar.totals(), (0, 0, 0), "nothing has ended");
            for upload in uploads {
                upload.abort();
            }
            eventually("given up", || sidecar.breaker.snapshot().in_flight == 0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn callers_that_do_not_read_are_no_slow_upstream() {
    calmly(async || {
        let origin = large().await;
        let options = Options {
            policy: slow(LatencyMeasure::Complete),
            traced: true,
            ..Options::default()
        };
        let sidecar = Sidecar::start(origin.address, options);
        let mut clients = readers(&sidecar, 6).await;
        sleep(3 * SLOW).await;
        assert_eq!(
            sidecar.breaker.state(),
            State::Closed,
            "while they don't read"
        );
        for client in &mut clients {
            read_to_end(&mut client.0).await;
        }
        eventually("ended", || sidecar.totals() == (6, 0, 0)).await;
        assert_eq!(sidecar.breaker.state(), State::Closed);
        eventually("told", || sidecar.decisions.lock().unwrap().len() == 6).await;
        let decisions = sidecar.decisions.lock().unwrap();
        for decision in decisions.iter() {
            let latency = decision.unwrap().latency;
            assert!(latency < 3 * SLOW, "{latency:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_stops_in_its_body_is_slow_to_the_end_of_it() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let begin = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
        stream.write_all(begin).await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.policy = slow(LatencyMeasure::Complete);
    });
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = sidecar.connect().await;
        client.send(GET).await;
        clients.push(client);
    }
    eventually("open", || sidecar.breaker.state() == State::Open).await;
    assert_eq!(sidecar.totals(), (0, 0, 0));
}

#[tokio::test]
async fn callers_that_neither_send_nor_read_do_not_count_as_concurrency() {
    let origin = large().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.policy = tripping_on(Condition::Concurrency(6), LatencyMeasure::Head);
    });
    let mut uploads = Vec::new();
    for _ in 0..8 {
        let mut client = sidecar.connect().await;
        let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
        client.send(half).await;
        uploads.push(client);
    }
    let mut unread = readers(&sidecar, 6).await;
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(sidecar.breaker.state(), State::Closed);
    for client in &mut unread {
        read_to_end(&mut client.0).await;
    }
}
