//! Spans of requests, from a client's socket to a collector's.

use std::net::TcpListener;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::collector::{Collector, attribute};
use super::export::ANY;
use super::sidecar::Sidecar;
use breaker_tower::TraceContext;

const ON: (&str, &str) = ("OTEL_TRACES_EXPORTER", "otlp");
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "20");
const STATE: &str = "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
const PARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
const TRACE_ID: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

async fn traced(collector: &Collector, variables: &[(&str, &str)]) -> Sidecar {
    let endpoint = format!("http://{}", collector.address);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint);
    Sidecar::start(&[&[ON, SOON, endpoint], variables].concat()).await
}

async fn span(collector: &mut Collector) -> Span {
    collector.spans().await.spans().next().unwrap().clone()
}

fn text(span: &Span, key: &str) -> Option<String> {
    attribute(&span.attributes, key)
}

fn told(sidecar: &Sidecar) -> TraceContext {
    TraceContext::of(&sidecar.seen()).expect("a valid traceparent")
}

#[tokio::test]
async fn a_request_has_a_span_between_its_callers_and_its_upstreams() {
    for protocol in ["grpc", "http/protobuf"] {
        let mut collector = match protocol {
            "grpc" => Collector::grpc(ANY).await,
            _ => Collector::http(ANY).await,
        };
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_SERVICE_NAME", "shop"),
        ];
        let sidecar = traced(&collector, &variables).await;
        let headers = [PARENT, STATE, "User-Agent: test/1"];
        assert_eq!(sidecar.send("POST /pay/7?card=1", &headers).await, 200);

        let received = collector.spans().await;
        assert_eq!(received.headers["authorization"], "Basic YTpi");
        assert_eq!(received.resource("service.name").as_deref(), Some("shop"));
        let span = received.spans().next().unwrap();
        assert_eq!(span.name, "POST pay");
        assert_eq!(span.kind, SpanKind::Server as i32);
        assert_eq!(span.trace_id, TRACE_ID.to_be_bytes());
        assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
        assert_eq!(span.trace_state, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
        assert_eq!(span.status.as_ref().map_or(0, |status| status.code), 0);
        for (key, value) in [
            ("http.request.method", "POST"),
            ("http.route", "pay"),
            ("http.response.status_code", "200"),
            ("url.path", "/pay/7"),
            ("url.scheme", "http"),
            ("network.protocol.version", "1.1"),
            ("server.address", "shop"),
            ("server.port", "8080"),
            ("client.address", "127.0.0.1"),
            ("user_agent.original", "test/1"),
            ("breaker.name", "pay"),
            ("breaker.state", "closed"),
            ("breaker.outcome", "success"),
        ] {
            assert_eq!(text(span, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(text(span, "error.type"), None);

        let upstream = told(&sidecar);
        assert_eq!(upstream.trace_id, TRACE_ID);
        assert_eq!(upstream.span_id.to_be_bytes(), *span.span_id);
        assert_eq!(upstream.flags, 3, "every flag is kept");
        let state = STATE.strip_prefix("tracestate: ").unwrap();
        assert_eq!(sidecar.seen()["tracestate"], state);
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn without_a_valid_parent_a_trace_begins() {
    let mut collector = Collector::grpc(ANY).await;
    let sidecar = traced(&collector, &[]).await;
    let other = PARENT.replace("319c-", "319d-");
    for headers in [
        &[][..],
        &[STATE],
        &[
            "traceparent: 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            STATE,
        ],
        &[PARENT, &other, STATE],
    ] {
        assert_eq!(sidecar.send("GET /pay/7", headers).await, 200);
        let span = span(&mut collector).await;
        assert_eq!(span.parent_span_id, [] as [u8; 0]);
        let upstream = told(&sidecar);
        assert_eq!(upstream.trace_id.to_be_bytes(), *span.trace_id);
        assert_eq!(upstream.span_id.to_be_bytes(), *span.span_id);
        assert_eq!(upstream.flags, TraceContext::SAMPLED | TraceContext::RANDOM);
        assert_ne!(upstream.trace_id, TRACE_ID);
        // It goes with the traceparent that was not valid.
        assert!(!sidecar.seen().contains_key("tracestate"), "{headers:?}");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_caller_that_does_not_record_is_followed() {
    let mut collector = Collector::grpc(ANY).await;
    let sidecar = traced(&collector, &[]).await;
    let unsampled = PARENT.replace("-03", "-fe");
    assert_eq!(sidecar.send("GET /pay/1", &[&unsampled, STATE]).await, 200);
    let upstream = told(&sidecar);
    assert_eq!((upstream.trace_id, upstream.flags), (TRACE_ID, 0xfe));
    assert_ne!(upstream.span_id, 0xb7ad_6b71_6920_3331);
    assert!(sidecar.seen().contains_key("tracestate"));

    assert_eq!(sidecar.send("GET /pay/2", &[PARENT]).await, 200);
    sidecar.stop().await;
    let received = collector.spans().await;
    let paths: Vec<_> = received
        .spans()
        .map(|span| text(span, "url.path"))
        .collect();
    assert_eq!(paths, [Some("/pay/2".to_owned())]);
}

#[tokio::test]
async fn a_sampler_that_records_nothing_still_tells_the_upstream() {
    let collector = Collector::grpc(ANY).await;
    let sidecar = traced(&collector, &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    assert_eq!(sidecar.send("GET /pay/1", &[PARENT]).await, 200);
    let upstream = told(&sidecar);
    assert_eq!((upstream.trace_id, upstream.flags), (TRACE_ID, 2));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_the_breaker_makes_of_a_request_is_in_its_span() {
    let mut collector = Collector::grpc(ANY).await;
    let sidecar = traced(&collector, &[]).await;
    let error = StatusCode::Error as i32;
    sidecar.answer(500);
    for (status, state, outcome, upstream_saw) in [
        (500, "closed", "failure", 1),
        (500, "closed", "failure", 2),
        (503, "open", "rejected", 2),
    ] {
        assert_eq!(sidecar.send("GET /pay/7", &[PARENT]).await, status);
        let span = span(&mut collector).await;
        assert_eq!(text(&span, "breaker.state").as_deref(), Some(state));
        assert_eq!(text(&span, "breaker.outcome").as_deref(), Some(outcome));
        assert_eq!(text(&span, "breaker.name").as_deref(), Some("pay"));
        assert_eq!(text(&span, "error.type"), Some(status.to_string()));
        assert_eq!(span.status.unwrap().code, error);
        assert_eq!(span.trace_id, TRACE_ID.to_be_bytes());
        let snapshot = sidecar.breaker.snapshot();
        assert_eq!(snapshot.totals.failure, upstream_saw);
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn what_never_comes_to_a_breaker_has_a_span_without_one() {
    let mut collector = Collector::grpc(ANY).await;
    let sidecar = traced(&collector, &[]).await;
    for (line, name, status) in [
        ("GET /other", "GET", 404),
        ("BREW /other", "HTTP", 404),
        ("TRACE /pay/1", "TRACE", 405),
    ] {
        assert_eq!(sidecar.send(line, &[]).await, status);
        let span = span(&mut collector).await;
        assert_eq!(span.name, name);
        let code = text(&span, "http.response.status_code");
        assert_eq!(code, Some(status.to_string()));
        for key in ["http.route", "breaker.name", "breaker.outcome"] {
            assert_eq!(text(&span, key), None, "{line} {key}");
        }
        assert_eq!(span.status.as_ref().map_or(0, |status| status.code), 0);
        if name == "HTTP" {
            let original = text(&span, "http.request.method_original");
            assert_eq!(original.as_deref(), Some("BREW"));
            assert_eq!(
                text(&span, "http.request.method").as_deref(),
                Some("_OTHER")
            );
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn what_a_caller_sends_is_bounded_in_a_span() {
    let mut collector = Collector::grpc(ANY).await;
    let sidecar = traced(&collector, &[]).await;
    let long = "x".repeat(5000);
    let agent = format!("User-Agent: {long}");
    assert_eq!(
        sidecar.send(&format!("GET /pay/{long}"), &[&agent]).await,
        200
    );
    let span = span(&mut collector).await;
    for key in ["url.path", "user_agent.original"] {
        assert_eq!(text(&span, key).unwrap().len(), 1024, "{key}");
    }
    assert_eq!(sidecar.seen()["user-agent"].len(), 5000);
    sidecar.stop().await;
}

#[tokio::test]
async fn while_tracing_is_off_contexts_pass_untouched() {
    let sidecar = Sidecar::start(&[]).await;
    for headers in [
        [PARENT, STATE],
        ["traceparent: not a context", "tracestate: ,, not=a=state"],
        [
            "traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more",
            STATE,
        ],
    ] {
        assert_eq!(sidecar.send("GET /pay/7", &headers).await, 200);
        let seen = sidecar.seen();
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            assert_eq!(seen[name], value);
        }
    }
    assert_eq!(sidecar.send("GET /pay/7", &[]).await, 200);
    assert!(!sidecar.seen().contains_key("traceparent"));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_dead_collector_costs_spans_and_no_request() {
    // Accepts by its backlog, never answers.
    let hanging = TcpListener::bind(ANY).unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    let sidecar = Sidecar::start(&[
        ON,
        SOON,
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
        ("OTEL_BSP_EXPORT_TIMEOUT", "300"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
    ])
    .await;
    let dropped = |reason: &str| {
        format!(
            "breaker_telemetry_dropped_total{{breaker_telemetry_drop_reason=\"{reason}\",breaker_telemetry_signal=\"traces\"}}"
        )
    };
    let reasons = [dropped("queue_full"), dropped("export_failed")];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut sent = 0;
    loop {
        assert_eq!(sidecar.send("GET /pay/7", &[]).await, 200);
        sent += 1;
        let metrics = sidecar.metrics().await;
        if reasons.iter().all(|reason| metrics.contains(reason)) {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{sent} sent\n{metrics}"
        );
    }
    sidecar.stop().await;
}
