//! curl: what an ordinary client sees.

use breaker_tests::{Process, Script, Setup, Upstream, breaker, get};

use crate::tools::{Output, run};

async fn curl(arguments: &[&str], url: &str, input: &[u8]) -> Output {
    let usual = ["--silent", "--show-error", "--verbose", "--max-time", "20"];
    run("curl", usual.iter().chain(arguments).chain([&url]), input).await
}

#[tokio::test]
async fn gets_over_http1_and_over_http2_with_prior_knowledge() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let url = sidecar.url("/pay/x").to_string();
    for (flag, version) in [
        ("--http1.1", "HTTP/1.1 200"),
        ("--http2-prior-knowledge", "HTTP/2 200"),
    ] {
        let output = curl(&[flag], &url, b"").await;
        assert_eq!(output.stdout, "as told\n", "{flag}");
        assert!(output.stderr.contains(version), "{}", output.stderr);
    }
    assert_eq!(upstream.seen()[0].uri.path(), "/pay/x");
}

#[tokio::test]
async fn posts_after_100_continue() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let body = vec![b'x'; 100_000];
    let arguments = [
        "--http1.1",
        "-H",
        "Expect: 100-continue",
        "--data-binary",
        "@-",
    ];
    let output = curl(&arguments, &sidecar.url("/pay/x").to_string(), &body).await;
    assert!(
        output.stderr.contains("HTTP/1.1 100 Continue"),
        "{}",
        output.stderr
    );
    assert_eq!(upstream.seen()[0].body, body);
}

#[tokio::test]
async fn uploads_in_chunks_and_gets_them_back() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Echo);
    let sidecar = Setup::of(upstream.address()).start().await;
    let body = vec![b'y'; 1_000_000];
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let arguments = [flag, "--upload-file", "-", "-H", "Expect:"];
        let output = curl(&arguments, &sidecar.url("/pay/x").to_string(), &body).await;
        assert!(
            output.stdout.as_bytes() == body,
            "{flag}: {} bytes",
            output.stdout.len()
        );
    }
}

#[tokio::test]
async fn is_told_everything_about_an_open_breaker() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let sidecar = Setup::of(upstream.address()).start().await;
    for _ in 0..20 {
        assert_eq!(get(sidecar.url("/pay/x")).await.status, 500);
    }
    let url = sidecar.url("/pay/x").to_string();
    let output = curl(&["--http1.1"], &url, b"").await;
    for line in [
        "HTTP/1.1 503 ",
        "retry-after: ",
        "proxy-status: ",
        "error=destination_unavailable",
        "cache-control: no-store",
        "content-type: application/problem+json",
    ] {
        let told = output.stderr.to_ascii_lowercase();
        assert!(
            told.contains(&line.to_ascii_lowercase()),
            "{line}: {}",
            output.stderr
        );
    }
    let problem: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(problem["status"], 503);
    assert_eq!(problem["breaker"], "pay");
    assert_eq!(problem["state"], "open");
    for field in ["type", "title", "detail", "reason", "retry_after"] {
        assert!(!problem[field].is_null(), "no {field}: {problem:#}");
    }
    // `sensitive` opens for 10 s ± 20 %; the answer is spread over callers, never too early.
    let retry_after = problem["retry_after"].as_f64().unwrap();
    assert!((7.0..=30.0).contains(&retry_after), "{retry_after}");
}

#[tokio::test]
async fn speaks_over_unix_sockets() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let [listen, admin] = ["listen", "admin"].map(|name| folder.path().join(name));
    let mut command = breaker([
        "run",
        "--upstream",
        &format!("http://{}", upstream.address()),
    ]);
    command
        .arg("--listen")
        .arg(format!("unix:{}", listen.display()));
    command
        .arg("--admin")
        .arg(format!("unix:{}", admin.display()));
    let mut process = Process::spawn(command);
    let ready = |log: &str| log.contains("listening").then_some(());
    process.wait_for("listening", ready).await;
    for (flag, version) in [
        ("--http1.1", "HTTP/1.1 200"),
        ("--http2-prior-knowledge", "HTTP/2 200"),
    ] {
        for (socket, url) in [(&listen, "http://a/pay/x"), (&admin, "http://a/livez")] {
            let socket = socket.display().to_string();
            let output = curl(&[flag, "--unix-socket", &socket], url, b"").await;
            assert!(output.stderr.contains(version), "{url}: {}", output.stderr);
        }
    }
    let body = vec![b'z'; 1_000_000];
    upstream.play(Script::Echo);
    let socket = listen.display().to_string();
    let arguments = [
        "--unix-socket",
        &socket,
        "--upload-file",
        "-",
        "-H",
        "Expect:",
    ];
    let output = curl(&arguments, "http://a/pay/x", &body).await;
    assert!(output.stdout.as_bytes() == body);
}
