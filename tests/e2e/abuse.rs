//! No client opens a breaker, whatever it sends or does not send: each test is an attack on a
//! healthy service, by somebody who knows how the breaker works. Afterwards other callers are
//! served, nothing has tripped, and nothing counts as a failure.

mod attacker;

use std::time::Duration;

use breaker_tests::{PATIENCE, Script, Seen, Setup, Sidecar, Upstream, eventually, get};
use bytes::Bytes;
use http::Response;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use self::attacker::Attacker;

/// What a healthy service answers.
fn healthy(seen: &Seen) -> Response<Bytes> {
    let answer = Response::builder();
    let path = seen.uri.path();
    if path.starts_with("/pay.Pay/") {
        // The service obeys its caller's deadline, as gRPC servers do.
        let status = match seen.headers.contains_key("grpc-timeout") {
            true => "4",
            false => "0",
        };
        return answer
            .header("content-type", "application/grpc")
            .header("grpc-status", status)
            .body(Bytes::new())
            .expect("an answer");
    }
    let (status, length) = match path {
        "/pay/forbidden" => (403, 0),
        "/pay/missing" => (404, 0),
        "/pay/busy" => (429, 0),
        "/pay/large" => (200, 4 << 20),
        _ => (200, 2),
    };
    answer
        .status(status)
        .body(Bytes::from(vec![b'x'; length]))
        .expect("an answer")
}

/// Lets somebody attack a sidecar of each policy, while nobody else is there and while others are.
async fn attack<F>(act: impl Fn(Attacker) -> F)
where
    F: Future<Output = ()>,
{
    for policy in ["sensitive", "adaptive"] {
        let upstream = Upstream::start().await;
        upstream.play(Script::late(Duration::from_millis(10), healthy));
        let sidecar = Setup::of(upstream.address())
            .policy(policy)
            .more("limits: { max_body_bytes: 1MiB }")
            .start()
            .await;
        good(&sidecar, 5, policy).await;
        for _ in 0..40 {
            act(Attacker::of(&sidecar)).await;
        }
        good(&sidecar, 20, policy).await;
        let metrics = sidecar.metrics().await;
        assert_eq!(metrics.state("pay"), "closed", "{policy}");
        assert_eq!(metrics.requests("pay", "failure"), 0.0, "{policy}");
        assert_eq!(metrics.requests("pay", "rejected"), 0.0, "{policy}");
        eventually!(
            upstream.in_flight() == 0,
            "the service still works for nobody"
        );
    }
}

/// Other callers are served.
async fn good(sidecar: &Sidecar, times: usize, policy: &str) {
    for _ in 0..times {
        let answer = get(sidecar.url("/pay/x")).await;
        assert_eq!(answer.status, 200, "{policy}: {}", answer.text());
    }
}

/// Lets `act` go on 60 times a second from the moment at which the service is well again, while
/// somebody asks twice a second. Returns whether the breaker closes.
async fn besieged<F>(base: &str, act: impl Fn(Attacker) -> F) -> bool
where
    F: Future<Output = ()> + Send + 'static,
{
    let upstream = Upstream::start().await;
    upstream.play(Script::Status(500));
    let policy = format!(
        "{{ base: {base}, open: {{ for: 500ms, jitter: 0% }}, ramp: {{ start: 50%, for: 1s }} }}"
    );
    let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
    while get(sidecar.url("/pay/x")).await.status != 503 {}
    upstream.play(Script::late(Duration::from_millis(10), healthy));
    let mut siege = JoinSet::new();
    let mut attacks = interval(Duration::from_micros(16_667));
    let mut asks = interval(Duration::from_millis(487));
    let deadline = sleep(PATIENCE);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            _ = attacks.tick() => {
                siege.spawn(act(Attacker::of(&sidecar)));
            }
            _ = asks.tick() => {
                get(sidecar.url("/pay/x")).await;
                let metrics = sidecar.metrics().await;
                if metrics.transitions("pay", "half_open", "closed") > 0.0 {
                    return true;
                }
            }
            () = &mut deadline => return false,
        }
    }
}

#[tokio::test]
async fn half_requests_do_not_keep_a_breaker_from_closing() {
    for base in ["sensitive", "adaptive"] {
        let half = |a: Attacker| async move { drop(a.send(SIZED).await.wait(FOR_EVER).await) };
        assert!(besieged(base, half).await, "{base}");
    }
}

#[tokio::test]
async fn malformed_requests_do_not_keep_a_breaker_from_closing() {
    for base in ["sensitive", "adaptive"] {
        let malformed =
            |a: Attacker| async move { a.send(format!("{CHUNKED}zz\r\n")).await.read().await };
        assert!(besieged(base, malformed).await, "{base}");
    }
}

#[tokio::test]
async fn uploads_that_break_off_do_not_keep_a_breaker_from_closing() {
    for base in ["sensitive", "adaptive"] {
        let cut = |a: Attacker| async move { a.send(format!("{SIZED}abc")).await.reset() };
        assert!(besieged(base, cut).await, "{base}");
    }
}

#[tokio::test]
async fn a_loop_that_a_client_feigns_opens_nothing() {
    let upstream = Upstream::start().await;
    upstream.play(Script::answer(healthy));
    let inner = Setup::of(upstream.address()).start().await;
    let outer = Setup::of(inner.address()).start().await;
    good(&outer, 5, "sensitive").await;
    // Whoever is behind a sidecar knows its name.
    let seen = upstream.seen();
    let via = seen[0].headers["via"].to_str().unwrap();
    let name = via.rsplit_once(' ').unwrap().1;
    for number in 0..60 {
        let media_type = ["text/plain", "application/grpc"][number % 2];
        let fields = format!("via: 1.0 x, HTTP/1.1 {name} (by)\r\ncontent-type: {media_type}\r\n");
        let request =
            format!("GET /pay/x HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n");
        Attacker::of(&outer).send(request).await.read().await;
    }
    good(&outer, 20, "sensitive").await;
    let metrics = outer.metrics().await;
    assert_eq!(metrics.state("pay"), "closed");
    assert_eq!(metrics.requests("pay", "failure"), 0.0);
    assert_eq!(metrics.requests("pay", "ignored"), 60.0);
    assert_eq!(upstream.count(), 25, "none of them came through");
}

macro_rules! attacks {
    ($($(#[$what:meta])* $name:ident: $act:expr;)+) => {$(
        $(#[$what])*
        #[tokio::test]
        async fn $name() {
            attack($act).await;
        }
    )+};
}

attacks! {
    leaving_before_the_answer: async |a: Attacker| a.send(GET).await.leave();
    resetting_before_the_answer: async |a: Attacker| a.send(GET).await.reset();
    leaving_in_the_middle_of_the_head: async |a: Attacker| a.send("GET /pay/x HTT").await.leave();
    sending_no_http: async |a: Attacker| a.send("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.read().await;
    a_malformed_chunk: async |a: Attacker| {
        a.send(format!("{CHUNKED}zz\r\n")).await.read().await;
    };
    a_chunk_that_is_cut_off: async |a: Attacker| a.send(format!("{CHUNKED}ff\r\nabc")).await.reset();
    a_malformed_chunk_after_good_ones: async |a: Attacker| {
        a.send(format!("{CHUNKED}3\r\nabc\r\n-1\r\n")).await.read().await;
    };
    a_body_that_is_too_short: async |a: Attacker| a.send(format!("{SIZED}abc")).await.leave();
    a_body_that_is_too_short_and_a_reset: async |a: Attacker| a.send(format!("{SIZED}abc")).await.reset();
    a_body_that_is_too_short_and_half_a_close: async |a: Attacker| {
        a.send(format!("{SIZED}abc")).await.half_close().await.read().await;
    };
    a_body_above_the_limit: async |a: Attacker| {
        a.send("POST /pay/x HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999\r\n\r\n").await.read().await;
    };
    a_chunked_body_above_the_limit: async |a: Attacker| {
        let chunk = format!("200000\r\n{}", "x".repeat(0x20_0000));
        a.send(format!("{CHUNKED}{chunk}")).await.read().await;
    };
    an_upgrade_with_a_malformed_chunk: async |a: Attacker| {
        a.send(format!("{UPGRADE}transfer-encoding: chunked\r\n\r\nzz\r\n")).await.read().await;
    };
    an_upgrade_whose_upload_never_ends: async |a: Attacker| {
        a.send(format!("{UPGRADE}content-length: 100\r\n\r\nabc")).await.leave();
    };
    an_upgrade_to_what_the_service_does_not_speak: async |a: Attacker| {
        a.send(format!("{UPGRADE}\r\n")).await.read().await;
    };
    expecting_100_and_never_sending: async |a: Attacker| {
        a.send(format!("{}expect: 100-continue\r\n\r\n", SIZED.trim_end_matches("\r\n"))).await.leave();
    };
    conflicting_lengths: async |a: Attacker| {
        a.send("POST /pay/x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc").await.read().await;
    };
    too_many_header_fields: async |a: Attacker| {
        let fields = "x-field: x\r\n".repeat(300);
        a.send(format!("GET /pay/x HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await.read().await;
    };
    a_huge_header_field: async |a: Attacker| {
        let value = "x".repeat(200_000);
        a.send(format!("GET /pay/x HTTP/1.1\r\nhost: a\r\nx-field: {value}\r\n\r\n")).await.read().await;
    };
    methods_that_no_service_knows: async |a: Attacker| {
        for method in ["TRACE", "CONNECT", "BREW", "OPTIONS"] {
            let request = format!("{method} * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            a.clone().send(request).await.read().await;
        }
    };
    asking_for_what_is_refused: async |a: Attacker| {
        for path in ["forbidden", "missing", "busy"] {
            let request = format!("GET /pay/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            a.clone().send(request).await.read().await;
        }
    };
    half_a_close_after_the_request: async |a: Attacker| a.send(GET).await.half_close().await.read().await;
    pipelined_requests_that_nobody_waits_for: async |a: Attacker| a.send(GET.repeat(5)).await.reset();
    an_answer_that_is_not_read: async |a: Attacker| {
        let request = GET.replace("/pay/x", "/pay/large");
        a.send(request).await.wait(Duration::from_millis(20)).await.reset();
    };
    markers_of_a_breaker: async |a: Attacker| {
        let markers = "proxy-status: a; error=destination_unavailable\r\nretry-after: 60\r\n\
                       traceparent: 00-0-0-00\r\nconnection: close\r\n\r\n";
        a.send(format!("GET /pay/x HTTP/1.1\r\nhost: a\r\n{markers}")).await.read().await;
    };
    deadlines_that_are_too_short: async |a: Attacker| {
        for deadline in ["1m", "1n", "0S", "5000u"] {
            a.call(&[("grpc-timeout", deadline)]).await;
        }
    };
    deadlines_that_are_none: async |a: Attacker| {
        for deadline in ["", "-1S", "1x", "99999999999H", "S", "1 S", "١S"] {
            a.call(&[("grpc-timeout", deadline)]).await;
        }
    };
    streams_that_are_reset_at_once: async |a: Attacker| a.cancel_streams(20, Duration::ZERO).await;
    streams_that_are_reset_soon: async |a: Attacker| a.cancel_streams(20, Duration::from_millis(3)).await;
    half_a_header_section_over_http_2: async |a: Attacker| {
        // The preface, the settings, and 3 of 100 bytes.
        let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let half = b"\0\0\x64\x01\0\0\0\0\x01\x82\x86\x84";
        a.send([&begin[..], half].concat()).await.leave();
    };
    hops_that_were_none: async |a: Attacker| {
        let via = "via: 1.1 breaker, 1.1 breaker-0123456789abcdef (x\r\nx_forwarded_for: 1.1.1.1\r\n";
        a.send(format!("GET /pay/x HTTP/1.1\r\nhost: a\r\n{via}connection: close\r\n\r\n")).await.read().await;
    };
    streams_without_a_window: async |a: Attacker| a.stall_streams(3).await;
}

const FOR_EVER: Duration = Duration::from_secs(3600);
const GET: &str = "GET /pay/x HTTP/1.1\r\nhost: a\r\n\r\n";
const SIZED: &str = "POST /pay/x HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";
const CHUNKED: &str = "POST /pay/x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
const UPGRADE: &str =
    "POST /pay/x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
