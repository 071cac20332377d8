//! h2load: many connections and streams at once, and every request is answered.

use breaker_tests::{Setup, Upstream};

use crate::tools::run;

#[tokio::test]
async fn answers_every_request_of_many_connections_over_http1() {
    all_are_answered(&["--h1", "-c", "50"]).await;
}

#[tokio::test]
async fn answers_every_request_of_many_streams_over_http2() {
    all_are_answered(&["-c", "10", "-m", "20"]).await;
}

async fn all_are_answered(shape: &[&str]) {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let url = sidecar.url("/pay/x").to_string();
    let arguments = shape.iter().copied().chain(["-n", "5000", &url]);
    let output = run("h2load", arguments, b"").await.stdout;
    assert!(
        output.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{output}"
    );
    assert!(output.contains("status codes: 5000 2xx"), "{output}");
    assert_eq!(upstream.count(), 5000);
}
