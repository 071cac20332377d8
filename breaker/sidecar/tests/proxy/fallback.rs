//! What answers the requests that the breaker rejects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breaker_sidecar::proxy::{Fallback, FixedAnswer, Limits, Route};
use breaker_sidecar::upstream::{Endpoint, Upstream};
use breaker_tower::{BreakerHandle, Mode, Policy};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{
    GET, Origin, Sidecar, eventually, header, nobody, patient, read_head, status,
};
use crate::http2::{connect, grpc, grpc_origin};

/// A sidecar whose breaker is open, with this fallback.
fn sidecar(own: &Origin, fallback: Fallback) -> Sidecar {
    let upstream = patient(vec![Endpoint::Address(own.address)]);
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    breaker.force(Mode::ForcedOpen);
    let mut route = Route::new(breaker.clone(), Arc::new(upstream));
    route.fallback = Some(fallback);
    Sidecar::with_routes(vec![route], breaker, Limits::default(), Duration::ZERO)
}

fn upstream(address: std::net::SocketAddr) -> Fallback {
    let endpoints = vec![Endpoint::Address(address)];
    Fallback::Upstream {
        upstream: Arc::new(Upstream::new("replica", endpoints)),
        breaker: BreakerHandle::new("all:fallback", Policy::builtin("sensitive").unwrap()),
    }
}

fn fixed(status: u16, body: &'static str) -> Fallback {
    Fallback::Answer(FixedAnswer {
        status: StatusCode::from_u16(status).unwrap(),
        body: Bytes::from_static(body.as_bytes()),
        content_type: Some(HeaderValue::from_static("application/json")),
    })
}

const BY_REPLICA: &str =
    "breaker; error=destination_unavailable; details=\"answered by fallback replica\"";
const POST: &str = "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

#[tokio::test]
async fn another_upstream_answers_what_the_breaker_rejects_and_nothing_else() {
    let own = Origin::ok().await;
    let replica = Origin::answering(|head, body| {
        let line = head.lines().next().unwrap();
        let text = format!("{line}|{body}");
        format!(
            "HTTP/1.1 203 x\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
    });
    let replica = replica.await;
    let sidecar = sidecar(&own, upstream(replica.address));
    let mut client = sidecar.connect().await;
    for _ in 0..2 {
        client.send(POST).await;
        let answer = client.response().await;
        assert_eq!(status(&answer), "203");
        assert!(answer.ends_with("POST /a?b HTTP/1.1|body"), "{answer}");
        assert_eq!(header(&answer, "proxy-status"), Some(BY_REPLICA));
        assert_eq!(header(&answer, "retry-after"), None);
    }
    assert_eq!((own.connections(), replica.connections()), (0, 1));
    assert_eq!(sidecar.totals(), (0, 0, 0));
    assert_eq!(sidecar.breaker.snapshot().totals.rejected, 2);
    // Its endpoint comes after those of the route's own upstream.
    let sent = "1 HTTP/1.1 POST 203 None";
    eventually("it is told", || {
        *sidecar.sent.lock().unwrap() == [sent, sent]
    })
    .await;
    sidecar.breaker.force(Mode::ForcedClosed);
    let answer = sidecar.ask(GET).await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(header(&answer, "proxy-status"), None);
    assert_eq!(sidecar.totals(), (1, 0, 0));
}

#[tokio::test]
async fn failures_are_passed_on_and_not_answered_by_the_fallback() {
    let own = Origin::answering(|_, _| "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n".into());
    let replica = Origin::ok().await;
    let sidecar = sidecar(&own.await, upstream(replica.address));
    sidecar.breaker.force(Mode::ForcedClosed);
    assert_eq!(status(&sidecar.ask(GET).await), "500");
    assert_eq!(replica.connections(), 0);
}

#[tokio::test]
async fn what_the_other_upstream_answers_is_passed_on_whatever_it_is() {
    let own = Origin::ok().await;
    let replica = Origin::answering(|_, _| {
        "HTTP/1.1 503 x\r\nProxy-Status: inner; hit\r\nContent-Length: 2\r\n\r\nno".into()
    });
    let sidecar = sidecar(&own, upstream(replica.await.address));
    let answer = sidecar.ask(GET).await;
    assert!(answer.ends_with("no"), "{answer}");
    let marks: Vec<_> = answer
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("proxy-status"))
        .collect();
    assert_eq!(marks.len(), 2, "{answer}");
    assert!(marks[1].ends_with(BY_REPLICA), "{answer}");
    assert_eq!(sidecar.totals(), (0, 0, 0));
}

#[tokio::test]
async fn without_an_answer_of_the_other_upstream_the_request_is_rejected() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, upstream(nobody()));
    let answer = sidecar.ask(GET).await;
    assert_eq!(status(&answer), "503");
    assert!(header(&answer, "retry-after").is_some(), "{answer}");
    let mark = header(&answer, "proxy-status").unwrap();
    assert!(
        mark.ends_with("; fallback replica: connection refused by upstream\""),
        "{mark}"
    );
    assert_eq!(sidecar.totals(), (0, 0, 0));

    let mut client = connect(&sidecar).await;
    let request = grpc("/shop.Pay/Do").body(Full::new(Bytes::new())).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert!(answer.headers().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn the_other_upstream_has_a_breaker_of_its_own() {
    let own = Origin::ok().await;
    let fails = Arc::new(AtomicBool::new(true));
    let replica = Origin::answering({
        let fails = fails.clone();
        move |_, _| {
            let status = if fails.load(Ordering::Relaxed) {
                500
            } else {
                200
            };
            format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")
        }
    });
    let replica = replica.await;
    let fallback = upstream(replica.address);
    let Fallback::Upstream { breaker, .. } = &fallback else {
        panic!("{fallback:?}");
    };
    let breaker = breaker.clone();
    let sidecar = sidecar(&own, fallback);
    let mut client = sidecar.connect().await;
    // Callers' faults are nobody else's.
    for _ in 0..30 {
        let broken = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
        assert_eq!(status(&sidecar.exchange(broken).await), "400");
    }
    assert_eq!(breaker.snapshot().totals.failure, 0);
    for _ in 0..20 {
        client.send(GET).await;
        assert_eq!(status(&client.response().await), "500");
    }
    client.send(GET).await;
    let answer = client.response().await;
    assert_eq!(status(&answer), "503");
    let mark = header(&answer, "proxy-status").unwrap();
    assert!(
        mark.ends_with("; fallback replica: its breaker rejects\""),
        "{mark}"
    );
    assert!(header(&answer, "retry-after").is_some(), "{answer}");
    assert_eq!(breaker.snapshot().totals.failure, 20);
    // What it did counts for nothing else.
    assert_eq!(sidecar.totals(), (0, 0, 0));
    // And when it is well, everything is answered again.
    fails.store(false, Ordering::Relaxed);
    breaker.reset();
    for _ in 0..20 {
        client.send(GET).await;
        assert_eq!(status(&client.response().await), "200");
    }
    assert_eq!(breaker.snapshot().totals.success, 20);
}

#[tokio::test]
async fn a_caller_that_breaks_off_its_upload_is_told_so() {
    let own = Origin::ok().await;
    let replica = Origin::ok().await;
    let sidecar = sidecar(&own, upstream(replica.address));
    let broken = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
    let answer = sidecar.exchange(broken).await;
    assert_eq!(status(&answer), "400");
}

#[tokio::test]
async fn a_hung_fallback_ends_with_the_routes_timeout() {
    let own = Origin::ok().await;
    let replica = Origin::raw(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let replica = replica.await;
    let upstream = patient(vec![Endpoint::Address(own.address)]);
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    breaker.force(Mode::ForcedOpen);
    let mut route = Route::new(breaker.clone(), Arc::new(upstream));
    route.fallback = Some(self::upstream(replica.address));
    route.timeout = Some(Duration::from_millis(100));
    let limits = Limits::default();
    let sidecar = Sidecar::with_routes(vec![route], breaker, limits, Duration::ZERO);
    let answer = sidecar.ask(GET).await;
    assert_eq!(status(&answer), "503");
    let mark = header(&answer, "proxy-status").unwrap();
    assert!(mark.contains("; fallback replica: "), "{mark}");
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_request_from_the_fallback() {
    let own = Origin::ok().await;
    let (gone, left) = tokio::sync::mpsc::unbounded_channel();
    let replica = Origin::raw(move |mut stream| {
        let gone = gone.clone();
        async move {
            read_head(&mut stream).await;
            let _ = gone.send("came");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = gone.send("left");
        }
    });
    let mut left = left;
    let sidecar = sidecar(&own, upstream(replica.await.address));
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    assert_eq!(left.recv().await, Some("came"));
    drop(client);
    assert_eq!(left.recv().await, Some("left"));
    let line = "Some(0) GET 0 Some(ClientGone)";
    eventually("it is told", || *sidecar.finished.lock().unwrap() == [line]).await;
}

#[tokio::test]
async fn a_switch_of_protocols_goes_to_the_other_upstream() {
    let own = Origin::ok().await;
    let replica = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let sidecar = sidecar(&own, upstream(replica.await.address));
    let mut client = sidecar.connect().await;
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(upgrade).await;
    assert_eq!(status(&client.head().await), "101");
    client.send("echo").await;
    let mut echo = [0; 4];
    client.0.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"echo");
}

#[tokio::test]
async fn calls_of_grpc_go_to_the_other_upstream() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, upstream(grpc_origin("0").await));
    let mut client = connect(&sidecar).await;
    let request = grpc("/shop.Pay/Do")
        .body(Full::new(Bytes::from_static(b"call")))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["proxy-status"], BY_REPLICA);
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "call");
}

#[tokio::test]
async fn a_fixed_answer_needs_no_upstream() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, fixed(200, "[]"));
    let mut client = sidecar.connect().await;
    for _ in 0..2 {
        client.send(POST).await;
        let answer = client.response().await;
        assert_eq!(status(&answer), "200");
        assert!(answer.ends_with("\r\n\r\n[]"), "{answer}");
        assert_eq!(header(&answer, "content-type"), Some("application/json"));
        assert_eq!(header(&answer, "cache-control"), Some("no-store"));
        assert_eq!(header(&answer, "retry-after"), None);
        let mark = "breaker; error=destination_unavailable; details=\"answered by fallback\"";
        assert_eq!(header(&answer, "proxy-status"), Some(mark));
    }
    assert_eq!(sidecar.breaker.snapshot().totals.rejected, 2);
    // HEAD has the length of what GET would get, and no content.
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(header(&head, "content-length"), Some("2"));
    client.send(GET).await;
    assert!(client.response().await.starts_with("HTTP/1.1 200"));
    assert_eq!(own.connections(), 0);
}

#[tokio::test]
async fn a_fixed_answer_of_an_error_says_when_to_come_again() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, fixed(503, "{}"));
    let answer = sidecar.ask(GET).await;
    assert_eq!(status(&answer), "503");
    assert!(header(&answer, "retry-after").is_some(), "{answer}");
}

#[tokio::test]
async fn over_http_2_a_fixed_answer_is_the_same_and_head_has_no_content() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, fixed(200, "[]"));
    let mut client = connect(&sidecar).await;
    for (method, content) in [("GET", "[]"), ("HEAD", "")] {
        let request = Request::builder().method(method).uri("http://a/");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-length"], "2", "{method}");
        let content_read = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(content_read, content, "{method}");
    }
}

#[tokio::test]
async fn calls_of_grpc_are_rejected_where_the_answer_is_fixed() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, fixed(200, "[]"));
    let mut client = connect(&sidecar).await;
    let request = grpc("/shop.Pay/Do").body(Full::new(Bytes::new())).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    let mark = answer.headers()["proxy-status"].to_str().unwrap();
    assert!(!mark.contains("fallback"), "{mark}");
}

#[tokio::test]
async fn in_shadow_mode_nothing_is_rejected_and_nothing_falls_back() {
    let own = Origin::ok().await;
    let sidecar = sidecar(&own, fixed(200, "[]"));
    sidecar.breaker.force(Mode::Shadow);
    let answer = sidecar.ask(GET).await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(header(&answer, "proxy-status"), None);
}
