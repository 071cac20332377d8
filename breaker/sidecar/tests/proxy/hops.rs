//! HTTP as others speak it: old clients, half-closed ones, large heads, interim responses.

use std::time::Duration;

use breaker_sidecar::message::BodyLimits;
use breaker_sidecar::proxy::Limits;
use breaker_sidecar::upstream::{Protocol, Upstream};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::harness::{
    GET, OK, Options, Origin, PATIENCE, Sidecar, eventually, header, read_head, status,
};

#[tokio::test]
async fn a_request_of_http_1_0_without_host_gets_one() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar.exchange("GET / HTTP/1.0\r\n\r\n").await;
    let head = &origin.heads()[0];
    assert_eq!(header(head, "host"), Some(&*origin.address.to_string()));
    assert_eq!(header(head, "x-forwarded-host"), None);
}

#[tokio::test]
async fn the_end_of_the_connection_is_announced_where_it_is_the_end_of_the_body() {
    for (request, body, expected) in [
        (
            "HTTP/1.0\r\nConnection: keep-alive",
            "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Some("close"),
        ),
        (
            "HTTP/1.0\r\nConnection: keep-alive",
            "Content-Length: 2\r\n\r\nok",
            Some("keep-alive"),
        ),
        (
            "HTTP/1.1\r\nHost: a",
            "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            None,
        ),
    ] {
        let origin = Origin::answering(move |_, _| format!("HTTP/1.1 200 OK\r\n{body}")).await;
        let sidecar = Sidecar::start(origin.address, Options::default());
        let mut client = sidecar.connect().await;
        client.send(format!("GET / {request}\r\n\r\n")).await;
        let head = client.head().await;
        assert_eq!(header(&head, "connection"), expected, "{request} {body}");
        if expected == Some("close") {
            assert_eq!(client.rest().await, "ok");
        }
    }
}

#[tokio::test]
async fn a_length_beside_a_transfer_encoding_does_not_reach_the_caller() {
    for coding in ["chunked", "CHUNKED"] {
        for length in [0, 3, 100] {
            let origin = Origin::answering(move |_, _| {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            })
            .await;
            let sidecar = Sidecar::start(origin.address, Options::default());
            let get = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
            let response = sidecar.exchange(&get).await;
            assert_eq!(header(&response, "content-length"), None);
            assert!(response.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{response}");
        }
    }
}

#[tokio::test]
async fn a_head_over_the_limits_is_502_and_no_fault_of_the_upstream() {
    // Fields, bytes of one more, and whether that passes.
    for (fields, bytes, passes) in [
        (100, 0, true),
        (250, 0, true),
        (257, 0, false),
        (10, 60_000, true),
        (10, 66_000, false),
    ] {
        let origin = Origin::answering(move |_, _| {
            let fields: String = (2..fields)
                .map(|index| format!("x-{index}: 1\r\n"))
                .collect();
            let large = "x".repeat(bytes);
            format!("HTTP/1.1 200 OK\r\n{fields}Large: {large}\r\nContent-Length: 2\r\n\r\nok")
        })
        .await;
        let sidecar = Sidecar::start(origin.address, Options::default());
        let response = sidecar.ask(GET).await;
        let case = format!("{fields} {bytes}");
        if passes {
            assert_eq!(
                (status(&response), sidecar.totals()),
                ("200", (1, 0, 0)),
                "{case}"
            );
        } else {
            assert_eq!(
                (status(&response), sidecar.totals()),
                ("502", (0, 0, 1)),
                "{case}"
            );
            assert!(
                response.contains("error=http_response_header_section_size"),
                "{response}"
            );
            assert!(response.contains("max_response_fields"), "{response}");
        }
    }
}

#[tokio::test]
async fn a_head_over_the_limits_is_the_same_over_http_2() {
    for (fields, bytes, expected) in [(250, 0, "200"), (300, 0, "502"), (10, 66_000, "502")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |_: Request<Incoming>| async move {
                    let mut response = Response::builder().header("large", "x".repeat(bytes));
                    for index in 2..fields {
                        response = response.header(format!("x-{index}"), "1");
                    }
                    Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from("ok"))).unwrap())
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        let options = Options {
            upstream: |upstream| Upstream {
                protocol: Protocol::H2c,
                ..upstream
            },
            ..Options::default()
        };
        let sidecar = Sidecar::start(address, options);
        let response = sidecar.ask(GET).await;
        assert_eq!(status(&response), expected, "{fields} {bytes}");
        let counted = if expected == "200" {
            (1, 0, 0)
        } else {
            (0, 0, 1)
        };
        eventually("counted", || sidecar.totals() == counted).await;
    }
}

#[test]
fn quiet_responses_are_not_cut_by_default() {
    let limits = BodyLimits::default();
    assert_eq!(limits.response_idle, None);
    assert_eq!(limits.idle, Some(Duration::from_secs(60)));
}

async fn slow(time: Duration) -> Origin {
    Origin::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        tokio::time::sleep(time).await;
        let _ = stream.write_all(OK.as_bytes()).await;
        std::future::pending().await
    })
    .await
}

#[tokio::test]
async fn a_client_that_half_closed_is_answered() {
    let origin = slow(Duration::from_millis(300)).await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for request in [GET, post, "GET / HTTP/1.0\r\n\r\n"] {
        let sidecar = Sidecar::start(origin.address, Options::default());
        let mut client = sidecar.connect().await;
        client.send(request).await;
        client.0.shutdown().await.unwrap();
        assert!(client.rest().await.ends_with("ok"), "{request}");
        assert_eq!(sidecar.totals(), (1, 0, 0));
    }
}

#[tokio::test]
async fn a_client_that_resets_is_gone_at_once_and_one_that_closes_after_a_while() {
    let origin = slow(PATIENCE * 10).await;
    for (reset, half_closed) in [(true, PATIENCE * 10), (false, Duration::from_millis(100))] {
        let options = Options {
            limits: Limits {
                half_closed,
                ..Limits::default()
            },
            ..Options::default()
        };
        let before = origin.connections();
        let sidecar = Sidecar::start(origin.address, options);
        let mut client = sidecar.connect().await;
        client.send(GET).await;
        eventually("sent", || origin.connections() > before).await;
        if reset {
            client.0.set_zero_linger().unwrap();
        }
        drop(client);
        eventually("ignored", || sidecar.totals() == (0, 0, 1)).await;
    }
}

#[tokio::test]
async fn only_options_may_ask_for_the_server_as_a_whole() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for (method, expected) in [("GET", "400"), ("POST", "400"), ("OPTIONS", "404")] {
        let request = format!("{method} * HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let found = sidecar.ask(&request).await;
        assert!(
            status(&found) == expected || method == "OPTIONS",
            "{method}: {found}"
        );
    }
}

#[tokio::test]
async fn interim_responses_reach_clients_of_http_1_1() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
    let origin = Origin::answering(move |_, _| {
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{hint}{OK}")
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    for _ in 0..3 {
        client.send(GET).await;
        assert!(
            client
                .head()
                .await
                .starts_with("HTTP/1.1 102 Processing\r\n")
        );
        let hints = client.head().await;
        assert!(hints.starts_with("HTTP/1.1 103 Early Hints\r\n"), "{hints}");
        assert_eq!(header(&hints, "link"), Some("</a.css>; rel=preload"));
        assert_eq!(header(&hints, "x-hop"), None);
        assert!(client.response().await.ends_with("ok"));
    }
    let old = sidecar.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
}

#[tokio::test]
async fn an_interim_response_does_not_wait_for_the_final_one() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        stream.write_all(hint).await.unwrap();
        std::future::pending().await
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
}
