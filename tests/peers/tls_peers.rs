//! TLS with more programs that nobody here wrote: grpcio, with a gRPC server behind the sidecar,
//! curl at the admin port, and sslyze, which looks for what is weak.

use breaker_tests::{Process, Setup, Sidecar, Upstream, breaker};
use serde_json::json;
use tokio::process::Command;

use crate::grpc;
use crate::tls::Files;
use crate::tools::{installed, run};

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

#[tokio::test]
async fn the_admin_port_asks_curl_and_our_own_commands_for_certificates() {
    let files = Files::new().await;
    let upstream = Upstream::start().await;
    let [cert, key, roots] = ["server.crt", "server.key", "ca.crt"].map(|it| files.path(it));
    let allow = "spiffe://example.org/ns/shop/sa/*";
    let clients = format!("clients: {{ roots: {roots}, allow: [\"{allow}\"] }}");
    let tls = format!("admin_tls: {{ cert: {cert}, key: {key}, {clients} }}");
    let config = files.path("breaker.yaml");
    std::fs::write(&config, Setup::of(upstream.address()).more(&tls).yaml()).unwrap();
    let mut sidecar = Process::spawn(breaker(["run", "--config", &config]));
    let port = sidecar.wait_for("address", |log| {
        let (_, rest) = log.split_once("admin=127.0.0.1:")?;
        rest.split_once('\n')
            .map(|(port, _)| port.trim().to_owned())
    });
    let admin = format!("https://localhost:{}", port.await);
    let [own_cert, own_key] = ["client.crt", "client.key"].map(|it| files.path(it));
    let ca = ["--ca", &roots];
    let shown = ["--cert", &own_cert, "--key", &own_key];
    let foreign = ["--cert", &cert, "--key", &key];
    for (shows, code) in [(&shown[..], 0), (&foreign, 1), (&[], 1)] {
        for command in [&["status", "--admin", &admin][..], &["health", &admin]] {
            let arguments = [command, &ca, shows].concat();
            let output = breaker(&arguments).output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{arguments:?}: {output:?}"
            );
        }
    }
    let half = breaker(["status", "--admin", &admin, "--cert", &own_cert]);
    let half = Command::from(half).output().await.unwrap();
    assert_eq!(half.status.code(), Some(2), "{half:?}");
    let url = format!("{admin}/readyz");
    let usual = ["--silent", "--max-time", "20", "--cacert", &roots, &url];
    let answer = run("curl", [&usual[..], &shown].concat(), b"").await;
    assert_eq!(answer.stdout, "ready\n");
    let refused = Command::new("curl").args(usual).status().await.unwrap();
    assert!(!refused.success());
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
