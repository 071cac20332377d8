//! Limits over HTTP/2, in tunnels and on sockets, and what counts them: the cells of
//! docs/limits.md. Those of HTTP/1 alone are in `bounds`.

use std::time::Duration;

use breaker_sidecar::message::limited;
use breaker_sidecar::proxy::Route;
use breaker_sidecar::upstream::Upstream;
use breaker_tests::calmly;
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Client, GET, Origin, PATIENCE, Sidecar, eventually, read_head, status};

/// A connection, and its end.
async fn connect(sidecar: &Sidecar) -> (SendRequest<Bytes>, JoinHandle<()>) {
    connect_with(sidecar, 65_535).await
}

/// The same, with this window for each answer.
async fn connect_with(sidecar: &Sidecar, window: u32) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(window)
        .handshake(stream)
        .await
        .unwrap();
    let ended = tokio::spawn(async move {
        let _ = connection.await;
    });
    (sender.ready().await.unwrap(), ended)
}

fn get() -> Request<()> {
    Request::get("http://a/").body(()).unwrap()
}

fn post() -> Request<()> {
    Request::post("http://a/").body(()).unwrap()
}

/// An upstream that never answers.
async fn hanging() -> Origin {
    Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await
}

/// An upstream whose answer is larger than all buffers on its way.
async fn large() -> Origin {
    Origin::answering(|_, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n";
        head.to_owned() + &"x".repeat(20_000_000)
    })
    .await
}

/// Waits until the limit of that name has acted.
async fn counted(name: &str) {
    eventually(name, || limited(name).unwrap() > 0).await;
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What is done over both protocols: a GET that is answered, by its status.
async fn statuses_of_gets(sidecar: &Sidecar, long: usize) -> [String; 2] {
    let value = "x".repeat(long);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {value}\r\n\r\n");
    let over_http1 = status(&sidecar.ask(&head).await).to_owned();
    let (mut sender, _ended) = connect(sidecar).await;
    let request = Request::get("http://a/").header("x-long", value);
    let (response, _) = sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let response = timeout(PATIENCE, response).await.expect("an answer");
    [over_http1, response.unwrap().status().as_str().to_owned()]
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let bounds: [fn(Route) -> Route; 2] = [
        |mut route| {
            route.body.idle = Some(Duration::from_millis(200));
            route
        },
        |mut route| {
            route.body.request_total = Some(Duration::from_millis(200));
            route
        },
    ];
    let names = ["body_idle_timeout", "body_timeout"];
    for ((route, trickles), name) in bounds.into_iter().zip([false, true]).zip(names) {
        let origin = hanging().await;
        let sidecar = Sidecar::with(origin.address, |options| options.route = route);
        let (mut sender, _ended) = connect(&sidecar).await;
        let (response, mut upload) = sender.send_request(post(), false).unwrap();
        let trickle = async {
            if !trickles {
                std::future::pending::<()>().await;
            }
            loop {
                let _ = upload.send_data(Bytes::from_static(b"a"), false);
                sleep(ms(20)).await;
            }
        };
        let response = tokio::select! {
            never = trickle => never,
            response = timeout(PATIENCE, response) => response.expect("an answer").unwrap(),
        };
        assert_eq!(response.status(), 408, "trickles: {trickles}");
        eventually("recorded", || sidecar.totals() == (0, 0, 1)).await;
        counted(name).await;
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_413_and_counted() {
    let origin = hanging().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.route = |mut route| {
            route.body.request_bytes = Some(1000);
            route
        };
    });
    let known = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n";
    assert_eq!(status(&sidecar.ask(known).await), "413");
    assert_eq!(limited("max_body_bytes"), Some(1));
    let (mut sender, _ended) = connect(&sidecar).await;
    let (response, mut upload) = sender.send_request(post(), false).unwrap();
    upload.send_data(vec![b'x'; 1001].into(), false).unwrap();
    let response = timeout(PATIENCE, response).await.expect("an answer");
    assert_eq!(response.unwrap().status(), 413);
    eventually("counted", || limited("max_body_bytes") == Some(2)).await;
}

#[tokio::test]
async fn a_header_section_over_its_limit_is_431() {
    let origin =
        Origin::answering(|_, _| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.header_bytes = 8192;
    });
    for (length, status) in [(7_000, "200"), (9_000, "431"), (7_000, "200")] {
        assert_eq!(statuses_of_gets(&sidecar, length).await, [status; 2]);
    }
    assert_eq!(origin.heads().len(), 4);
    eventually("counted", || limited("max_header_bytes") == Some(2)).await;
    // Far above it the frames themselves are refused.
    let (mut sender, _ended) = connect(&sidecar).await;
    let request = Request::get("http://a/").header("x-long", "x".repeat(100_000));
    let (response, _) = sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap();
    let response = timeout(PATIENCE, response).await.expect("an answer");
    assert_eq!(
        response.map_or(431, |response| response.status().as_u16()),
        431
    );
    assert_eq!(origin.heads().len(), 4);
}

#[tokio::test]
async fn requests_over_a_routes_limit_are_429() {
    let origin = hanging().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.route = |route| Route {
            max_in_flight: Some(1),
            ..route
        };
    });
    let mut first = sidecar.connect().await;
    first.send(GET).await;
    eventually("in flight", || origin.connections() == 1).await;
    let response = sidecar.ask(GET).await;
    assert!(
        response.contains("error=connection_limit_reached"),
        "{response}"
    );
    assert_eq!(statuses_of_gets(&sidecar, 1).await, ["429"; 2]);
    assert_eq!(limited("max_in_flight"), Some(3));
}

#[tokio::test]
async fn a_client_may_have_so_many_streams_and_is_told_so() {
    let origin = hanging().await;
    let sidecar = Sidecar::with(origin.address, |options| options.limits.streams = 3);
    let (mut sender, _ended) = connect(&sidecar).await;
    let (_first, _) = sender.send_request(post(), true).unwrap();
    eventually("in flight", || origin.connections() == 1).await;
    // The settings came before anything else.
    assert_eq!(sender.current_max_send_streams(), 3);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.keep_alive = ms(100);
    });
    let (mut sender, ended) = connect(&sidecar).await;
    let (response, _) = sender.send_request(post(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    let ended = timeout(PATIENCE, ended).await.expect("it is closed");
    ended.unwrap();
    counted("idle_timeout").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_though_the_last_answer_was_not_taken() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.keep_alive = ms(100);
        options.limits.write = ms(100);
    });
    // Its window has room for one byte of two: the other waits for good, where nobody looks.
    let (mut sender, ended) = connect_with(&sidecar, 1).await;
    let (response, _) = sender.send_request(post(), true).unwrap();
    let _answer = response.await.unwrap();
    let ended = timeout(PATIENCE, ended).await.expect("it is closed");
    ended.unwrap();
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_cut() {
    let origin = large().await;
    let sidecar = Sidecar::with(origin.address, |options| options.limits.write = ms(200));
    let (mut sender, _ended) = connect_with(&sidecar, 0).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let (response, _) = sender.send_request(get(), true).unwrap();
        answers.push(timeout(PATIENCE, response).await.unwrap().unwrap());
        sender = sender.ready().await.unwrap();
    }
    for answer in &mut answers {
        let body = answer.body_mut();
        let cut = timeout(PATIENCE, body.data()).await.expect("it is cut");
        assert!(cut.is_some_and(|frame| frame.is_err()));
    }
    eventually("ended", || sidecar.finished.lock().unwrap().len() == 5).await;
    eventually("counted", || limited("write_timeout") == Some(5)).await;
    // The connection goes on, for those that are read.
    let (response, _) = sender.send_request(get(), true).unwrap();
    let mut response = timeout(PATIENCE, response).await.unwrap().unwrap();
    let window = response.body_mut().flow_control();
    assert!(window.release_capacity(0).is_ok());
}

#[tokio::test]
async fn a_client_that_reads_slowly_and_steadily_is_not_cut() {
    calmly(async || {
        let before = limited("write_timeout");
        let origin = large().await;
        let sidecar = Sidecar::with(origin.address, |options| options.limits.write = ms(400));
        let (mut sender, _ended) = connect_with(&sidecar, 16_384).await;
        let (response, _) = sender.send_request(get(), true).unwrap();
        let mut response = timeout(PATIENCE, response).await.unwrap().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < ms(2000) {
            let data = timeout(PATIENCE, response.body_mut().data()).await.unwrap();
            let length = data.expect("more").expect("not cut").len();
            sleep(ms(50)).await;
            let window = response.body_mut().flow_control();
            window.release_capacity(length).unwrap();
        }
        assert_eq!(limited("write_timeout"), before);
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_slow_is_not_the_clients_doing() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab";
        stream.write_all(head.as_bytes()).await.unwrap();
        sleep(ms(500)).await;
        stream.write_all(b"cd").await.unwrap();
    })
    .await;
    let sidecar = Sidecar::with(origin.address, |options| options.limits.write = ms(100));
    let (mut sender, _ended) = connect(&sidecar).await;
    let (response, _) = sender.send_request(get(), true).unwrap();
    let mut response = timeout(PATIENCE, response).await.unwrap().unwrap();
    let mut body = Vec::new();
    while let Some(data) = timeout(PATIENCE, response.body_mut().data()).await.unwrap() {
        body.extend_from_slice(&data.expect("not cut"));
    }
    assert_eq!(body, b"abcd");
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The head of a HEADERS frame of 100 bytes, which does not end its header section.
const HEADERS: &[u8] = &[0, 0, 100, 1, 0, 0, 0, 0, 1];
/// The head of a CONTINUATION frame of one byte, which does not end it either.
const CONTINUATION: &[u8] = &[0, 0, 1, 9, 0, 0, 0, 0, 1];

/// Sends `begin`, then `again` and again; returns after how long the connection was closed.
async fn closed_after(sidecar: &Sidecar, begin: &[u8], again: &[u8]) -> Duration {
    let mut client = sidecar.connect().await;
    client.send(begin).await;
    let begun = Instant::now();
    let Client(stream) = client;
    let (read, mut write) = stream.into_split();
    let mut client = tokio::spawn(async move {
        let mut piece = [0; 4096];
        let mut read = read;
        while let Ok(1..) = tokio::io::AsyncReadExt::read(&mut read, &mut piece).await {}
    });
    while begun.elapsed() < PATIENCE {
        if timeout(ms(40), &mut client).await.is_ok() {
            return begun.elapsed();
        }
        let _ = write.write_all(again).await;
    }
    panic!("it is not closed: {begin:?}, {again:?}");
}

#[tokio::test]
async fn a_header_section_that_does_not_arrive_closes_the_connection() {
    calmly(async || {
        let origin = Origin::ok().await;
        let sidecar = Sidecar::with(origin.address, |options| options.limits.header = ms(300));
        let opened = [PREFACE, SETTINGS].concat();
        let half_headers = [PREFACE, SETTINGS, HEADERS, b"abc"].concat();
        // GET, http, /, and fields.
        let section = [&[0x82, 0x86, 0x84][..], &[0x90; 97]].concat();
        let open_headers = [PREFACE, SETTINGS, HEADERS, &section].concat();
        let continued = [CONTINUATION, &[0x90]].concat();
        for (begin, again) in [
            (&PREFACE[..10], &b""[..]),
            (PREFACE, b""),
            (&opened[..opened.len() - 1], b""),
            (&half_headers, b""),
            (&half_headers, b"a"),
            (&open_headers, b""),
            (&open_headers, &continued),
        ] {
            let before = limited("header_timeout").unwrap();
            let after = closed_after(&sidecar, begin, again).await;
            assert!((ms(250)..ms(2000)).contains(&after), "{after:?}: {begin:?}");
            assert_eq!(limited("header_timeout"), Some(before + 1), "{begin:?}");
        }
        // Byte by byte it is no other.
        let mut client = sidecar.connect().await;
        for byte in PREFACE {
            if client.0.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(ms(100)).await;
        }
        panic!("the preface may take a second");
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_requests_may_rest_and_uploads_may_pause() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| options.limits.header = ms(100));
    let (mut sender, _ended) = connect(&sidecar).await;
    sleep(ms(300)).await;
    let (response, mut upload) = sender.send_request(post(), false).unwrap();
    sleep(ms(300)).await;
    upload.send_data(Bytes::from_static(b"a"), true).unwrap();
    let response = timeout(PATIENCE, response).await.expect("an answer");
    assert_eq!(response.unwrap().status(), 200);
    assert_eq!(limited("header_timeout"), Some(0));
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// An upstream that switches to a protocol that echoes, or answers `ok`.
async fn switching() -> Origin {
    Origin::raw(|mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            if !head.to_ascii_lowercase().contains("upgrade: echo") {
                let _ = stream.write_all(crate::harness::OK.as_bytes()).await;
                continue;
            }
            let switched =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            stream.write_all(switched.as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            return;
        }
    })
    .await
}

/// A connection that has become a tunnel.
async fn tunnel(sidecar: &Sidecar) -> Client {
    let mut client = sidecar.connect().await;
    client.send(UPGRADE).await;
    assert_eq!(status(&client.head().await), "101");
    client
}

#[tokio::test]
async fn connections_of_every_protocol_count_and_further_ones_wait() {
    let origin = switching().await;
    let sidecar = Sidecar::with(origin.address, |options| options.limits.connections = 3);
    let mut http1 = sidecar.connect().await;
    http1.send(GET).await;
    assert!(http1.response().await.ends_with("ok"));
    let (mut http2, ended) = connect(&sidecar).await;
    let (response, _) = http2.send_request(get(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    let tunnelled = tunnel(&sidecar).await;
    let leaves: [Box<dyn FnOnce()>; 3] = [
        Box::new(move || drop(tunnelled)),
        Box::new(move || {
            drop(http2);
            ended.abort();
        }),
        Box::new(move || drop(http1)),
    ];
    let mut served = Vec::new();
    for leave in leaves {
        let mut next = sidecar.connect().await;
        next.send(GET).await;
        let mut byte = [0];
        let waits = timeout(ms(100), next.0.peek(&mut byte)).await;
        assert!(waits.is_err(), "a connection was over the limit");
        leave();
        assert!(next.response().await.ends_with("ok"));
        served.push(next);
    }
    // Reached by the third connection, and by each that took the place of another.
    assert_eq!(limited("max_connections"), Some(4));
}

#[tokio::test]
async fn an_idle_tunnel_and_a_client_that_takes_nothing_are_counted() {
    let origin = switching().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.tunnel_idle = Some(ms(100));
        options.limits.half_closed = ms(100);
        options.limits.park_after = ms(20);
        options.limits.keep_alive = ms(100);
        options.limits.header = ms(100);
    });
    assert_eq!(tunnel(&sidecar).await.rest().await, "");
    counted("tunnel_idle_timeout").await;
    assert_eq!(limited("idle_timeout"), Some(0));
    assert!(sidecar.exchange(GET).await.ends_with("ok"));
    counted("idle_timeout").await;
    assert_eq!(limited("header_timeout"), Some(0));
    assert_eq!(status(&sidecar.exchange("GET / HT").await), "408");
    counted("header_timeout").await;
    let hanging = hanging().await;
    let sidecar = Sidecar::with(hanging.address, |options| {
        options.limits.half_closed = ms(100);
        options.limits.park_after = ms(20);
    });
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    counted("half_closed_timeout").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_counted() {
    let origin = large().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.write = ms(100);
        options.limits.park_after = ms(20);
    });
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    counted("write_timeout").await;
}

/// What the kernel says of the sockets between these ports: whether its timer is one of keep-alive,
/// and when it rings.
fn keep_alive_of(local: u16, remote: u16) -> Option<Duration> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
        if port(fields[1]) != Some(local) || port(fields[2]) != Some(remote) {
            return None;
        }
        let (kind, ticks) = fields[5].split_once(':')?;
        let ticks = u64::from_str_radix(ticks, 16).ok()?;
        (kind == "02").then(|| ms(ticks * 10))
    })
}

#[tokio::test]
async fn tcp_asks_whether_silent_peers_are_there() {
    calmly(async || {
        let origin = switching().await;
        let sidecar = Sidecar::with(origin.address, |options| {
            options.limits.tcp_keepalive = Some(Duration::from_secs(7));
            // Nobody closes them meanwhile.
            options.upstream = |upstream| Upstream {
                idle_timeout: PATIENCE,
                ..upstream
            };
        });
        let ours = sidecar.address.port();
        let tunnelled = tunnel(&sidecar).await;
        let mut http1 = sidecar.connect().await;
        http1.send(GET).await;
        assert!(http1.response().await.ends_with("ok"));
        let stream = TcpStream::connect(sidecar.address).await.unwrap();
        let http2_port = stream.local_addr().unwrap().port();
        let (_sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let peers = [
            ("HTTP/1", http1.0.local_addr().unwrap().port()),
            ("HTTP/2", http2_port),
            ("tunnel", tunnelled.0.local_addr().unwrap().port()),
        ];
        for (what, port) in peers {
            let rings = |within: Duration| within > ms(0) && within <= Duration::from_secs(7);
            eventually(what, || keep_alive_of(ours, port).is_some_and(rings)).await;
        }
        // Upstreams: one of HTTP, one of the tunnel.
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let origin = format!(":{:04X}", origin.address.port());
        let of_upstreams = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields[2].ends_with(&origin) && fields[3] == "01");
        let timers: Vec<_> = of_upstreams.map(|fields| fields[5].to_owned()).collect();
        assert_eq!(timers.len(), 2, "{timers:?}");
        assert!(
            timers.iter().all(|timer| timer.starts_with("02:")),
            "{timers:?}"
        );
    })
    .await;
}
