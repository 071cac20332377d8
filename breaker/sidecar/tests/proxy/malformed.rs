//! What is refused before the upstream hears of it.

use crate::harness::{Options, Origin, Sidecar, header, status};

async fn answers(cases: &[(&str, &str)]) {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for (request, expected) in cases {
        let response = sidecar.exchange(request).await;
        assert_eq!(status(&response), *expected, "{request:?}: {response}");
    }
    assert_eq!(origin.connections(), 0, "{:?}", origin.heads());
    assert_eq!(
        sidecar.totals(),
        (0, 0, 0),
        "no observation of the upstream"
    );
}

#[tokio::test]
async fn there_is_exactly_one_well_formed_host() {
    answers(&[
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a@evil\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
        ("GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test]
async fn there_is_exactly_one_chunked() {
    answers(&[
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: GZIP , Chunked\r\n\r\n0\r\n\r\n", "501"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test]
async fn connect_and_trace_are_not_allowed() {
    answers(&[
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "405"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
    ])
    .await;
}

#[tokio::test]
async fn versions_that_are_not_spoken_are_refused() {
    answers(&[
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test]
async fn unknown_expectations_fail() {
    answers(&[(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: y\r\nContent-Length: 1\r\n\r\n",
        "417",
    )])
    .await;
}

#[tokio::test]
async fn ambiguous_paths_are_refused() {
    answers(&[
        ("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a%5cb HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /../b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a/..;/b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a% HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    answers(&[
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n x\r\n\r\n", "400"),
        ("GET /\r\nHost: a\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
            "400",
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_header_section_over_64_kib_is_431_however_it_arrives() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for size in [66_000, 500_000] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(size)
        );
        let mut whole = sidecar.connect().await;
        whole.send(&request).await;
        assert_eq!(status(&whole.rest().await), "431", "{size} at once");
        let mut pieces = sidecar.connect().await;
        for piece in request.as_bytes().chunks(10_000) {
            pieces.send(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&pieces.rest().await), "431", "{size} in pieces");
    }
    let fields: String = (0..101).map(|index| format!("x-{index}: 1\r\n")).collect();
    let response = sidecar
        .exchange(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
        .await;
    assert_eq!(status(&response), "431");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_broken_chunk_is_400_and_no_observation() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar
        .exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(status(&response), "400", "{response}");
    assert_eq!(header(&response, "connection"), Some("close"));
    assert_eq!(sidecar.totals(), (0, 0, 1));
}

#[tokio::test]
async fn a_length_is_forwarded_canonically() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar
        .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n0123456789")
        .await;
    assert_eq!(status(&response), "200");
    assert_eq!(header(&origin.heads()[0], "content-length"), Some("10"));
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_upstream() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /smuggled";
    let response = sidecar.exchange(request).await;
    assert_eq!(status(&response), "200");
    let heads = origin.heads();
    assert_eq!(heads.len(), 1);
    assert_eq!(header(&heads[0], "content-length"), None);
}
