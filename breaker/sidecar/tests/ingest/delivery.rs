//! Collectors in trouble: what is repeated, what is given up, and what it costs.

use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::ingest::{Forward, Lost, Retry, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Code;

use crate::client::{export, http};
use crate::collector::{Collector, Reply};
use crate::harness::{ANY, PATIENCE, Running, eventually, nobody, quick};

const TRACES: Signal = Signal::Traces;

#[tokio::test]
async fn a_batch_is_repeated_until_the_collector_takes_it_and_order_is_kept() {
    let mut collector = Collector::start().await;
    let mut refusals = vec![Reply::Http(503, Vec::new()), Reply::Http(429, Vec::new())];
    let codes = [
        Code::Unavailable,
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::DataLoss,
    ];
    refusals.extend(codes.map(|code| Reply::Grpc(code, None)));
    refusals.push(Reply::Grpc(Code::ResourceExhausted, Some(0.01)));
    let count = refusals.len();
    collector.reply(refusals);
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    assert_eq!(
        export(receiver.address, TRACES, "", b"first").await.code(),
        0
    );
    assert_eq!(
        export(receiver.address, TRACES, "", b"second").await.code(),
        0
    );
    for _ in 0..=count {
        assert_eq!(&collector.next().await.body[5..], b"first");
    }
    assert_eq!(&collector.next().await.body[5..], b"second");
    let stats = receiver.stop().await;
    assert_eq!(stats.signal(TRACES).retries, count as u64);
    assert_eq!(stats.signal(TRACES).forwarded, 2);
}

#[tokio::test]
async fn http_statuses_are_repeated_or_given_up_as_otlp_says() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(None, Some(collector.address)));
    for (status, is_repeated) in [
        (429, true),
        (502, true),
        (503, true),
        (504, true),
        (400, false),
        (401, false),
        (413, false),
        (500, false),
    ] {
        collector.reply([Reply::Http(status, Vec::new())]);
        let fields = [("content-type", "application/json")];
        let body = status.to_string();
        http(receiver.address, "/v1/traces", &fields, body.clone()).await;
        for _ in 0..1 + u32::from(is_repeated) {
            assert_eq!(collector.next().await.body, body);
        }
    }
    let stats = receiver.stop().await;
    assert_eq!(stats.signal(TRACES).dropped(Lost::Refused), 4);
    assert_eq!(stats.signal(TRACES).forwarded, 4);
    assert!(collector.is_quiet());
}

#[tokio::test]
async fn codes_of_grpc_that_are_for_good_are_not_repeated() {
    let mut collector = Collector::start().await;
    let codes = [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::Internal,
        Code::Unimplemented,
        // Without RetryInfo.
        Code::ResourceExhausted,
    ];
    collector.reply(codes.map(|code| Reply::Grpc(code, None)));
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    for n in 0..codes.len() {
        export(receiver.address, TRACES, "", &[n as u8]).await;
        assert_eq!(collector.next().await.body[5..], [n as u8]);
    }
    let stats = receiver.stop().await;
    assert_eq!(stats.signal(TRACES).dropped(Lost::Refused), 5);
    assert!(collector.is_quiet());
}

#[tokio::test]
async fn the_pause_that_a_collector_asks_for_is_kept() {
    let mut collector = Collector::start().await;
    collector.reply([
        Reply::Grpc(Code::Unavailable, Some(0.4)),
        Reply::Http(503, vec![("retry-after", "1".to_owned())]),
    ]);
    let to_grpc = Running::forwarding(quick(Some(collector.address), None));
    export(to_grpc.address, TRACES, "", b"a").await;
    let [first, second, third] = [
        collector.next().await.at,
        collector.next().await.at,
        collector.next().await.at,
    ];
    assert!(second - first >= Duration::from_millis(400));
    assert!(third - second >= Duration::from_millis(1000));
}

#[tokio::test]
async fn details_that_are_no_base64_harm_nobody() {
    let mut collector = Collector::start().await;
    let fields = [
        ("grpc-status", "14"),
        ("grpc-status-details-bin", "***"),
        ("content-type", "application/grpc"),
    ];
    let fields = fields.map(|(name, value)| (name, value.to_owned()));
    collector.reply([Reply::Http(200, fields.to_vec())]);
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    export(receiver.address, TRACES, "", b"a").await;
    collector.next().await;
    collector.next().await;
    assert_eq!(receiver.stop().await.signal(TRACES).forwarded, 1);
}

#[tokio::test]
async fn a_dead_collector_costs_the_queue_and_gets_its_batches_when_it_is_back() {
    let address = nobody();
    let receiver = Running::forwarding(quick(Some(address), None));
    for n in 0..20_u8 {
        assert_eq!(export(receiver.address, TRACES, "", &[n]).await.code(), 0);
    }
    assert_eq!(receiver.kept.take().len(), 20);
    eventually("attempts", || receiver.stats().signal(TRACES).retries > 2).await;
    let waiting = receiver.stats();
    assert_eq!(waiting.signal(TRACES).queued, 20);
    assert_eq!(waiting.signal(TRACES).forwarded, 0);

    let mut collector = Collector::at(address).await;
    for n in 0..20_u8 {
        assert_eq!(collector.next().await.body[5..], [n]);
    }
    let stats = receiver.stop().await;
    assert_eq!(stats.signal(TRACES).forwarded, 20);
    assert_eq!(stats.signal(TRACES).queued_bytes, 0);
}

#[tokio::test]
async fn a_collector_that_does_not_answer_is_asked_again() {
    let mut collector = Collector::start().await;
    collector.reply([Reply::Never]);
    let receiver = Running::forwarding(Forward {
        timeout: Duration::from_millis(500),
        ..quick(Some(collector.address), None)
    });
    export(receiver.address, TRACES, "", b"a").await;
    collector.next().await;
    collector.next().await;
    let stats = receiver.stop().await;
    // On a machine that has much to do, the answer to the second may come too late as well.
    assert!(stats.signal(TRACES).retries >= 1);
    assert_eq!(stats.signal(TRACES).forwarded, 1);
}

/// Passes bytes on to `target`, and for its first connection stops to at its second request: as if
/// the network were gone.
async fn swallow(listener: TcpListener, target: std::net::SocketAddr) {
    for is_first in std::iter::once(true).chain(std::iter::repeat(false)) {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(target).await.unwrap();
        tokio::spawn(async move {
            if !is_first {
                return copy_bidirectional(&mut near, &mut far).await.map(|_| ());
            }
            let (mut from_near, mut to_near) = near.split();
            let (mut from_far, mut to_far) = far.split();
            let up = async {
                let mut piece = [0; 4096];
                loop {
                    let size = from_near.read(&mut piece).await?;
                    if size == 0 || piece[..size].windows(4).any(|part| part == b"lost") {
                        return std::io::Result::Ok(());
                    }
                    to_far.write_all(&piece[..size]).await?;
                }
            };
            tokio::select! {
                _ = up => {}
                copied = tokio::io::copy(&mut from_far, &mut to_near) => drop(copied),
            }
            // Open, and silent.
            std::future::pending().await
        });
    }
}

#[tokio::test]
async fn a_connection_that_went_silent_is_not_used_again() {
    let mut collector = Collector::start().await;
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(swallow(listener, collector.address));
    let receiver = Running::forwarding(Forward {
        timeout: Duration::from_millis(300),
        ..quick(Some(address), None)
    });
    export(receiver.address, TRACES, "", b"arrives").await;
    assert_eq!(&collector.next().await.body[5..], b"arrives");
    export(receiver.address, TRACES, "", b"is lost").await;
    // What arrived is sent again if its answer came late.
    let mut next = collector.next().await.body;
    while &next[5..] == b"arrives" {
        next = collector.next().await.body;
    }
    assert_eq!(&next[5..], b"is lost");
    assert!(receiver.stop().await.signal(TRACES).retries >= 1);
}

#[tokio::test]
async fn a_full_queue_drops_its_oldest_and_counts_them() {
    let mut collector = Collector::start().await;
    let refuse = Arc::<Notify>::default();
    collector.reply([Reply::Held(refuse.clone())]);
    let receiver = Running::forwarding(Forward {
        queue_batches: 4,
        timeout: PATIENCE,
        ..quick(Some(collector.address), None)
    });
    export(receiver.address, TRACES, "", &[0]).await;
    collector.next().await;
    // The first is being sent; three more have places.
    for n in 1..10_u8 {
        assert_eq!(export(receiver.address, TRACES, "", &[n]).await.code(), 0);
    }
    let stats = receiver.stats();
    assert_eq!(stats.signal(TRACES).queued, 4);
    assert_eq!(stats.signal(TRACES).dropped(Lost::QueueFull), 6);
    refuse.notify_one();
    for expected in [0, 7, 8, 9] {
        assert_eq!(collector.next().await.body[5..], [expected]);
    }
    // The queues of other signals have nothing to do with it.
    assert_eq!(stats.signal(Signal::Logs).dropped(Lost::QueueFull), 0);
}

#[tokio::test]
async fn a_batch_is_given_up_after_a_while() {
    let receiver = Running::forwarding(Forward {
        retry: Retry {
            first: Duration::from_millis(10),
            max: Duration::from_millis(10),
            give_up: Duration::from_millis(50),
        },
        ..quick(Some(nobody()), None)
    });
    export(receiver.address, TRACES, "", b"a").await;
    eventually("it is given up", || {
        receiver.stats().signal(TRACES).dropped(Lost::GaveUp) == 1
    })
    .await;
    assert_eq!(receiver.stats().signal(TRACES).queued, 0);
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent_if_the_collector_takes_it() {
    let mut collector = Collector::start().await;
    collector.reply([Reply::Grpc(Code::Unavailable, Some(200.0))]);
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    for n in 0..3_u8 {
        export(receiver.address, TRACES, "", &[n]).await;
    }
    collector.next().await;
    // The pause that was asked for is cut short.
    let stats = receiver.stop().await;
    assert_eq!(stats.signal(TRACES).forwarded, 3);
    for n in 0..3_u8 {
        assert_eq!(collector.next().await.body[5..], [n]);
    }
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_dead_collector_for_long() {
    let receiver = Running::forwarding(Forward {
        flush: Duration::from_millis(200),
        ..quick(Some(nobody()), None)
    });
    for n in 0..3_u8 {
        export(receiver.address, TRACES, "", &[n]).await;
    }
    let start = Instant::now();
    let stats = receiver.stop().await;
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!(stats.signal(TRACES).dropped(Lost::Shutdown), 3);
    assert_eq!(stats.signal(TRACES).queued, 0);
}
