//! An Envoy that already runs gets a breaker from its own telemetry: what it sends opens it, and it
//! asks it.

use std::fs;

use breaker_tests::{Script, Sidecar, Upstream, calmly, eventually, get};
use http::Uri;
use serde_json::Value;

use crate::shop::{Receive, batches, report};
use crate::tools::{documented, envoy, free_ports, serve};

/// The rest of what Envoy can send by OTLP, beside the spans of docs/feeds.md.
const ACCESS_LOG: &str = r#"access_log:
  - name: envoy.access_loggers.open_telemetry
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig
      grpc_service: { envoy_grpc: { cluster_name: breaker_otlp }, timeout: 1s }
      body: { string_value: "%REQ(:METHOD)% %RESPONSE_CODE%" }
"#;
const STATS: &str = r#"stats_flush_interval: 1s
stats_sinks:
  - name: envoy.stat_sinks.open_telemetry
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig
      grpc_service: { envoy_grpc: { cluster_name: breaker_otlp }, timeout: 1s }
"#;
const RECEIVER: &str = r#"
    - name: breaker_otlp
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
      load_assignment:
        cluster_name: breaker_otlp
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: @4317@ } } }
"#;

fn indent(block: &str, by: usize) -> String {
    let lines = block
        .lines()
        .map(|line| format!("{}{line}\n", " ".repeat(by)));
    lines.collect()
}

/// Envoy as docs/verdict.md configures it, with the tracing of docs/feeds.md, and all else that it
/// can send.
fn configuration(ports: [(&str, u16); 4]) -> String {
    let mut config = documented("verdict.md", "yaml", "static_resources:\n");
    let tracing = documented("feeds.md", "yaml", "# in Envoy's HttpConnectionManager\n");
    let anchor = "                stat_prefix: in\n";
    assert!(config.contains(anchor), "{config}");
    let sending = [tracing, ACCESS_LOG.to_owned()].concat();
    config = config.replace(anchor, &[anchor, &indent(&sending, 16)].concat());
    // The name by which the feed of docs/feeds.md knows the service.
    config = config.replace("cluster: service ", "cluster: pay ");
    config = config.replace("name: service\n", "name: pay\n");
    config.push_str(RECEIVER.trim_start_matches('\n'));
    config.push_str(STATS);
    for (documented, _) in &ports[..3] {
        let port = format!("port_value: {documented} ");
        assert!(config.contains(&port), "{documented} is not in {config}");
        config = config.replace(&port, &format!("port_value: @{documented}@ "));
    }
    for (documented, port) in ports {
        config = config.replace(&format!("@{documented}@"), &port.to_string());
    }
    config
}

/// The sidecar of docs/feeds.md, soon half-open and on free ports.
async fn sidecar(receive: Receive) -> Sidecar {
    let mut yaml = documented(
        "feeds.md",
        "yaml",
        "telemetry: { receive: { grpc: 127.0.0.1:4317 } }\n",
    );
    for (documented, ours) in [
        ("grpc: 127.0.0.1:4317", receive.yaml().as_str()),
        (
            "policy: sensitive",
            "policy: { base: sensitive, open: { for: 2s, jitter: 0% }, ramp: { for: 1s } }",
        ),
    ] {
        assert!(yaml.contains(documented), "{documented} is not in {yaml}");
        yaml = yaml.replace(documented, ours);
    }
    Sidecar::start(format!("admin: 127.0.0.1:0\n{yaml}")).await
}

#[tokio::test]
async fn an_envoy_that_runs_gets_a_breaker_from_its_own_telemetry() {
    calmly(async || {
        let upstream = Upstream::start().await;
        let receive = Receive::grpc();
        let sidecar = sidecar(receive).await;
        let [port] = free_ports();
        let config = configuration([
            ("8000", port),
            ("9001", upstream.address().port()),
            ("9900", sidecar.admin_address().port()),
            ("4317", receive.port()),
        ]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("envoy.yaml");
        fs::write(&file, config).unwrap();
        let _envoy = serve(envoy(&file), port).await;
        let url: Uri = format!("http://127.0.0.1:{port}/pay/x").parse().unwrap();

        for _ in 0..10 {
            assert_eq!(get(url.clone()).await.status, 200);
        }
        upstream.play(Script::Status(500));
        let mut denied;
        eventually!(
            {
                denied = get(url.clone()).await;
                denied.status != 500
            },
            "Envoy goes on sending"
        );
        assert_eq!(denied.status, 503, "{denied:?}");
        let problem: Value = serde_json::from_slice(&denied.body).unwrap();
        assert_eq!(problem["breaker"], "pay", "{problem}");
        assert_eq!(problem["reason"], "error_rate", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("(source edge)"), "{detail}");
        let before = upstream.count();
        assert_eq!(get(url.clone()).await.status, 503);
        assert_eq!(upstream.count(), before, "the service is not left alone");

        for signal in ["traces", "metrics", "logs"] {
            eventually!(batches(&sidecar, signal).await > 0.0, "no {signal}");
        }
        let refused = sidecar.metrics().await;
        assert_eq!(
            refused.sum("breaker_receiver_refused_total", &[]),
            Some(0.0)
        );

        upstream.play(Script::Status(200));
        eventually!(
            {
                get(url.clone()).await;
                report(&sidecar).await["state"] == "closed"
            },
            "it does not recover: {:#}",
            report(&sidecar).await
        );
        assert_eq!(get(url).await.status, 200);
    })
    .await;
}
