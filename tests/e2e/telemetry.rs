//! What the admin port tells, and that telemetry never stands in the way of traffic.

use std::net::TcpListener;
use std::time::Duration;

use breaker_tests::{Metrics, Script, Setup, Upstream, calmly, eventually, get, send};
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::traffic::in_turn;

#[tokio::test]
async fn counts_what_the_traffic_implies() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    in_turn(&sidecar, 30).await;
    upstream.play(Script::Status(500));
    assert_eq!(
        in_turn(&sidecar, 8).await,
        [500, 500, 500, 503, 503, 503, 503, 503]
    );
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.requests("pay", "success"), 30.0);
    assert_eq!(metrics.requests("pay", "failure"), 3.0);
    assert_eq!(metrics.requests("pay", "rejected"), 5.0);
    assert_eq!(metrics.transitions("pay", "closed", "open"), 1.0);
    assert_eq!(metrics.state("pay"), "open");
    let duration = "http_server_request_duration_seconds_count";
    assert_eq!(metrics.sum(duration, &[("http_route", "pay")]), Some(38.0));
}

#[tokio::test]
async fn tells_what_the_process_takes() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    let before = sidecar.metrics().await;
    let value = |metrics: &Metrics, name| metrics.sum(name, &[]).unwrap_or(f64::NAN);
    let memory = value(&before, "process_resident_memory_bytes");
    assert!((1e6..2e9).contains(&memory), "{memory}");
    assert!(value(&before, "process_threads") >= 4.0);
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(sidecar.address()).await.unwrap();
        client.write_all(b"G").await.unwrap();
        clients.push(client);
    }
    let open = "process_open_fds";
    let had = value(&before, open);
    let has = |metrics: &Metrics| value(metrics, open);
    eventually!((45.0..60.0).contains(&(has(&sidecar.metrics().await) - had)));
    let kernel = std::fs::read_dir(format!("/proc/{}/fd", sidecar.process().id()));
    let kernel = kernel.unwrap().count() as f64;
    // A scrape has a socket or two of its own.
    let told = has(&sidecar.metrics().await);
    assert!(
        (told - kernel).abs() <= 3.0,
        "{told}, the kernel says {kernel}"
    );
    drop(clients);
    eventually!((has(&sidecar.metrics().await) - had).abs() <= 3.0);
    let limit = value(&before, "breaker_descriptors_limit");
    assert!(limit >= told, "{limit}");
    in_turn(&sidecar, 300).await;
    let after = sidecar.metrics().await;
    let worked = |metrics: &Metrics| value(metrics, "process_cpu_seconds_total");
    let share = worked(&after) - worked(&before);
    assert!((0.01..60.0).contains(&share), "{share}");
}

#[tokio::test]
async fn counts_which_limits_acted() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address())
        .more("limits: { idle_timeout: 100ms, max_body_bytes: 1KiB }")
        .start()
        .await;
    let limited = |metrics: &Metrics, by| {
        metrics.sum("breaker_proxy_limited_total", &[("breaker_limited_by", by)])
    };
    let metrics = sidecar.metrics().await;
    for limit in ["header_timeout", "max_in_flight", "write_timeout"] {
        assert_eq!(limited(&metrics, limit), Some(0.0), "{limit}");
    }
    let mut stream = TcpStream::connect(sidecar.address()).await.unwrap();
    let requests = "GET /pay/x HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let large = Request::post(sidecar.url("/pay/x")).body(Full::from(vec![b'x'; 2000]));
    assert_eq!(send(large.unwrap()).await.unwrap().status, 413);
    let metrics = sidecar.metrics().await;
    assert_eq!(limited(&metrics, "max_body_bytes"), Some(1.0));
    assert_eq!(limited(&metrics, "idle_timeout"), Some(1.0));
}

#[tokio::test]
async fn counts_what_it_sends_by_endpoint() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    let port = address.port().to_string();
    let sidecar = Setup::of(address).start().await;
    in_turn(&sidecar, 2).await;
    upstream.play(Script::Status(500));
    in_turn(&sidecar, 1).await;
    drop(upstream);
    // The pooled connection is closed with the upstream; the next one is refused.
    eventually!(TcpStream::connect(address).await.is_err());
    assert_eq!(in_turn(&sidecar, 1).await, [502]);

    let endpoint = [
        ("server_address", "127.0.0.1"),
        ("server_port", &port),
        ("http_request_method", "GET"),
        ("network_protocol_version", "1.1"),
        ("url_scheme", "http"),
    ];
    let count = |metrics: &Metrics, labels: &[(&str, &str)]| {
        let labels = [&endpoint, labels].concat();
        metrics.sum("http_client_request_duration_seconds_count", &labels)
    };
    let code = "http_response_status_code";
    let refused = [("error_type", "connection_refused")];
    let mut metrics;
    eventually!({
        metrics = sidecar.metrics().await;
        count(&metrics, &[]) == Some(4.0)
    });
    assert_eq!(count(&metrics, &[(code, "200")]), Some(2.0));
    assert_eq!(
        count(&metrics, &[(code, "500"), ("error_type", "500")]),
        Some(1.0)
    );
    assert_eq!(count(&metrics, &refused), Some(1.0));
}

#[tokio::test]
async fn lists_its_breakers_and_says_that_it_lives() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(sidecar.admin_url(path)).await.status, 200, "{path}");
    }
    let breakers = get(sidecar.admin_url("/breakers")).await;
    let breakers: serde_json::Value = serde_json::from_slice(&breakers.body).unwrap();
    assert!(breakers.to_string().contains("\"pay\""), "{breakers:#}");
}

#[tokio::test]
async fn a_dead_collector_costs_spans_and_changes_nothing_for_traffic() {
    calmly(async || {
        let upstream = Upstream::start().await;
        // Accepts by its backlog, never answers.
        let dead = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sidecar = Setup::of(upstream.address())
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", dead.local_addr().unwrap()),
            )
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
            .env("OTEL_METRIC_EXPORT_TIMEOUT", "200")
            .env("OTEL_TRACES_EXPORTER", "otlp")
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .env("OTEL_BSP_EXPORT_TIMEOUT", "200")
            .start()
            .await;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            let sent = Instant::now();
            assert_eq!(in_turn(&sidecar, 1).await, [200]);
            assert!(
                sent.elapsed() < Duration::from_millis(500),
                "{:?}",
                sent.elapsed()
            );
        }
        let lost = [
            ("breaker_telemetry_signal", "traces"),
            ("breaker_telemetry_drop_reason", "export_failed"),
        ];
        let dropped = sidecar
            .metrics()
            .await
            .sum("breaker_telemetry_dropped_total", &lost);
        assert!(dropped > Some(0.0), "{dropped:?}");
        sidecar.process().terminate();
        let ended = tokio::time::timeout(Duration::from_secs(10), sidecar.process().ended());
        assert_eq!(ended.await.expect("within 10 s").code(), Some(0));
    })
    .await;
}
