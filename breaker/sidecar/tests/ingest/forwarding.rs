//! Where batches go: by which protocol, in which frame, and not in circles.

use breaker_sidecar::ingest::{Forward, Lost, Receiver, ReceiverError, Signal};
use http::Version;

use crate::client::{export, grpc, grpc_path, http, http_path};
use crate::collector::Collector;
use crate::harness::{CODINGS, Running, compress, eventually, frame, quick, settings, url};

#[tokio::test]
async fn with_two_targets_a_batch_goes_out_as_it_came_in() {
    let (mut by_grpc, mut by_http) = (Collector::start().await, Collector::start().await);
    let receiver = Running::forwarding(quick(Some(by_grpc.address), Some(by_http.address)));
    export(receiver.address, Signal::Logs, "gzip", b"by gRPC").await;
    let received = by_grpc.next().await;
    assert_eq!(received.path, grpc_path(Signal::Logs));
    for media_type in ["application/x-protobuf", "application/json"] {
        let fields = [("content-type", media_type)];
        http(receiver.address, "/v1/logs", &fields, "by HTTP").await;
        assert_eq!(&*by_http.next().await.body, b"by HTTP");
    }
    assert!(by_grpc.is_quiet() && by_http.is_quiet());
}

#[tokio::test]
async fn with_one_target_protobuf_changes_its_frame_and_not_its_bytes() {
    let mut collector = Collector::start().await;
    let to_grpc = Running::forwarding(quick(Some(collector.address), None));
    let to_http = Running::forwarding(quick(None, Some(collector.address)));
    for signal in Signal::ALL {
        for coding in CODINGS {
            let message = compress(coding, b"the same bytes");
            let fields = [
                ("content-type", "application/x-protobuf"),
                ("content-encoding", coding),
                ("authorization", "a"),
            ];
            http(to_grpc.address, http_path(signal), &fields, message.clone()).await;
            let received = collector.next().await;
            assert_eq!(received.version, Version::HTTP_2);
            assert_eq!(received.path, grpc_path(signal));
            assert_eq!(received.body, frame(!coding.is_empty(), &message));
            let field = |name| {
                received
                    .headers
                    .get(name)
                    .map_or("", |v| v.to_str().unwrap())
            };
            assert_eq!(field("content-type"), "application/grpc");
            assert_eq!(field("grpc-encoding"), coding);
            assert_eq!(field("authorization"), "a");
            assert!(!received.headers.contains_key("content-encoding"));

            let framed = frame(!coding.is_empty(), &message);
            let fields = [("grpc-encoding", coding), ("authorization", "b")];
            grpc(to_http.address, grpc_path(signal), &fields, framed).await;
            let received = collector.next().await;
            assert_eq!(received.version, Version::HTTP_11);
            assert_eq!(received.path, http_path(signal));
            assert_eq!(received.body, message);
            let field = |name| {
                received
                    .headers
                    .get(name)
                    .map_or("", |v| v.to_str().unwrap())
            };
            assert_eq!(field("content-type"), "application/x-protobuf");
            assert_eq!(field("content-encoding"), coding);
            assert_eq!(field("authorization"), "b");
            assert!(!received.headers.contains_key("grpc-encoding"));
            assert!(!received.headers.contains_key("te"));
        }
    }
}

#[tokio::test]
async fn the_path_of_an_http_target_is_kept() {
    let mut collector = Collector::start().await;
    let target = format!("http://{}/otlp/", collector.address);
    let receiver = Running::forwarding(Forward {
        http: Some(target.parse().unwrap()),
        ..quick(None, None)
    });
    export(receiver.address, Signal::Metrics, "", b"a").await;
    assert_eq!(collector.next().await.path, "/otlp/v1/metrics");
}

#[tokio::test]
async fn json_does_not_go_out_by_grpc_and_is_counted() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    let fields = [("content-type", "application/json")];
    let answer = http(receiver.address, "/v1/traces", &fields, "{}").await;
    assert_eq!(answer.status, 200);
    let stats = receiver.stop().await;
    assert_eq!(stats.signal(Signal::Traces).dropped(Lost::NoTarget), 1);
    assert!(collector.is_quiet());
}

#[tokio::test]
async fn what_this_process_sent_itself_is_dropped_and_what_another_sent_is_not() {
    let mut collector = Collector::start().await;
    let receiver = Running::forwarding(quick(Some(collector.address), None));
    let others = format!("0123, {}", receiver.marker);
    for marks in [&*receiver.marker, &others] {
        let fields = [("x-breaker-forwarded", marks)];
        let path = grpc_path(Signal::Traces);
        let answer = grpc(receiver.address, path, &fields, frame(false, b"again")).await;
        assert_eq!(answer.code(), 0);
    }
    assert!(receiver.kept.take().is_empty());
    assert_eq!(receiver.stats().signal(Signal::Traces).own, 2);

    let fields = [("x-breaker-forwarded", "0123")];
    let path = grpc_path(Signal::Traces);
    grpc(receiver.address, path, &fields, frame(false, b"another's")).await;
    let received = collector.next().await;
    assert_eq!(&received.body[5..], b"another's");
    let marks = received.headers.get_all("x-breaker-forwarded");
    assert_eq!(
        marks.iter().collect::<Vec<_>>(),
        ["0123", &*receiver.marker]
    );
}

#[tokio::test]
async fn a_circle_of_two_receivers_ends() {
    let first_address = crate::harness::nobody();
    let second = Running::forwarding(quick(Some(first_address), None));
    let mut first = settings();
    (first.grpc, first.http) = (Some(first_address), None);
    first.forward = Some(quick(Some(second.address), None));
    let first = Running::start(first);
    export(first.address, Signal::Logs, "", b"round").await;
    eventually("it is back", || first.stats().signal(Signal::Logs).own == 1).await;
    assert_eq!((first.kept.take().len(), second.kept.take().len()), (1, 1));
}

#[tokio::test]
async fn a_target_that_is_the_receiver_itself_is_an_error() {
    let address = crate::harness::nobody();
    let mut settings = settings();
    settings.grpc = Some(address);
    settings.forward = Some(quick(None, Some(address)));
    let error = Receiver::bind(settings.clone()).unwrap_err();
    assert!(matches!(error, ReceiverError::Settings(_)));
    assert_eq!(
        error.to_string(),
        "forward.http: must not be where this process receives"
    );

    settings.forward = None;
    let _first = Receiver::bind(settings.clone()).unwrap();
    let error = Receiver::bind(settings).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
}

#[tokio::test]
async fn a_certificate_that_is_none_is_an_error() {
    let mut settings = settings();
    let target = url(crate::harness::nobody());
    let mut forward = Forward::to(target, None);
    forward.tls.certificate = Some("no/such/file.pem".into());
    settings.forward = Some(forward);
    let error = Receiver::bind(settings).unwrap_err().to_string();
    assert!(error.starts_with("no/such/file.pem: "), "{error}");
}
