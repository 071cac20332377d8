//! Batches that are taken: every signal, encoding, compression and protocol; each goes on byte for
//! byte.

use breaker_sidecar::ingest::{Encoding, ReceiverSettings, Signal};
use bytes::Bytes;
use http::Version;
use prost::Message;

use crate::client::{self, Answer, Chunks, export, grpc, grpc_path, http, http_path, request};
use crate::collector::Collector;
use crate::harness::{CODINGS, Running, compress, frame, quick, settings};

/// Long enough for several frames and for a thread of its own, and not all alike.
fn payload(signal: Signal, coding: &str) -> Vec<u8> {
    let mut text = format!("{} {coding} ", signal.name()).into_bytes();
    text.extend((0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()));
    text
}

fn is_empty_success(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.code()), (200, 0));
    assert_eq!(answer.header("content-type"), "application/grpc");
    assert_eq!(&*answer.body, [0; 5]);
}

#[tokio::test]
async fn grpc_batches_are_sampled_and_sent_on_as_they_came() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    for signal in Signal::ALL {
        for coding in CODINGS {
            for plain in [payload(signal, coding), b"short".to_vec(), Vec::new()] {
                let sent = frame(!coding.is_empty(), &compress(coding, &plain));
                let fields = [
                    ("grpc-encoding", coding),
                    ("authorization", "Bearer 1"),
                    ("user-agent", "an SDK/1.0"),
                    ("x-tenant", "a"),
                    ("x-tenant", "b"),
                    ("trace-bin", "AQID"),
                    ("grpc-timeout", "10S"),
                    ("grpc-accept-encoding", "gzip"),
                ];
                let answer = grpc(receiver.address, grpc_path(signal), &fields, sent.clone()).await;
                is_empty_success(&answer);
                assert_eq!(receiver.kept.take(), [(signal, Encoding::Protobuf, plain)]);

                let received = collector.next().await;
                assert_eq!(received.version, Version::HTTP_2);
                assert_eq!(received.path, grpc_path(signal));
                assert_eq!(received.body, sent, "{signal:?} {coding}");
                let field = |name| {
                    let values = received.headers.get_all(name).iter();
                    values
                        .map(|value| value.to_str().unwrap())
                        .collect::<Vec<_>>()
                        .join("|")
                };
                assert_eq!(field("content-type"), "application/grpc");
                assert_eq!(field("te"), "trailers");
                assert_eq!(field("grpc-encoding"), coding);
                assert_eq!(field("authorization"), "Bearer 1");
                assert_eq!(field("user-agent"), "an SDK/1.0");
                assert_eq!(field("x-tenant"), "a|b");
                assert_eq!(field("trace-bin"), "AQID");
                assert_eq!(field("grpc-timeout"), "");
                assert_eq!(field("grpc-accept-encoding"), "");
                assert_eq!(field("x-breaker-forwarded"), receiver.marker);
            }
        }
    }
    let stats = receiver.stop().await;
    for signal in Signal::ALL {
        let counted = stats.signal(signal);
        assert_eq!((counted.batches, counted.items), (9, 9));
        assert_eq!(
            (counted.forwarded, counted.queued, counted.queued_bytes),
            (9, 0, 0)
        );
        assert_eq!(counted.forwarded_bytes, counted.bytes);
    }
}

#[tokio::test]
async fn http_batches_are_sampled_and_sent_on_as_they_came() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(None, Some(collector.address)));
    let forms = [
        ("application/x-protobuf", Encoding::Protobuf, ""),
        ("application/json; charset=utf-8", Encoding::Json, "{}"),
    ];
    for signal in Signal::ALL {
        for coding in CODINGS {
            for (media_type, encoding, empty) in forms {
                let plain = payload(signal, coding);
                let sent = compress(coding, &plain);
                let fields = [
                    ("content-type", media_type),
                    ("content-encoding", coding),
                    ("authorization", "Bearer 1"),
                    ("connection", "x-hop"),
                    ("x-hop", "ends here"),
                    ("accept-encoding", "gzip"),
                ];
                let answer = http(receiver.address, http_path(signal), &fields, sent.clone()).await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.body, empty.as_bytes());
                let answered_type = answer.header("content-type");
                assert!(media_type.starts_with(answered_type), "{answered_type}");
                assert_eq!(receiver.kept.take(), [(signal, encoding, plain)]);

                let received = collector.next().await;
                assert_eq!(received.version, Version::HTTP_11);
                assert_eq!(received.path, http_path(signal));
                assert_eq!(received.body, sent, "{signal:?} {coding}");
                let field = |name| {
                    received
                        .headers
                        .get(name)
                        .map_or("", |v| v.to_str().unwrap())
                };
                assert_eq!(field("content-type"), media_type);
                assert_eq!(field("content-encoding"), coding);
                assert_eq!(field("authorization"), "Bearer 1");
                assert_eq!(field("content-length"), sent.len().to_string());
                assert_eq!(field("host"), collector.address.to_string());
                for absent in ["x-hop", "accept-encoding", "connection"] {
                    assert_eq!(field(absent), "", "{absent}");
                }
            }
        }
    }
}

#[tokio::test]
async fn each_port_answers_both_protocols() {
    let one = Running::plain();
    assert_eq!(one.addresses.grpc, one.addresses.http);
    let other_http = std::net::SocketAddr::from(([127, 0, 0, 2], 0));
    let two = Running::start(ReceiverSettings {
        http: Some(other_http),
        ..settings()
    });
    let (grpc, http_address) = (two.addresses.grpc.unwrap(), two.addresses.http.unwrap());
    assert_ne!(grpc, http_address);
    for address in [one.address, grpc, http_address] {
        is_empty_success(&export(address, Signal::Traces, "", b"a").await);
        let fields = [("content-type", "application/json")];
        assert_eq!(
            http(address, "/v1/logs", &fields, "{}").await.json(),
            serde_json::json!({})
        );
        // OTLP/HTTP by HTTP/2, too.
        let body = http_body_util::Full::new(Bytes::from_static(b"{}"));
        let h2 = request(Version::HTTP_2, "/v1/logs", &fields, body);
        assert_eq!(client::send(address, h2).await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn chunked_bodies_are_taken() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(None, Some(collector.address)));
    let body = Chunks::new(["one,", "two,", "three"], false);
    let fields = [("content-type", "application/x-protobuf")];
    let request = request(Version::HTTP_11, "/v1/traces", &fields, body);
    let answer = client::send(receiver.address, request).await.unwrap();
    assert_eq!(answer.status, 200);
    let expected = b"one,two,three".to_vec();
    assert_eq!(
        receiver.kept.take(),
        [(Signal::Traces, Encoding::Protobuf, expected)]
    );
    assert_eq!(&*collector.next().await.body, b"one,two,three");
}

#[tokio::test]
async fn senders_are_told_what_was_rejected_of_a_batch_and_all_of_it_goes_on() {
    use opentelemetry_proto::tonic::collector::{logs, metrics, trace};

    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    let answer = export(receiver.address, Signal::Traces, "", b"partly").await;
    let response = trace::v1::ExportTraceServiceResponse::decode(&answer.body[5..]).unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!(
        (partial.rejected_spans, &*partial.error_message),
        (2, "two were late")
    );

    let fields = [("content-type", "application/x-protobuf")];
    let answer = http(receiver.address, "/v1/metrics", &fields, "partly").await;
    let response = metrics::v1::ExportMetricsServiceResponse::decode(&*answer.body).unwrap();
    assert_eq!(response.partial_success.unwrap().rejected_data_points, 2);
    let answer = http(receiver.address, "/v1/logs", &fields, "partly").await;
    let response = logs::v1::ExportLogsServiceResponse::decode(&*answer.body).unwrap();
    assert_eq!(response.partial_success.unwrap().rejected_log_records, 2);

    for _ in 0..3 {
        assert_eq!(&collector.next().await.body[5..], b"partly");
    }
    let fields = [("content-type", "application/json")];
    for (path, field) in [
        ("/v1/traces", "rejectedSpans"),
        ("/v1/metrics", "rejectedDataPoints"),
        ("/v1/logs", "rejectedLogRecords"),
    ] {
        let answer = http(receiver.address, path, &fields, "partly").await;
        let expected = serde_json::json!({
            "partialSuccess": { field: "2", "errorMessage": "two were late" }
        });
        assert_eq!(answer.json(), expected);
    }
    let stats = receiver.stats();
    assert_eq!(stats.rejected_items, 12);
    assert_eq!(stats.signal(Signal::Traces).items, 14);
}

#[tokio::test]
async fn a_small_batch_that_grows_is_sampled_and_sent_on_once() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    let plain = vec![0; 1 << 20];
    for coding in ["gzip", "zstd"] {
        assert!(compress(coding, &plain).len() < 16 * 1024);
        is_empty_success(&export(receiver.address, Signal::Logs, coding, &plain).await);
        let sampled = receiver.kept.take();
        assert!(sampled == [(Signal::Logs, Encoding::Protobuf, plain.clone())]);
        collector.next().await;
    }
    assert_eq!(receiver.stop().await.signal(Signal::Logs).batches, 2);
    assert!(collector.is_quiet());
}
