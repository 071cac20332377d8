//! Connections that are used again, and what becomes of a request that one of them loses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_sidecar::upstream::Upstream;
use tokio::io::AsyncWriteExt;

use crate::harness::{GET, OK, Options, Origin, Sidecar, header, read_body, read_head, status};

#[tokio::test]
async fn an_idempotent_request_that_a_reused_connection_loses_is_sent_again() {
    // Each connection answers one request, and loses the next once it has it.
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    for (method, answers) in [
        ("GET", ["200", "200", "200"]),
        ("PUT", ["200", "200", "200"]),
        ("DELETE", ["200", "200", "200"]),
        ("POST", ["200", "502", "200"]),
    ] {
        let sidecar = Sidecar::start(origin.address, Options::default());
        for expected in answers {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(status(&sidecar.ask(&request).await), expected, "{method}");
        }
    }
}

/// Whether the fields and the content of a request are the same when it is sent again.
#[tokio::test]
async fn what_is_sent_again_is_the_same() {
    let contents = Arc::<Mutex<Vec<String>>>::default();
    let log = contents.clone();
    // Each connection answers one request, and loses the next once it has it.
    let origin = Origin::raw(move |mut stream| {
        let log = log.clone();
        async move {
            for answer in [OK, ""] {
                let Some(head) = read_head(&mut stream).await else {
                    return;
                };
                let content = read_body(&mut stream, &head).await.unwrap();
                log.lock().unwrap().push(head + &content);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for content in [
        "Content-Length: 2\r\n\r\nhi",
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "\r\n",
    ] {
        sidecar.ask(GET).await;
        contents.lock().unwrap().clear();
        let request = format!("PUT /x HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n{content}");
        assert!(sidecar.ask(&request).await.ends_with("ok"), "{content}");
        let sent = contents.lock().unwrap().clone();
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert_eq!(sent[0], sent[1]);
        assert_eq!(header(&sent[0], "x-y"), Some("z"));
        // The connection is used up.
        sidecar.ask("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
}

#[tokio::test]
async fn what_cannot_be_sent_twice_takes_new_connections_once_one_was_lost() {
    // Each connection loses its second request.
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut lost = Vec::new();
    for round in 0..20 {
        let answer = sidecar.ask("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        if status(&answer) != "200" {
            lost.push(round);
        }
    }
    assert_eq!(lost, [1]);
    assert_eq!(sidecar.totals(), (19, 0, 1));
}

#[tokio::test]
async fn an_upstream_that_dies_of_each_post_opens_the_breaker() {
    let origin = Origin::raw(|mut stream| async move {
        while let Some(head) = read_head(&mut stream).await {
            read_body(&mut stream, &head).await.unwrap();
            if head.starts_with("POST") {
                return;
            }
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    for round in 0.. {
        let answers = [sidecar.ask(GET).await, sidecar.ask(post).await];
        if answers.iter().any(|answer| status(answer) == "503") {
            break;
        }
        // The first may have been closed before the request came. The others show that it was not.
        assert_eq!(sidecar.totals(), (round + 1, round, 1));
        assert!(round < 100, "still closed");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_asked_for_again() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 2").await;
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(status(&sidecar.ask(GET).await), "502");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_taken() {
    let kept = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok";
    for (answer, expected) in [(OK, 2), (kept, 2)] {
        let origin = Origin::answering(move |_, _| answer.to_owned()).await;
        let options = Options {
            upstream: |upstream| Upstream {
                idle_timeout: Duration::from_millis(30),
                ..upstream
            },
            ..Options::default()
        };
        let sidecar = Sidecar::start(origin.address, options);
        for _ in 0..2 {
            assert_eq!(status(&sidecar.ask(GET).await), "200");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        assert_eq!(origin.connections(), expected);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_twice_takes_no_connection_that_was_unused_for_long() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (after, requests, expected) in [
        (4, [GET, post, GET], 1),
        (0, [GET, GET, GET], 1),
        (0, [GET, post, GET], 2),
        (0, [GET, post, post], 3),
    ] {
        let origin = Origin::ok().await;
        let sidecar = Sidecar::with(origin.address, |options| {
            options.upstream = match after {
                0 => |upstream| Upstream {
                    reuse_after: Duration::ZERO,
                    ..upstream
                },
                _ => |upstream| upstream,
            };
        });
        for request in requests {
            assert_eq!(status(&sidecar.ask(request).await), "200");
        }
        assert_eq!(origin.connections(), expected, "{after} {requests:?}");
    }
}
