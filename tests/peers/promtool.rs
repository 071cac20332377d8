//! promtool and Prometheus' client for Python, the judges of what Prometheus scrapes.

use std::path::Path;

use breaker_tests::{Script, Setup, Sidecar, Upstream, get, send};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use serde_json::Value;

use crate::tools::{installed, run};

#[tokio::test]
async fn finds_no_fault_in_our_metrics() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    for status in [200, 404, 500] {
        upstream.play(Script::Status(status));
        for _ in 0..10 {
            get(sidecar.url("/pay/x")).await;
        }
    }
    let metrics = sidecar.metrics().await;
    let output = run("promtool", ["check", "metrics"], metrics.text().as_bytes()).await;
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("", ""),
        "{}",
        metrics.text()
    );
}

/// What a scraper that likes OpenMetrics reads.
async fn openmetrics(sidecar: &Sidecar) -> String {
    let request = Request::get(sidecar.admin_url("/metrics"))
        .header(
            "accept",
            "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
        )
        .body(Empty::<Bytes>::new());
    let answer = send(request.unwrap()).await.unwrap();
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), media_type);
    answer.text()
}

#[tokio::test]
async fn openmetrics_is_read_by_the_client_for_python_with_its_exemplars() {
    const TRACE: &str = "12345678901234567890123456789012";
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    for flags in ["00", "01"] {
        let traceparent = format!("00-{}{flags}-1234567890123456-{flags}", &TRACE[2..]);
        let request = Request::get(sidecar.url("/pay"))
            .header("traceparent", traceparent)
            .body(Empty::<Bytes>::new());
        send(request.unwrap()).await.unwrap();
    }
    let text = openmetrics(&sidecar).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/openmetrics.py");
    let output = run(installed("venv/bin/python"), [script], text.as_bytes()).await;
    let read: Value = serde_json::from_str(&output.stdout).unwrap();
    let kind = |family: &str| read["families"][family].as_str().unwrap_or("").to_owned();
    assert_eq!(kind("breaker_requests"), "counter");
    assert_eq!(kind("breaker_build"), "info");
    assert_eq!(kind("http_server_request_duration_seconds"), "histogram");
    // Only of the trace that is recorded: of the other there is nothing to look up.
    let exemplars = read["exemplars"].as_array().unwrap();
    assert_eq!(exemplars.len(), 1, "{exemplars:?}");
    assert_eq!(exemplars[0]["trace"], format!("{}01", &TRACE[2..]));
}
