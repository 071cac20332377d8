//! What becomes of a request whose connection does not serve it, over HTTP/1.1 and HTTP/2, and how
//! many connections and streams there are.

use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Route};
use breaker_sidecar::upstream::{Endpoint, Protocol, Upstream};
use breaker_tests::calmly;
use breaker_tower::breaker_core::Balance;
use breaker_tower::{BreakerHandle, Policy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::frames::{self, Act, Begun, DATA, PING, begin, frame, goaway, ok, origin, streams};
use crate::harness::{
    Client, GET, OK, Options, Origin, PATIENCE, Sidecar, eventually, header, nobody, patient,
    read_body, read_head, status,
};

pub(crate) fn h2c() -> Options {
    Options {
        upstream: |upstream| Upstream {
            protocol: Protocol::H2c,
            ..upstream
        },
        ..Options::default()
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The connection ends in order.
    Close,
    /// The connection is reset.
    Reset,
    /// RST_STREAM with INTERNAL_ERROR.
    Stream,
    /// RST_STREAM with REFUSED_STREAM.
    Refused,
    /// GOAWAY, the request being among the last that are served.
    GoAwayAbove,
    /// GOAWAY, the request being above the last that is served.
    GoAwayBelow,
    /// It is one more than the connection takes.
    Limit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    H1,
    H2,
}

use Fault::{Close, GoAwayAbove, GoAwayBelow, Limit, Refused, Reset, Stream};
use Over::{H1, H2};

/// A fault of one request; whether its connection had answered before; the method. Then what the
/// caller gets, how often the upstream saw the request, and what it counted as.
type Row = (
    Over,
    Fault,
    bool,
    &'static str,
    &'static str,
    usize,
    &'static str,
);

const FRESH: bool = false;
const REUSED: bool = true;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (H1, Close, FRESH, "GET", "502", 1, "failure"),
    (H1, Close, FRESH, "POST", "502", 1, "failure"),
    (H1, Close, REUSED, "GET", "200", 2, "success"),
    (H1, Close, REUSED, "POST", "502", 1, "ignored"),
    (H1, Reset, FRESH, "GET", "502", 1, "failure"),
    (H1, Reset, FRESH, "POST", "502", 1, "failure"),
    (H1, Reset, REUSED, "GET", "200", 2, "success"),
    (H1, Reset, REUSED, "POST", "502", 1, "ignored"),
    (H2, Close, FRESH, "GET", "502", 1, "failure"),
    (H2, Close, FRESH, "POST", "502", 1, "failure"),
    (H2, Close, REUSED, "GET", "200", 2, "success"),
    (H2, Close, REUSED, "POST", "502", 1, "failure"),
    (H2, Reset, FRESH, "GET", "502", 1, "failure"),
    (H2, Reset, FRESH, "POST", "502", 1, "failure"),
    (H2, Reset, REUSED, "GET", "200", 2, "success"),
    (H2, Reset, REUSED, "POST", "502", 1, "failure"),
    (H2, Stream, FRESH, "GET", "502", 1, "failure"),
    (H2, Stream, FRESH, "POST", "502", 1, "failure"),
    (H2, Stream, REUSED, "GET", "502", 1, "failure"),
    (H2, Stream, REUSED, "POST", "502", 1, "failure"),
    (H2, Refused, FRESH, "GET", "200", 2, "success"),
    (H2, Refused, FRESH, "POST", "200", 2, "success"),
    (H2, Refused, REUSED, "GET", "200", 2, "success"),
    (H2, Refused, REUSED, "POST", "200", 2, "success"),
    (H2, GoAwayAbove, FRESH, "GET", "200", 1, "success"),
    (H2, GoAwayAbove, FRESH, "POST", "200", 1, "success"),
    (H2, GoAwayAbove, REUSED, "GET", "200", 1, "success"),
    (H2, GoAwayAbove, REUSED, "POST", "200", 1, "success"),
    (H2, GoAwayBelow, FRESH, "GET", "200", 2, "success"),
    (H2, GoAwayBelow, FRESH, "POST", "200", 2, "success"),
    (H2, GoAwayBelow, REUSED, "GET", "200", 2, "success"),
    (H2, GoAwayBelow, REUSED, "POST", "200", 2, "success"),
    (H2, Limit, REUSED, "GET", "200", 1, "success"),
    (H2, Limit, REUSED, "POST", "200", 1, "success"),
];

/// What an upstream does with a request of HTTP/2 that is to suffer `fault`.
fn suffer(fault: Fault, stream: u32) -> Vec<Act> {
    match fault {
        Close => vec![Act::Close],
        Reset => vec![Act::Reset],
        Stream => vec![Act::Send(frames::reset(stream, 2))],
        Refused => vec![Act::Send(frames::reset(stream, 7))],
        GoAwayAbove => vec![Act::Send([goaway(stream), ok(stream)].concat())],
        GoAwayBelow => vec![Act::Send(goaway(stream - 1))],
        Limit => vec![Act::Send(ok(stream))],
    }
}

/// Loses the request of that number, over HTTP/1.1.
async fn losing(fault: Fault, victim: usize) -> Origin {
    let heads = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let log = heads.clone();
    let origin = Origin::raw(move |mut stream| {
        let log = log.clone();
        async move {
            while let Some(head) = read_head(&mut stream).await {
                read_body(&mut stream, &head).await.unwrap();
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(head);
                    log.len()
                };
                if number == victim {
                    if fault == Reset {
                        stream.set_zero_linger().unwrap();
                    }
                    return;
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    Origin { heads, ..origin }
}

/// What becomes of a request that suffers a fault.
async fn run(&(over, fault, reused, method, ..): &Row) -> (String, usize, &'static str) {
    let victim = 1 + usize::from(reused);
    let settings = match fault {
        Limit => streams(1),
        _ => Vec::new(),
    };
    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let (sidecar, seen): (_, Box<dyn Fn() -> usize>) = match over {
        H1 => {
            let origin = losing(fault, victim).await;
            let sidecar = Sidecar::start(origin.address, Options::default());
            (sidecar, Box::new(move || origin.heads().len()))
        }
        H2 => {
            let (origin, seen) = origin(settings, move |begun: Begun| {
                if begun.request == victim {
                    suffer(fault, begun.stream)
                } else if fault == Limit {
                    // It does not end.
                    vec![Act::Send(begin(begun.stream))]
                } else {
                    vec![Act::Send(ok(begun.stream))]
                }
            })
            .await;
            let sidecar = Sidecar::start(origin.address, h2c());
            (sidecar, Box::new(move || seen.requests()))
        }
    };
    let mut held = sidecar.connect().await;
    if reused {
        held.send(GET).await;
        held.head().await;
    }
    let before = sidecar.totals();
    let seen_before = seen();
    let answer = sidecar.ask(&request).await;
    let answer = status(&answer).to_owned();
    let ended = |(success, failure, ignored): (u64, u64, u64)| success + failure + ignored;
    let is_over = || ended(sidecar.totals()) > ended(before);
    eventually("counted", is_over).await;
    let after = sidecar.totals();
    let counted = match (after.0 - before.0, after.1 - before.1) {
        (1, 0) => "success",
        (0, 1) => "failure",
        _ => "ignored",
    };
    (answer, seen() - seen_before, counted)
}

#[tokio::test]
async fn what_becomes_of_a_request_that_its_connection_does_not_serve() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let &(.., answer, seen, counted) = row;
        let found = run(row).await;
        if found != (answer.to_owned(), seen, counted) {
            wrong.push(format!("{row:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether an upstream that takes nothing is told from one that closes connections.
#[tokio::test]
async fn what_is_never_taken_is_sent_twice_and_is_the_upstreams_failure() {
    for (fault, answer) in [(Refused, "503"), (GoAwayBelow, "502"), (Close, "502")] {
        let acts = move |begun: Begun| suffer(fault, begun.stream);
        let (origin, seen) = origin(Vec::new(), acts).await;
        let sidecar = Sidecar::start(origin.address, h2c());
        assert_eq!(status(&sidecar.ask(GET).await), answer, "{fault:?}");
        let times = if fault == Close { 1 } else { 2 };
        assert_eq!(seen.requests(), times, "{fault:?}");
        assert_eq!(sidecar.totals(), (0, 1, 0), "{fault:?}");
    }
}

/// An upstream that takes two streams a connection. It answers a request for `/` at once, and of
/// others only the head.
async fn two_a_connection() -> (Origin, frames::Seen) {
    origin(streams(2), |begun: Begun| {
        vec![Act::Send(match begun.is_for_root {
            true => ok(begun.stream),
            false => begin(begun.stream),
        })]
    })
    .await
}

/// A caller whose stream rests, or whose upload does.
async fn resting(sidecar: &Sidecar, uploads: bool) -> Client {
    let mut client = sidecar.connect().await;
    let request = match uploads {
        true => "POST /resting-stream HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi",
        false => "GET /resting-stream HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    client.send(request).await;
    client.head().await;
    client
}

#[tokio::test]
async fn streams_take_further_connections_and_beyond_those_503_at_once() {
    for uploads in [false, true] {
        let (origin, seen) = two_a_connection().await;
        let sidecar = Sidecar::with(origin.address, |options| {
            options.upstream = |upstream| Upstream {
                idle_timeout: Duration::from_millis(50),
                ..h2c_of(upstream)
            };
        });
        let mut held = Vec::new();
        for count in 1..=16_usize {
            held.push(resting(&sidecar, uploads).await);
            assert_eq!(origin.connections(), count.div_ceil(2), "{count}");
        }
        let samples = || {
            sidecar.breaker.snapshot().sources[0]
                .latency
                .as_ref()
                .map(|l| l.samples)
        };
        let (before, timed) = (sidecar.totals(), samples());
        let answer = timeout(PATIENCE, sidecar.ask(GET)).await.unwrap();
        assert_eq!(status(&answer), "503", "{answer}");
        let said = header(&answer, "proxy-status").unwrap();
        assert!(said.contains("error=connection_limit_reached"), "{said}");
        let is_ignored = || sidecar.totals() == (before.0, before.1, before.2 + 1);
        eventually("ignored", is_ignored).await;
        assert_eq!(samples(), timed);
        assert_eq!(sidecar.totals().1, 0);
        // One leaves, and there is room for one.
        held.pop();
        let is_served = async { while status(&sidecar.ask(GET).await) != "200" {} };
        timeout(PATIENCE, is_served).await.expect("room");
        // All leave: others are served, and one connection stays.
        held.clear();
        eventually("closed", || seen.open() == 1).await;
        for _ in 0..3 {
            assert_eq!(status(&sidecar.ask(GET).await), "200");
        }
        assert_eq!(origin.connections(), 8);
        assert_eq!(sidecar.totals().1, 0, "failures");
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_no_streams_at_all_refuses_its_requests() {
    let refusing = |begun: Begun| suffer(Refused, begun.stream);
    let (origin, seen) = origin(streams(0), refusing).await;
    let sidecar = Sidecar::start(origin.address, h2c());
    for _ in 0..12 {
        let answer = timeout(PATIENCE, sidecar.ask(GET)).await.unwrap();
        assert_eq!(status(&answer), "503", "{answer}");
        let said = header(&answer, "proxy-status").unwrap();
        assert!(said.contains("upstream refused the stream"), "{said}");
    }
    // Each connection is tried once: what it takes is known only by then.
    assert_eq!((seen.requests(), origin.connections()), (8, 8));
    assert_eq!(sidecar.totals(), (0, 12, 0));
}

#[tokio::test]
async fn what_a_connection_in_use_loses_and_another_endpoint_gets_is_no_failure_of_the_first() {
    // The second request of each connection is lost with it.
    let closing = |begun: Begun| match begun.stream {
        1 => vec![Act::Send(ok(begun.stream))],
        _ => vec![Act::Close],
    };
    let (closing, lost) = origin(Vec::new(), closing).await;
    let (good, _) = origin(Vec::new(), |begun| vec![Act::Send(ok(begun.stream))]).await;
    let endpoints = [closing.address, good.address].map(Endpoint::Address);
    let mut upstream = h2c_of(patient(endpoints.into()));
    upstream.balancing.balance = Balance::RoundRobin;
    let policy = Policy::builtin("sensitive").unwrap();
    let breaker = BreakerHandle::with_seed("all", policy, 1);
    let route = Route::new(breaker.clone(), Arc::new(upstream));
    let limits = Limits::default();
    let sidecar = Sidecar::with_routes(vec![route], breaker, limits, Duration::ZERO);
    for _ in 0..12 {
        assert_eq!(status(&sidecar.ask(GET).await), "200");
    }
    assert!(lost.requests() >= 4);
    let sent = sidecar.sent.lock().unwrap();
    let failed: Vec<_> = sent.iter().filter(|line| !line.ends_with("None")).collect();
    assert!(!failed.is_empty(), "{sent:?}");
    let mut failed = failed.iter();
    assert!(
        failed.all(|line| line.ends_with("Some(Unreceived)")),
        "{sent:?}"
    );
}

fn h2c_of(upstream: Upstream) -> Upstream {
    (h2c().upstream)(upstream)
}

#[tokio::test]
async fn who_comes_at_once_shares_one_connection_that_is_opened() {
    let (origin, seen) = origin(Vec::new(), |begun| vec![Act::Send(ok(begun.stream))]).await;
    let sidecar = Sidecar::start(origin.address, h2c());
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(sidecar.connect().await);
    }
    for client in &mut clients {
        client.send(GET).await;
    }
    for client in &mut clients {
        assert_eq!(status(&client.response().await), "200");
    }
    assert_eq!((origin.connections(), seen.requests()), (1, 50));
}

/// Whether a slow upload that no one can finish blocks those of others (RFC 9113, 5.1.2).
#[tokio::test]
async fn slow_uploads_up_to_the_limit_of_streams_keep_nobody_out() {
    let answers = |begun: Begun| match begun.is_for_root {
        true => vec![Act::Send(ok(begun.stream))],
        false => Vec::new(),
    };
    let (origin, _) = origin(streams(100), answers).await;
    let sidecar = Sidecar::start(origin.address, h2c());
    let mut uploads = Vec::new();
    for _ in 0..100 {
        let mut client = sidecar.connect().await;
        let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi";
        client.send(head).await;
        uploads.push(client);
    }
    let all = || sidecar.breaker.snapshot().in_flight == 100;
    eventually("all are under way", all).await;
    for _ in 0..5 {
        let answer = timeout(PATIENCE, sidecar.ask(GET)).await.unwrap();
        assert_eq!(status(&answer), "200");
    }
    assert_eq!(origin.connections(), 2);
    assert_eq!(sidecar.totals(), (5, 0, 0));
}

/// Whether answers before the end of uploads, of which no more is taken, use up all streams: the
/// upstream need not reset them (RFC 9113, 8.1).
#[tokio::test]
async fn uploads_that_go_on_after_their_answers_keep_nobody_out() {
    calmly(async || {
        let (origin, seen) = origin(streams(1), |begun| vec![Act::Send(ok(begun.stream))]).await;
        let sidecar = Sidecar::start(origin.address, h2c());
        let mut uploads = Vec::new();
        for _ in 0..8 {
            let mut client = sidecar.connect().await;
            let head = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n";
            client.send(head).await;
            // More than the window of a stream has room for.
            client.send(vec![b'x'; 100_000]).await;
            assert_eq!(status(&client.head().await), "200");
            uploads.push(client);
        }
        assert_eq!(
            status(&sidecar.ask(GET).await),
            "503",
            "all streams are in use"
        );
        let mut tries = 0;
        while status(&sidecar.ask(GET).await) != "200" {
            tries += 1;
            assert!(tries < 1000, "they are still in use");
            sleep(Duration::from_millis(10)).await;
        }
        eventually("their connections have ended", || seen.open() <= 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_ends_finishes_its_streams() {
    let (origin, seen) = origin(Vec::new(), |begun| {
        vec![Act::Send(match begun.request {
            1 => begin(begun.stream),
            2 => [goaway(3), ok(3), frame(DATA, 1, 1, b"late")].concat(),
            _ => ok(begun.stream),
        })]
    })
    .await;
    let sidecar = Sidecar::start(origin.address, h2c());
    let mut client = sidecar.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.head().await;
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(client.rest().await, "late");
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(origin.connections(), 2);
    eventually("one is closed", || seen.open() == 1).await;
    // It was not even tried.
    let sent = sidecar.sent.lock().unwrap().clone();
    assert!(sent.iter().all(|sent| sent.ends_with("None")), "{sent:?}");
    eventually("counted", || sidecar.totals() == (3, 0, 0)).await;
}

#[tokio::test]
async fn what_is_sent_again_is_whole_and_goes_on() {
    for fault in [Refused, GoAwayBelow] {
        // The fault comes when a part of the content has.
        let (origin, seen) = origin(Vec::new(), move |begun: Begun| match begun.request {
            1 => suffer(fault, begun.stream),
            // Answered when the content is over, by a stream of its own.
            2 => Vec::new(),
            _ => vec![Act::Send(ok(begun.stream - 2)), Act::Send(ok(begun.stream))],
        })
        .await;
        let sidecar = Sidecar::start(origin.address, h2c());
        let mut client = sidecar.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            .await;
        eventually("sent again", || seen.requests() == 2).await;
        client.send("def").await;
        let last = if fault == Refused { 1 } else { 2 };
        eventually("whole", || seen.content(last).ends_with("abcdef")).await;
        assert_eq!(status(&sidecar.ask(GET).await), "200");
        assert_eq!(status(&client.response().await), "200", "{fault:?}");
        eventually("counted", || sidecar.totals() == (2, 0, 0)).await;
    }
}

#[tokio::test]
async fn what_was_sent_and_not_kept_is_not_sent_again() {
    for (fault, answer, totals) in [(Refused, "503", (1, 1, 0)), (GoAwayBelow, "502", (1, 0, 1))] {
        let (origin, seen) = origin(Vec::new(), move |begun: Begun| match begun.request {
            1 => vec![Act::Send(ok(begun.stream))],
            // When there is more of it than is kept, that is read.
            _ => {
                let acts = suffer(fault, begun.stream);
                [vec![Act::Read(65_000)], acts].concat()
            }
        })
        .await;
        let sidecar = Sidecar::start(origin.address, h2c());
        assert_eq!(status(&sidecar.ask(GET).await), "200");
        let mut client = sidecar.connect().await;
        let content = "x".repeat(70_000);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n";
        client.send(format!("{head}{content}")).await;
        let answered = client.head().await;
        assert_eq!(status(&answered), answer, "{fault:?}");
        assert_eq!(seen.requests(), 2, "{fault:?}");
        eventually("counted", || sidecar.totals() == totals).await;
    }
}

#[tokio::test]
async fn nobody_is_pinged_unless_that_is_set() {
    for (ping, times) in [(None, 0), (Some(Duration::from_millis(30)), 3)] {
        let (origin, seen) = origin(Vec::new(), |begun: Begun| {
            vec![Act::Send(begin(begun.stream))]
        })
        .await;
        let sidecar = Sidecar::with(origin.address, |options| {
            options.upstream = match ping {
                Some(_) => |upstream| Upstream {
                    http2_ping: Some(Duration::from_millis(30)),
                    ..h2c_of(upstream)
                },
                None => h2c_of,
            };
        });
        let _held = resting(&sidecar, false).await;
        match ping {
            Some(_) => eventually("pinged", || seen.frames(PING) >= times).await,
            None => {
                sleep(Duration::from_millis(200)).await;
                assert_eq!(seen.frames(PING), times);
            }
        }
    }
}

/// Whether a connection that nothing comes from any more is used for ever.
#[tokio::test]
async fn a_connection_that_is_silent_after_a_timeout_takes_no_further_requests() {
    calmly(async || {
        let silent = |begun: Begun| match (begun.connection, begun.request) {
            (1, 2..) => Vec::new(),
            _ => vec![Act::Send(ok(begun.stream))],
        };
        for (fields, first) in [("", "504"), ("X-Time: 600\r\n", "504")] {
            let (origin, _) = origin(Vec::new(), silent).await;
            let sidecar = Sidecar::with(origin.address, |options| {
                options.upstream = h2c_of;
                options.route = |mut route| {
                    route.timeout = Some(Duration::from_secs(1));
                    route.deadline.header = Some(http::HeaderName::from_static("x-time"));
                    route
                };
            });
            assert_eq!(status(&sidecar.ask(GET).await), "200");
            let request = GET.replace("Host: a\r\n", &format!("Host: a\r\n{fields}"));
            assert_eq!(status(&sidecar.ask(&request).await), first);
            assert_eq!(status(&sidecar.ask(GET).await), "200", "{fields}");
            assert_eq!(origin.connections(), 2);
        }
    })
    .await;
}

/// Whether callers that read nothing use up what the streams of others need.
#[tokio::test]
async fn readers_that_are_stuck_stall_nobody_else() {
    const SIZE: usize = 8 << 20;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let head = http::Response::new(());
            let mut body = respond.send_response(head, false).unwrap();
            // All of it is offered; what goes out is up to flow control.
            body.send_data(vec![b'x'; SIZE].into(), true).unwrap();
        }
    });
    let sidecar = Sidecar::start(address, h2c());
    let mut stuck = Vec::new();
    for _ in 0..40 {
        let mut client = sidecar.connect().await;
        client.send(GET).await;
        client.head().await;
        stuck.push(client);
    }
    // Until nothing more of theirs comes.
    sleep(Duration::from_millis(300)).await;
    let mut client = sidecar.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    client.head().await;
    let mut read = 0;
    let mut piece = vec![0; 1 << 16];
    let all = async {
        while let Ok(size @ 1..) = client.0.read(&mut piece).await {
            read += size;
        }
    };
    timeout(PATIENCE, all).await.expect("a whole body");
    assert_eq!(read, SIZE);
}

#[tokio::test]
async fn what_an_endpoint_does_not_take_goes_to_the_next() {
    let refusing = |begun: Begun| suffer(Refused, begun.stream);
    let (refusing, refused) = origin(Vec::new(), refusing).await;
    let (good, seen) = origin(Vec::new(), |begun| vec![Act::Send(ok(begun.stream))]).await;
    let closed = nobody();
    let endpoints = [closed, refusing.address, good.address].map(Endpoint::Address);
    let mut upstream = h2c_of(patient(endpoints.into()));
    upstream.balancing.balance = Balance::RoundRobin;
    let policy = Policy::builtin("sensitive").unwrap();
    let breaker = BreakerHandle::with_seed("all", policy, 1);
    let route = Route::new(breaker.clone(), Arc::new(upstream));
    let grace = Duration::ZERO;
    let sidecar = Sidecar::with_routes(vec![route], breaker, Limits::default(), grace);
    for _ in 0..6 {
        let answer = sidecar.ask("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&answer), "200");
    }
    assert_eq!(sidecar.totals(), (6, 0, 0));
    // In turn, so some begin at each.
    assert_eq!(seen.requests(), 6);
    let sent = sidecar.sent.lock().unwrap();
    let failed = |kind: &str| sent.iter().filter(|sent| sent.contains(kind)).count();
    assert!(failed("Some(ConnectRefused)") > 0, "{sent:?}");
    assert_eq!(failed("Some(Refused)"), refused.requests(), "{sent:?}");
    assert!(refused.requests() > 0, "{sent:?}");
    assert_eq!(failed("Some("), sent.len() - 6, "{sent:?}");
}
