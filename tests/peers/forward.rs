//! Telemetry on its way: from a collector to us, and from us to a collector, byte for byte.

use breaker_tests::{Sidecar, eventually, get};
use http::HeaderMap;
use serde_json::Value;

use crate::recorder::{Passed, Recorder};
use crate::rotel::Collector;
use crate::shop::{Environment, Receive, Shop, telemetry_only, variable};
use crate::tools::free_ports;

const CACHE: &str =
    "{ name: cache, service: shop, span: client, match: { db.system.name: redis } }";

async fn sidecar(receive: Receive, more: &str) -> Sidecar {
    let (receive, routes) = (receive.yaml(), telemetry_only("shop", CACHE));
    Sidecar::start(format!(
        "telemetry: {{ receive: {{ {receive}{more} }} }}\n{routes}"
    ))
    .await
}

/// A shop whose cache is down, with the advised environment but for where it sends to.
async fn shop(receive: Receive, endpoint: &str, more: Environment) -> Shop {
    let [nobody] = free_ports();
    let mut environment = receive.advised().await;
    environment.push(variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
    environment.extend(more);
    Shop::start(environment, nobody).await
}

/// What rotel makes of the shop's spans opens the breaker.
async fn opens_by_way_of_rotel(receive: Receive, protocol: &str) {
    let sidecar = sidecar(receive, "").await;
    let rotel = Collector::sending_to(&receive.endpoint(), protocol).await;
    // The advice for a sidecar that is where rotel is.
    let shop = shop(Receive::Grpc(4317), &rotel.grpc(), Vec::new()).await;
    let mut denied;
    eventually!({
        assert_eq!(shop.get("/shop/tea").await, 200);
        denied = get(sidecar.admin_url("/breakers/shop")).await;
        denied.status != 200
    });
    let problem: Value = serde_json::from_slice(&denied.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("(source cache)"), "{problem}");
}

#[tokio::test]
async fn spans_that_a_collector_sends_on_by_grpc_open_the_breaker() {
    opens_by_way_of_rotel(Receive::grpc(), "grpc").await;
}

#[tokio::test]
async fn spans_that_a_collector_sends_on_by_http_open_the_breaker() {
    opens_by_way_of_rotel(Receive::http(), "http").await;
}

/// The fields that say how to read a body, and what the application added for its collector.
fn metadata(headers: &HeaderMap) -> Vec<Option<&[u8]>> {
    let names = [
        "content-type",
        "content-encoding",
        "grpc-encoding",
        "x-tenant",
    ];
    let values = names.map(|name| headers.get(name).map(http::HeaderValue::as_bytes));
    values.to_vec()
}

fn is_the_same(before: &Passed, after: &Passed) -> bool {
    before.path == after.path
        && before.body == after.body
        && metadata(&before.headers) == metadata(&after.headers)
}

/// By signal, since each has a queue of its own.
fn of<'a>(passed: &'a [Passed], signal: &str) -> Vec<&'a Passed> {
    let of_signal = |one: &&Passed| one.path.to_lowercase().contains(signal);
    passed.iter().filter(of_signal).collect()
}

/// The shop, a recorder, the sidecar, a recorder, rotel.
async fn passes_unchanged(receive: Receive, more: Environment, how: &str) {
    let rotel = Collector::start().await;
    let (target, by) = match receive {
        Receive::Grpc(_) => (rotel.grpc(), "grpc"),
        Receive::Http(_) => (rotel.http(), "http"),
    };
    let behind = Recorder::in_front_of(&target).await;
    let forward = format!(", forward: {{ {by}: \"{}\" }}", behind.endpoint());
    let sidecar = sidecar(receive, &forward).await;
    let before = Recorder::in_front_of(&receive.endpoint()).await;
    let mut environment = more;
    environment.push(variable("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=tea"));
    let shop = shop(receive, &before.endpoint(), environment).await;
    for _ in 0..5 {
        assert_eq!(shop.get("/shop/tea").await, 200);
    }
    eventually!(
        {
            let (sent, forwarded) = (before.passed(), behind.passed());
            ["trace", "metrics"].iter().all(|signal| {
                let (sent, forwarded) = (of(&sent, signal), of(&forwarded, signal));
                !sent.is_empty() && sent.len() == forwarded.len()
            })
        },
        "{} passed before, {} behind",
        before.passed().len(),
        behind.passed().len()
    );
    let (sent, forwarded) = (before.passed(), behind.passed());
    for signal in ["trace", "metrics"] {
        for (sent, forwarded) in of(&sent, signal).into_iter().zip(of(&forwarded, signal)) {
            assert!(is_the_same(sent, forwarded), "{sent:#?} {forwarded:#?}");
            assert_eq!(sent.headers["x-tenant"], "tea");
            let told = format!("{:?}", sent.headers);
            assert!(told.contains(how), "{how} is not in {told}");
        }
    }
    // It was read as well.
    let counted = [
        ("breaker_source", "cache"),
        ("breaker_feed_fate", "counted"),
    ];
    let mut samples;
    eventually!(
        {
            let metrics = sidecar.metrics().await;
            samples = metrics.sum("breaker_feed_samples_total", &counted);
            samples >= Some(5.0)
        },
        "{samples:?}"
    );
    assert_eq!(samples, Some(5.0));
    let names = || -> Vec<String> {
        let spans = rotel.spans().into_iter();
        spans.map(|mut span| span.remove("Name").unwrap()).collect()
    };
    for name in ["GET /shop/<path:item>", "GET"] {
        eventually!(names().iter().any(|found| found == name), "{:?}", names());
    }
}

fn gzip() -> Environment {
    vec![variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")]
}

#[tokio::test]
async fn compressed_grpc_passes_byte_for_byte() {
    passes_unchanged(Receive::grpc(), gzip(), "\"grpc-encoding\": \"gzip\"").await;
}

#[tokio::test]
async fn compressed_protobuf_over_http_passes_byte_for_byte() {
    passes_unchanged(Receive::http(), gzip(), "\"content-encoding\": \"gzip\"").await;
}

#[tokio::test]
async fn json_passes_byte_for_byte() {
    let json = ["TRACES", "METRICS", "LOGS"]
        .map(|signal| variable(&format!("OTEL_{signal}_EXPORTER"), "otlp_json_http"));
    passes_unchanged(Receive::http(), json.to_vec(), "\"application/json\"").await;
}
