//! Requests that break the rules of HTTP: refused, and no observation of the breaker.

use std::time::Duration;

use breaker_tests::{Setup, Sidecar, Upstream, raw};

const QUIET: Duration = Duration::from_secs(2);

async fn answer(sidecar: &Sidecar, request: &str) -> String {
    let answer = raw(sidecar.address(), request, QUIET).await;
    answer.lines().next().unwrap_or("nothing").to_owned()
}

#[tokio::test]
async fn malformed_requests_are_refused_and_reach_nobody() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    for (request, status) in [
        ("no HTTP at all\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nhost: a b\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nhost: a@evil\r\n\r\n", "400"),
        ("GET /x HTTP/1.1\r\nhost: a\r\nname : space\r\n\r\n", "400"),
        (
            "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
            "400",
        ),
        (
            "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "501",
        ),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", "405"),
        ("TRACE /x HTTP/1.1\r\nhost: a\r\n\r\n", "405"),
        (
            "POST /x HTTP/1.1\r\nhost: a\r\nexpect: y\r\ncontent-length: 1\r\n\r\nx",
            "417",
        ),
    ] {
        let line = answer(&sidecar, request).await;
        assert!(
            line.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {line}"
        );
    }
    assert_eq!(upstream.count(), 0);
    let metrics = sidecar.metrics().await;
    for outcome in ["success", "failure"] {
        assert_eq!(metrics.requests("pay", outcome), 0.0, "{outcome}");
    }
}

#[tokio::test]
async fn a_header_section_beyond_64_kib_is_431() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    for length in [70_000, 500_000] {
        let request = format!(
            "GET /x HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "x".repeat(length)
        );
        let line = answer(&sidecar, &request).await;
        assert!(line.starts_with("HTTP/1.1 431 "), "{length}: {line}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_broken_chunk_of_the_client_is_no_failure_of_the_service() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let request =
        "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
    let line = answer(&sidecar, request).await;
    assert!(line.starts_with("HTTP/1.1 400 "), "{line}");
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.requests("pay", "failure"), 0.0);
}
