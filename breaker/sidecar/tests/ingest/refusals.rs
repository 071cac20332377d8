//! Batches that are refused: in the sender's protocol and encoding, and to nobody else's harm.

use std::time::Duration;

use breaker_sidecar::ingest::{Limits, Reason, ReceiverSettings, Signal};
use http::{Method, Version};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Chunks, Fields, export, grpc, grpc_path, http, request, send};
use crate::collector::Collector;
use crate::harness::{CODINGS, PATIENCE, Running, compress, frame, quick, settings};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;

fn limited(batch: usize) -> Running {
    Running::start(ReceiverSettings {
        limits: Limits {
            batch,
            ..Limits::default()
        },
        ..settings()
    })
}

#[tokio::test]
async fn what_is_malformed_is_told_in_the_senders_encoding_and_is_sent_on_as_it_came() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), Some(collector.address)));
    for coding in CODINGS {
        let body = compress(coding, b"bad");
        let encoded = ("content-encoding", coding);
        let answer = http(
            receiver.address,
            "/v1/traces",
            &[PROTOBUF, encoded],
            body.clone(),
        )
        .await;
        assert_eq!(answer.status, 400);
        assert_eq!(collector.next().await.body, body);
        let status = answer.status_body();
        assert_eq!(
            (status.code, &*status.message),
            (INVALID_ARGUMENT, "no request: it is bad")
        );

        let answer = http(
            receiver.address,
            "/v1/traces",
            &[JSON, encoded],
            body.clone(),
        )
        .await;
        assert_eq!(answer.status, 400);
        assert_eq!(collector.next().await.body, body);
        let expected = serde_json::json!({ "code": 3, "message": "no request: it is bad" });
        assert_eq!(answer.json(), expected);

        let answer = export(receiver.address, Signal::Traces, coding, b"bad").await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (200, INVALID_ARGUMENT)
        );
        assert_eq!(
            answer.header("grpc-message"),
            "no%20request:%20it%20is%20bad"
        );
        assert_eq!(answer.details().message, "no request: it is bad");
        assert!(answer.body.is_empty() && answer.trailers.is_empty());
        let sent_on = collector.next().await.body;
        assert!(sent_on.ends_with(&body), "{sent_on:?}");
    }
    let stats = receiver.stop().await;
    assert_eq!(stats.refused(Reason::Malformed), 9);
    let traces = stats.signal(Signal::Traces);
    assert_eq!((traces.batches, traces.forwarded), (0, 9));
    assert!(collector.is_quiet());
}

#[tokio::test]
async fn broken_compression_is_malformed() {
    let receiver = Running::plain();
    for coding in ["gzip", "zstd"] {
        let whole = compress(coding, &[7; 1000]);
        let cut = whole.slice(..whole.len() - 3);
        for broken in ["no such thing".into(), cut] {
            let fields = [JSON, ("content-encoding", coding)];
            let answer = http(receiver.address, "/v1/logs", &fields, broken.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["code"]),
                (400, &3.into())
            );
            let fields = [("grpc-encoding", coding)];
            let path = grpc_path(Signal::Logs);
            let answer = grpc(receiver.address, path, &fields, frame(true, &broken)).await;
            assert_eq!(answer.code(), INVALID_ARGUMENT);
        }
    }
    assert!(receiver.kept.take().is_empty());
}

#[tokio::test]
async fn broken_frames_are_malformed() {
    let receiver = Running::plain();
    let two = [frame(false, b"a"), frame(false, b"b")].concat();
    let frames: [(&[u8], Fields<'_>); 6] = [
        (b"", &[]),
        (&[0, 0, 0], &[]),
        (&[0, 0, 0, 0, 9, b'a'], &[]),
        (&[2, 0, 0, 0, 1, b'a'], &[]),
        (&two, &[]),
        // Compressed, and nothing says how.
        (&[1, 0, 0, 0, 1, b'a'], &[]),
    ];
    for (body, fields) in frames {
        let body = body.to_vec();
        let answer = grpc(
            receiver.address,
            grpc_path(Signal::Traces),
            fields,
            body.clone(),
        )
        .await;
        assert_eq!(answer.code(), INVALID_ARGUMENT, "{body:?}");
    }
    // Said to be compressed, but this message is not: allowed.
    let fields = [("grpc-encoding", "gzip")];
    let path = grpc_path(Signal::Traces);
    let answer = grpc(receiver.address, path, &fields, frame(false, b"plain")).await;
    assert_eq!(answer.code(), 0);
    assert_eq!(receiver.kept.take()[0].2, b"plain");
}

#[tokio::test]
async fn what_is_larger_than_the_limit_is_refused_before_and_after_decompression() {
    let receiver = limited(10_000);
    // Noise does not shrink.
    let noise: Vec<u8> = (0..10_001_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let zeros = vec![0; 10_001];
    for coding in CODINGS {
        for plain in [&noise, &zeros] {
            for (size, is_taken) in [
                (10_001, false),
                (10_000, compress(coding, &plain[..10_000]).len() <= 10_000),
            ] {
                let plain = &plain[..size];
                let body = compress(coding, plain);
                let fields = [PROTOBUF, ("content-encoding", coding)];
                let answer = http(receiver.address, "/v1/metrics", &fields, body).await;
                let grpc = export(receiver.address, Signal::Metrics, coding, plain).await;
                if is_taken {
                    assert_eq!(
                        (answer.status.as_u16(), grpc.code()),
                        (200, 0),
                        "{coding} {size}"
                    );
                    continue;
                }
                assert_eq!(answer.status, 413, "{coding} {size}");
                let status = answer.status_body();
                assert_eq!(status.code, RESOURCE_EXHAUSTED);
                assert_eq!(status.message, "the batch is larger than 10000 bytes");
                assert_eq!(grpc.code(), RESOURCE_EXHAUSTED, "{coding} {size}");
                // With it, the sender would try again.
                assert!(grpc.details().details.is_empty());
            }
        }
    }
    assert!(receiver.stats().refused(Reason::TooLarge) >= 12);
}

#[tokio::test]
async fn a_message_that_is_announced_too_large_is_refused_at_its_first_bytes() {
    let receiver = limited(1000);
    // Nothing of it is sent.
    let body = [&[0_u8][..], &1001_u32.to_be_bytes()].concat();
    let answer = grpc(receiver.address, grpc_path(Signal::Logs), &[], body).await;
    assert_eq!(answer.code(), RESOURCE_EXHAUSTED);

    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1001\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_sender_that_is_still_sending_is_answered_and_keeps_its_connection() {
    let receiver = limited(1000);
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    for _ in 0..3 {
        let head = "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"larger than 1000 bytes\"}") {
            let byte = timeout(PATIENCE, stream.read_u8()).await;
            answer.push(byte.expect("an answer in time").unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 413"));
        stream.write_all(&vec![b' '; 1_000_000]).await.unwrap();
    }
}

#[tokio::test]
async fn other_paths_methods_types_and_compressions_are_refused_by_name() {
    let receiver = Running::plain();
    let address = receiver.address;
    let answer = http(address, "/v1/trace", &[JSON], "{}").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (404, &5.into())
    );
    let answer = http(
        address,
        "/v1/traces",
        &[("content-type", "text/plain")],
        "{}",
    )
    .await;
    assert_eq!(answer.status, 415);
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .contains("application/x-protobuf")
    );
    for coding in ["br", "gzip, gzip"] {
        let fields = [PROTOBUF, ("content-encoding", coding)];
        let answer = http(address, "/v1/traces", &fields, "").await;
        assert_eq!(answer.status, 415);
        assert_eq!(answer.header("accept-encoding"), "gzip, deflate, zstd");
        assert_eq!(answer.status_body().code, UNIMPLEMENTED);
    }
    let mut get = request(Version::HTTP_11, "/v1/traces", &[PROTOBUF], Full::default());
    *get.method_mut() = Method::GET;
    let answer = send(address, get).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (405, "POST")
    );

    let answer = grpc(
        address,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
        &[],
        frame(false, b""),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (200, UNIMPLEMENTED)
    );
    let path = grpc_path(Signal::Traces);
    let answer = grpc(
        address,
        path,
        &[("grpc-encoding", "snappy")],
        frame(true, b"a"),
    )
    .await;
    assert_eq!(answer.code(), UNIMPLEMENTED);
    assert_eq!(
        answer.header("grpc-accept-encoding"),
        "identity,deflate,gzip,zstd"
    );
    let json = [("content-type", "application/grpc+json")];
    let answer = send(
        address,
        request(
            Version::HTTP_2,
            path,
            &json,
            Full::<bytes::Bytes>::default(),
        ),
    )
    .await;
    assert_eq!(answer.unwrap().status, 415);
    let answer = http(
        address,
        path,
        &[("content-type", "application/grpc")],
        frame(false, b""),
    )
    .await;
    assert_eq!(answer.status, 505);
    assert_eq!(receiver.stats().refused(Reason::Unsupported), 9);
}

#[tokio::test]
async fn bodies_that_dawdle_are_refused() {
    let receiver = Running::start(ReceiverSettings {
        limits: Limits {
            body_pause: Duration::from_millis(50),
            ..Limits::default()
        },
        ..settings()
    });
    let dawdling = || Chunks::new(["{"], true);
    let answer = send(
        receiver.address,
        request(Version::HTTP_11, "/v1/logs", &[JSON], dawdling()),
    );
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (408, &DEADLINE_EXCEEDED.into())
    );
    let fields = [("content-type", "application/grpc")];
    let path = grpc_path(Signal::Logs);
    let answer = send(
        receiver.address,
        request(Version::HTTP_2, path, &fields, dawdling()),
    );
    assert_eq!(answer.await.unwrap().code(), DEADLINE_EXCEEDED);
    assert_eq!(receiver.stats().refused(Reason::Incomplete), 2);
}

#[tokio::test]
async fn connections_without_a_request_are_closed_after_a_while() {
    let receiver = Running::start(ReceiverSettings {
        limits: Limits {
            idle: Duration::from_millis(50),
            ..Limits::default()
        },
        ..settings()
    });
    let half = "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\n";
    let whole = "POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for begin in ["", half, whole, preface] {
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut all)).await;
        end.expect("an end in time").ok();
    }
}

#[tokio::test]
async fn others_are_served_while_one_sends_garbage() {
    let receiver = Running::plain();
    let garbage = tokio::spawn({
        let address = receiver.address;
        async move {
            for n in 0_u32.. {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let noise: Vec<u8> = (0..5000).map(|i| (i * 31 + n) as u8).collect();
                // The receiver may have hung up.
                stream.write_all(&noise).await.ok();
                let path = grpc_path(Signal::Logs);
                let fields = [("grpc-encoding", "zstd")];
                grpc(address, path, &fields, frame(true, &noise)).await;
                http(
                    address,
                    "/v1/logs",
                    &[JSON, ("content-encoding", "gzip")],
                    noise,
                )
                .await;
            }
        }
    });
    for n in 0..100 {
        let plain = format!("batch {n}");
        let answer = export(receiver.address, Signal::Traces, "gzip", plain.as_bytes()).await;
        assert_eq!(answer.code(), 0);
        assert_eq!(receiver.kept.take()[0].2, plain.as_bytes());
    }
    assert!(!garbage.is_finished(), "the garbage was sent to the end");
    garbage.abort();
    assert!(receiver.stats().refused(Reason::Malformed) > 0);
}

#[tokio::test]
async fn a_panic_in_the_sampler_ends_one_request_only() {
    let receiver = Running::plain();
    // A small one is sampled on the runtime, a large one beside it.
    let large = [b"panic".to_vec(), vec![0; 100_000]].concat();
    let answer = export(receiver.address, Signal::Traces, "", &large).await;
    assert_eq!(answer.code(), INTERNAL);
    let body = frame(false, b"panic");
    let fields = [("content-type", "application/grpc")];
    let small = request(
        Version::HTTP_2,
        grpc_path(Signal::Traces),
        &fields,
        Full::new(body),
    );
    assert!(send(receiver.address, small).await.is_err());
    let answer = export(receiver.address, Signal::Traces, "", b"fine").await;
    assert_eq!(answer.code(), 0);
}
