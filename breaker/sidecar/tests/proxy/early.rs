//! Answers that begin before their upload has ended: they are what counts, and nothing of them
//! stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use breaker_sidecar::proxy::Limits;
use breaker_sidecar::upstream::{Protocol, Upstream};
use breaker_tests::calmly;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{
    Options, Origin, Sidecar, content_length, eventually, header, read_head, status,
};

/// What an upstream does after an answer that came early.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// Closes with bytes unread, which resets the connection.
    Resets,
    /// Closes its side, reads the rest.
    Lingers,
    /// Nothing: stays open, and never reads.
    Stays,
}

async fn refusing(status: u16, then: Then) -> Origin {
    Origin::raw(move |mut stream| async move {
        if let Then::Stays = then {
            // The kernel would take a whole upload on some machines, which would then be complete.
            let socket = socket2::SockRef::from(&stream);
            socket.set_recv_buffer_size(64 << 10).unwrap();
        }
        let Some(head) = read_head(&mut stream).await else {
            return;
        };
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 3\r\n\r\nbig");
        let _ = stream.write_all(answer.as_bytes()).await;
        match then {
            Then::Resets => {}
            Then::Lingers => {
                let _ = stream.shutdown().await;
                let mut rest = vec![0; content_length(&head)];
                let _ = stream.read_exact(&mut rest).await;
            }
            Then::Stays => std::future::pending().await,
        }
    })
    .await
}

/// Uploads, and reads what is answered meanwhile.
async fn upload(sidecar: &Sidecar, size: usize) -> String {
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        let _ = write.write_all(head.as_bytes()).await;
        let _ = write.write_all(&vec![b'x'; size]).await;
    });
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.ends_with(b"big") {
        match read.read(&mut piece).await {
            Ok(size @ 1..) => answer.extend_from_slice(&piece[..size]),
            _ => break,
        }
    }
    sending.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_answer_that_comes_before_the_end_of_the_upload_is_what_counts() {
    for then in [Then::Resets, Then::Lingers, Then::Stays] {
        for code in [301, 401, 413] {
            let origin = refusing(code, then).await;
            let sidecar = Sidecar::start(origin.address, Options::default());
            // More than the sending side of a socket holds, where nobody reads.
            let size = if let Then::Stays = then {
                32 << 20
            } else {
                4 << 20
            };
            for _ in 0..10 {
                let answer = upload(&sidecar, size).await;
                assert_eq!(status(&answer), code.to_string(), "{then:?}: {answer}");
            }
            eventually("ten successes", || sidecar.totals() == (10, 0, 0)).await;
        }
    }
}

#[tokio::test]
async fn an_early_answer_over_http_2_is_what_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Its body is not read: hyper resets the stream with NO_ERROR after the answer.
            let service = service_fn(|_: Request<Incoming>| async {
                let refused = Response::builder().status(413);
                Ok::<_, hyper::Error>(refused.body(Full::new(Bytes::from("big"))).unwrap())
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
    for _ in 0..30 {
        let answer = upload(&sidecar, 4 << 20).await;
        assert_eq!(status(&answer), "413", "{answer}");
        assert!(answer.ends_with("big"), "{answer}");
    }
    eventually("thirty successes", || sidecar.totals() == (30, 0, 0)).await;
}

/// An upstream that answers each request at its head, then reads its body; and how many connections
/// it has.
async fn hasty(answer: &'static str) -> (Origin, Arc<AtomicUsize>) {
    struct Open(Arc<AtomicUsize>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let open = Arc::<AtomicUsize>::default();
    let count = open.clone();
    let heads = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let log = heads.clone();
    let origin = Origin::raw(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let (open, log) = (Open(count.clone()), log.clone());
        async move {
            let _open = open;
            while let Some(head) = read_head(&mut stream).await {
                log.lock().unwrap().push(head.clone());
                let _ = stream.write_all(answer.as_bytes()).await;
                let mut body = vec![0; content_length(&head)];
                if stream.read_exact(&mut body).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (Origin { heads, ..origin }, open)
}

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n";
/// The rest of an upload, 37 bytes.
const REST: &str = "GET /smuggled HTTP/1.1\r\nHost: abc\r\n\r\n";

#[tokio::test]
async fn an_exchange_that_is_complete_both_ways_goes_back_to_its_pool() {
    let (origin, _) = hasty(WHOLE).await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for _ in 0..30 {
        let mut client = sidecar.connect().await;
        client.send(POST).await;
        let response = client.response().await;
        assert!(response.ends_with("ok"));
        assert_eq!(header(&response, "connection"), Some("close"));
        client.send(REST).await;
        assert_eq!(client.rest().await, "");
    }
    assert!(origin.connections() <= 2, "{}", origin.connections());
    assert_eq!(sidecar.totals(), (30, 0, 0));
}

#[tokio::test]
async fn connections_are_what_they_were_after_a_storm_of_early_answers() {
    calmly(async || {
        for (answer, stays) in [(WHOLE, true), (WHOLE, false), (PART, false)] {
            let (origin, open) = hasty(answer).await;
            let sidecar = Sidecar::start(origin.address, Options::default());
            let mut clients = Vec::new();
            for _ in 0..100 {
                let mut client = sidecar.connect().await;
                client.send(POST).await;
                client.head().await;
                clients.push(client);
            }
            assert_eq!(open.load(Ordering::SeqCst), 100);
            if !stays {
                clients.clear();
            }
            eventually("closed", || open.load(Ordering::SeqCst) == 0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_an_upload_is_never_a_request() {
    let (origin, _) = hasty(WHOLE).await;
    for unparked in [0, 256] {
        let limits = Limits {
            park_after: Duration::from_millis(1),
            unparked,
            ..Limits::default()
        };
        let options = Options {
            limits,
            ..Options::default()
        };
        let sidecar = Sidecar::start(origin.address, options);
        for pause in [0, 5, 50] {
            let mut client = sidecar.connect().await;
            client.send(POST).await;
            assert!(client.response().await.ends_with("ok"));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            client.send(REST).await;
            assert_eq!(client.rest().await, "");
        }
    }
    let heads = origin.heads();
    assert!(heads.iter().all(|head| head.starts_with("POST ")));
}

#[tokio::test]
async fn an_upload_that_is_answered_early_says_nothing_of_latency() {
    let origin = refusing(413, Then::Stays).await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(POST).await;
    assert_eq!(status(&client.response().await), "413");
    eventually("counted", || sidecar.totals() == (1, 0, 0)).await;
    let snapshot = sidecar.breaker.snapshot();
    assert!(snapshot.sources[0].latency.is_none());
}

const UPGRADE: &str = "POST /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_callers_fault_is_the_callers_where_it_wants_to_switch_protocols() {
    let answers = [
        "",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];
    for answer in answers {
        let origin = Origin::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            std::future::pending().await
        })
        .await;
        for (body, expected) in [("zz\r\n", "400"), ("1\r\na\r\n", "408")] {
            let options = Options {
                route: |mut route| {
                    route.body.idle = Some(Duration::from_millis(100));
                    route
                },
                ..Options::default()
            };
            let sidecar = Sidecar::start(origin.address, options);
            let response = sidecar.exchange(&format!("{UPGRADE}{body}")).await;
            assert_eq!(status(&response), expected, "{answer:?} {body:?}");
            assert_eq!(sidecar.totals(), (0, 0, 1), "{answer:?} {body:?}");
        }
    }
}
