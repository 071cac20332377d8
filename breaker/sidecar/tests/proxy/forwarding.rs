//! What reaches the upstream, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Match, PathRules, Route};
use breaker_sidecar::upstream::Endpoint;
use breaker_tower::breaker_core::Balance;
use breaker_tower::{BreakerHandle, Policy};
use http::Method;
use tokio::io::AsyncWriteExt;

use crate::harness::{
    GET, OK, Options, Origin, Sidecar, eventually, header, nobody, patient, read_head, status,
};

#[tokio::test]
async fn requests_share_a_kept_connection() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    for _ in 0..20 {
        client.send(GET).await;
        assert!(client.response().await.ends_with("ok"));
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(sidecar.totals(), (20, 0, 0));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let origin = Origin::answering(|head, _| {
        let path = head.split(' ').nth(1).unwrap();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
            path.len()
        )
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    let requests: String = (0..5)
        .map(|index| format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.send(requests).await;
    for index in 0..5 {
        assert!(client.response().await.ends_with(&format!("/{index}")));
    }
}

#[tokio::test]
async fn hop_by_hop_fields_end_here_and_ours_are_added() {
    let origin = Origin::answering(|_, _| {
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=9\r\nX-Hop: 1\r\nX-End: 1\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n".to_owned()
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop, upgrade, http2-settings\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nProxy-Status: breaker; error=destination_unavailable\r\ntraceparent: 00-1-2-01\r\n\r\n";
    let response = sidecar.ask(request).await;
    let head = &origin.heads()[0];
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "http2-settings",
        "proxy-status",
        "connection",
    ] {
        assert_eq!(header(head, name), None, "{name}: {head}");
    }
    assert_eq!(header(head, "traceparent"), Some("00-1-2-01"));
    assert_eq!(header(head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(head, "x-forwarded-host"), Some("a"));
    let via = header(head, "via").unwrap();
    assert!(via.starts_with("1.1 breaker-"), "{via}");
    for name in ["x-hop", "keep-alive", "upgrade"] {
        assert_eq!(header(&response, name), None, "{name}: {response}");
    }
    assert_eq!(header(&response, "x-end"), Some("1"));
    assert_eq!(header(&response, "via"), Some("1.1 breaker"));
}

#[tokio::test]
async fn only_trusted_proxies_are_believed_where_a_request_came_from() {
    let said = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "bank.example"),
        ("forwarded", "for=10.0.0.1;host=bank.example"),
    ];
    let believed = [
        "10.0.0.1, 127.0.0.1",
        "https",
        "bank.example",
        "for=10.0.0.1;host=bank.example, for=127.0.0.1;proto=http",
    ];
    for (trusted, expected) in [
        (None, ["127.0.0.1", "http", "a", ""]),
        (Some("10.0.0.0/8"), ["127.0.0.1", "http", "a", ""]),
        (Some("127.0.0.0/8"), believed),
    ] {
        let origin = Origin::ok().await;
        let options = Options {
            limits: Limits {
                trusted_proxies: trusted.iter().flat_map(|text| text.parse()).collect(),
                ..Limits::default()
            },
            ..Options::default()
        };
        let sidecar = Sidecar::start(origin.address, options);
        let fields = said.map(|(name, value)| format!("{name}: {value}\r\n"));
        // `Connection` lists what must reach the upstream, as ours or theirs.
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-forwarded-for, forwarded\r\n{}\r\n",
            fields.concat()
        );
        sidecar.ask(&request).await;
        let head = &origin.heads()[0];
        let told = said.map(|(name, _)| header(head, name).unwrap_or_default());
        assert_eq!(told, expected, "{trusted:?}: {head}");
    }
}

#[tokio::test]
async fn the_authority_of_the_target_wins_over_host() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar
        .ask("GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let head = &origin.heads()[0];
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "host"), Some("b.example"));
}

#[tokio::test]
async fn slashes_are_matched_and_forwarded_as_they_are_where_they_are_not_merged() {
    let origin = Origin::ok().await;
    let upstream = Arc::new(patient(vec![Endpoint::Address(origin.address)]));
    let breaker = |name: &str| BreakerHandle::new(name, Policy::builtin("sensitive").unwrap());
    let matches = Match {
        paths: vec!["/a//b".to_owned(), "//".to_owned()],
        ..Match::default()
    };
    let routes = vec![Route {
        matches,
        ..Route::new(breaker("two"), upstream.clone())
    }];
    let limits = Limits {
        path: PathRules {
            merge_slashes: false,
            ..PathRules::default()
        },
        ..Limits::default()
    };
    let sidecar = Sidecar::with_routes(routes, breaker("x"), limits, Duration::ZERO);
    for (path, expected) in [
        ("/a//b", "200"),
        ("/a//c/../b?q", "200"),
        ("//", "200"),
        ("/a/b", "404"),
        ("/a///b", "404"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = sidecar.ask(&request).await;
        assert_eq!(status(&response), expected, "{path}");
    }
    let heads = origin.heads();
    let lines: Vec<_> = heads
        .iter()
        .filter_map(|head| head.lines().next())
        .collect();
    let expected = ["/a//b", "/a//b?q", "//"].map(|path| format!("GET {path} HTTP/1.1"));
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn the_path_that_is_matched_is_the_path_that_is_forwarded() {
    let origin = Origin::ok().await;
    let upstream = Arc::new(patient(vec![Endpoint::Address(origin.address)]));
    let breaker = |name: &str| BreakerHandle::new(name, Policy::builtin("sensitive").unwrap());
    let admin = Match {
        paths: vec!["/admin/{*rest}".to_owned()],
        methods: vec![Method::POST],
        ..Match::default()
    };
    let routes = vec![Route {
        matches: admin,
        ..Route::new(breaker("admin"), upstream.clone())
    }];
    let sidecar = Sidecar::with_routes(routes, breaker("x"), Limits::default(), Duration::ZERO);
    for path in [
        "/a/../admin/x",
        "//admin//x",
        "/%61dmin/x",
        "/./admin/y/%2e%2e/x",
    ] {
        let response = sidecar
            .ask(&format!(
                "POST {path}?q=/../z HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        assert_eq!(status(&response), "200", "{path}");
    }
    assert!(
        origin
            .heads()
            .iter()
            .all(|head| head.starts_with("POST /admin/x?q=/../z HTTP/1.1\r\n"))
    );
    let response = sidecar
        .ask("GET /admin/x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(
        (status(&response), header(&response, "allow")),
        ("405", Some("POST"))
    );
    let response = sidecar.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status(&response), "404");
    assert!(response.contains("application/problem+json"));
    assert_eq!(origin.heads().len(), 4);
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await.unwrap();
        let (mut read, mut write) = stream.split();
        write
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        // Echoes the chunks with their framing.
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let head = client.head().await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    for word in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len())).await;
        assert_eq!(read_chunk(&mut client.0).await, word);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(read_chunk(&mut client.0).await, "");
}

#[tokio::test]
async fn a_large_body_passes_whole() {
    let origin = Origin::answering(|_, body| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let body = "0123456789abcdef".repeat(256 * 1024);
    let response = sidecar
        .ask(&format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    assert!(response.ends_with(&body));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let origin = Origin::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert_eq!(header(&head, "te"), Some("trailers"));
        let body = read_head(&mut stream).await.unwrap();
        assert!(body.contains("x-sum: 7"), "{body}");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: 1\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 7\r\n\r\n")
        .await;
    client.head().await;
    let body = read_head(&mut client.0).await.unwrap();
    assert_eq!(body, "2\r\nok\r\n0\r\nx-end: 1\r\n\r\n");
}

#[tokio::test]
async fn a_continue_is_sent_when_the_upstream_takes_the_body() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 100"));
    client.send("abc").await;
    assert!(client.response().await.ends_with("ok"));
    assert_eq!(header(&origin.heads()[0], "expect"), None);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_is_forwarded_and_its_connection_not_reused() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
            .await
            .unwrap();
        // Never reads the body; stays open.
        std::future::pending::<()>().await;
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for _ in 0..3 {
        let mut client = sidecar.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
            .await;
        let response = client.response().await;
        assert_eq!(status(&response), "403");
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for _ in 0..20 {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
    }
    assert_eq!(sidecar.totals(), (20, 0, 0));
}

#[tokio::test]
async fn http_1_0_is_served() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar.exchange("GET / HTTP/1.0\r\n\r\n").await;
    assert!(
        response.starts_with("HTTP/1.0 200") && response.ends_with("ok"),
        "{response}"
    );
}

#[tokio::test]
async fn telemetry_is_told_of_each_request_once() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    sidecar.ask(GET).await;
    sidecar.exchange("GET / HTTP/1.1\r\n\r\n").await;
    let expected = ["Some(0) GET 200 None", "None GET 400 None"];
    eventually("both are recorded", || {
        *sidecar.finished.lock().unwrap() == expected
    })
    .await;
}

#[tokio::test]
async fn endpoints_take_turns_and_dead_ones_are_passed_over() {
    let (one, two) = (Origin::ok().await, Origin::ok().await);
    let dead = nobody();
    let endpoints = [one.address, dead, two.address]
        .map(Endpoint::Address)
        .to_vec();
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    let mut upstream = patient(endpoints);
    upstream.balancing.balance = Balance::RoundRobin;
    let route = Route::new(breaker.clone(), Arc::new(upstream));
    let sidecar = Sidecar::with_routes(vec![route], breaker, Limits::default(), Duration::ZERO);
    for _ in 0..9 {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
    }
    assert!(!one.heads().is_empty() && !two.heads().is_empty());
    assert_eq!(sidecar.totals(), (9, 0, 0));
}

async fn read_chunk(stream: &mut tokio::net::TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line.push(char::from(stream.read_u8().await.unwrap()));
    }
    let mut chunk = vec![0; usize::from_str_radix(line.trim(), 16).unwrap() + 2];
    stream.read_exact(&mut chunk).await.unwrap();
    String::from_utf8_lossy(&chunk[..chunk.len() - 2]).into_owned()
}
