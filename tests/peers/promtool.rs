//! promtool, the judge of what Prometheus scrapes.

use breaker_tests::{Script, Setup, Upstream, get};

use crate::tools::run;

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
