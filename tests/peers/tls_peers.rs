//! TLS with more programs that nobody here wrote: grpcio, with a gRPC server behind the sidecar, and
//! sslyze, which looks for what is weak.

use breaker_tests::{Setup, Sidecar, Upstream};
use serde_json::json;
use tokio::process::Command;

use crate::grpc;
use crate::tls::Files;
use crate::tools::installed;

#[tokio::test]
async fn grpcio_calls_over_tls_with_its_certificate_and_gets_every_trailer() {
    let files = Files::new().await;
    let (_server, address) = grpc::server().await;
    let [cert, key] = ["server.crt", "server.key"].map(|name| files.path(name));
    let roots = files.path("ca.crt");
    let allow = "spiffe://example.org/ns/shop/sa/*";
    let clients = format!("clients: {{ roots: {roots}, allow: [\"{allow}\"] }}");
    let tls = format!("tls: {{ cert: {cert}, key: {key}, {clients} }}");
    let sidecar = Setup::of(address).more(&tls).start().await;
    let url = format!("localhost:{}", sidecar.address().port());
    let shown = ["client.crt", "client.key"].map(|name| files.path(name));
    let by_tls = ["--tls", &roots, &shown[0], &shown[1]];
    for (method, messages, answers) in [
        ("Say", &["hello"][..], json!(["hello"])),
        ("Echo", &["a", "b", "c"], json!(["a", "b", "c"])),
    ] {
        let arguments = [&[method], messages, &by_tls].concat();
        let call = &grpc::call_at(&url, &arguments).await[0];
        assert_eq!(call["code"], "OK", "{call}");
        assert_eq!(call["answers"], answers, "{call}");
    }
    let failed = [&["Fail", "x"][..], &by_tls].concat();
    let failed = &grpc::call_at(&url, &failed).await[0];
    assert_eq!(failed["details"], "the service is down", "{failed}");

    // Somebody whom nobody allowed.
    let by_tls = ["--tls", &roots, &cert, &key];
    let refused = [&["Say", "hello"][..], &by_tls].concat();
    let refused = &grpc::call_at(&url, &refused).await[0];
    assert_eq!(refused["code"], "UNAVAILABLE", "{refused}");
    let labels = [("breaker_tls_result", "not_allowed")];
    let metrics = sidecar.metrics().await;
    let counted = metrics.sum("breaker_tls_handshakes_total", &labels);
    assert!(counted >= Some(1.0), "{}", metrics.text());
}

/// What sslyze says of a sidecar whose lowest version is this, compared with a recommendation of
/// Mozilla.
async fn scanned(files: &Files, upstream: &Upstream, min: &str, mozilla: &str) -> String {
    let [cert, key] = ["server.crt", "server.key"].map(|name| files.path(name));
    let tls = format!("tls: {{ cert: {cert}, key: {key}, min: \"{min}\" }}");
    let sidecar: Sidecar = Setup::of(upstream.address()).more(&tls).start().await;
    let target = format!("localhost:{}", sidecar.address().port());
    let compared = format!("--mozilla_config={mozilla}");
    // It ends badly whenever it complains of something.
    let mut sslyze = Command::new(installed("venv/bin/sslyze"));
    sslyze.args([&compared, "--early_data", &target]);
    let output = sslyze.kill_on_drop(true).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What sslyze complains of.
fn complaints(report: &str) -> Vec<&str> {
    let lines = report.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("* "))
        .filter(|line| !line.ends_with(':'))
        .collect()
}

#[tokio::test]
async fn sslyze_finds_nothing_to_complain_of_but_the_private_authority() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    for (min, mozilla) in [("1.3", "modern"), ("1.2", "intermediate")] {
        let report = scanned(&files, &upstream, min, mozilla).await;
        let private =
            "certificate_path_validation: Certificate path validation failed for CN=server.";
        assert_eq!(complaints(&report), [private], "{report}");
        // What it looked at, as it says it.
        for good in [
            "OK - Compression disabled",
            "OK - Not vulnerable to OpenSSL CCS injection",
            "OK - Not vulnerable to Heartbleed",
            "Client Renegotiation DoS Attack:   OK - Not vulnerable",
            "Secure Renegotiation:              OK - Supported",
            "TLS_FALLBACK_SCSV:                 OK - Supported",
        ] {
            assert!(report.contains(good), "{good} is not in {report}");
        }
        let none = "the server rejected all cipher suites";
        let old = ["SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1"].len();
        let also_1_2 = usize::from(min == "1.3");
        assert_eq!(report.matches(none).count(), old + also_1_2, "{report}");
    }
}
