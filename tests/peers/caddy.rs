//! Caddy, by OpenTelemetry's SDK for Go, opens a breaker.

use std::fs;

use breaker_tests::{Script, Sidecar, Upstream, eventually, get};
use http::Uri;
use serde_json::Value;

use crate::shop::{Receive, telemetry_only};
use crate::tools::{caddy, free_ports, serve};

#[tokio::test]
async fn server_spans_of_caddy_open_the_breaker_when_its_upstream_fails() {
    let receive = Receive::grpc();
    let routes = telemetry_only("edge", "{ name: caddy, service: caddy, span: server }");
    let yaml = format!(
        "telemetry: {{ receive: {{ {} }} }}\n{routes}",
        receive.yaml()
    );
    let sidecar = Sidecar::start(yaml).await;

    // It must answer: what Caddy answers for one that does not, its spans call a 200.
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let [port] = free_ports();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("Caddyfile");
    let caddyfile = format!(
        "{{\n\tadmin off\n}}\nhttp://127.0.0.1:{port} {{\n\ttracing\n\treverse_proxy {}\n}}\n",
        upstream.address()
    );
    fs::write(&file, caddyfile).unwrap();
    let mut command = caddy(directory.path(), &file);
    command.env("OTEL_SERVICE_NAME", "caddy");
    command.envs(receive.advised().await);
    let _caddy = serve(command, port).await;

    let url: Uri = format!("http://127.0.0.1:{port}/x").parse().unwrap();
    let mut denied;
    eventually!({
        assert_eq!(get(url.clone()).await.status, 500);
        denied = get(sidecar.admin_url("/breakers/edge")).await;
        denied.status != 200
    });
    let problem: Value = serde_json::from_slice(&denied.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("100%"), "{detail}");
    assert!(detail.contains("(source caddy)"), "{detail}");
}
