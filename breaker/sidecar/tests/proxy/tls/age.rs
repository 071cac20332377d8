//! Connections of clients that have lived for long enough: by the configuration, and by the
//! certificate of the client.

#![expect(
    clippy::disallowed_methods,
    reason = "certificates expire by the wall clock"
)]

use std::time::{Duration, SystemTime};

use breaker_sidecar::message::limited;
use breaker_sidecar::tls::{Server, ServerSettings};
use breaker_tests::calmly;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Leaf};
use super::listener::{asking, client, connect, settings};
use crate::harness::{GET, Origin, PATIENCE, Sidecar, eventually, header, status};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn an_old_connection_is_told_with_its_next_answer_and_an_idle_one_is_closed() {
    calmly(async || {
        let before = limited("max_connection_age").unwrap();
        let origin = Origin::ok().await;
        let sidecar = Sidecar::with(origin.address, |options| {
            options.limits.age = Some(ms(300));
            options.limits.park_after = ms(5);
        });
        let begun = Instant::now();
        let mut busy = sidecar.connect().await;
        let mut answers = 0;
        loop {
            busy.send(GET).await;
            let answer = busy.response().await;
            assert_eq!(status(&answer), "200");
            answers += 1;
            if header(&answer, "connection") == Some("close") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "it lives for ever");
        }
        assert!(begun.elapsed() >= ms(270), "{:?}", begun.elapsed());
        assert!(answers > 1);
        assert_eq!(busy.rest().await, "");
        assert_eq!(limited("max_connection_age"), Some(before + 1));

        let mut idle = sidecar.connect().await;
        idle.send(GET).await;
        assert_eq!(header(&idle.response().await, "connection"), None);
        assert_eq!(idle.rest().await, "");
        eventually("counted", || {
            limited("max_connection_age") == Some(before + 2)
        })
        .await;
        assert_eq!(sidecar.totals().1, 0);
    })
    .await;
}

#[tokio::test]
async fn an_old_connection_of_http2_gets_goaway_and_its_streams_end() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        options.limits.age = Some(ms(200));
    });
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    let request = http::Request::get("http://a/").body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    // Idle, it is not waited for.
    let ended = timeout(PATIENCE, ended).await.expect("an end").unwrap();
    ended.expect("a good end");
    assert_eq!(limited("max_connection_age"), Some(1));
}

/// A connection whose certificate expires within 2 s, and the sidecar, which lets it stay for as
/// long as that afterwards.
async fn short_lived(
    origin: &Origin,
    expired: Duration,
) -> (Sidecar, TlsStream<TcpStream>, SystemTime) {
    let authority = Authority::new();
    let tls = Server::new(ServerSettings {
        clients: Some(asking(&authority)),
        ..settings(&authority)
    });
    let sidecar = Sidecar::with(origin.address, |options| {
        options.tls = Some(tls.unwrap());
        options.limits.expired = expired;
        options.limits.park_after = ms(5);
    });
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let until = now.unwrap().as_secs() + 2;
    let leaf = Leaf::client().until(until);
    let config = client(&authority, &["http/1.1"], Some((&authority, leaf)));
    let stream = connect(&sidecar, config, "localhost").await.unwrap();
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(until);
    (sidecar, stream, until)
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        answer.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_client_goes_when_its_certificate_expires() {
    let origin = Origin::ok().await;
    let (_busy, mut busy, until) = short_lived(&origin, Duration::from_secs(60)).await;
    let (_idle, mut idle, _) = short_lived(&origin, Duration::from_secs(60)).await;
    assert!(!ask(&mut idle).await.contains("close"));
    while !ask(&mut busy).await.contains("connection: close") {
        assert!(SystemTime::now() < until + PATIENCE, "it lives for ever");
        sleep(ms(10)).await;
    }
    assert!(SystemTime::now() >= until);
    for stream in [&mut busy, &mut idle] {
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        end.expect("an end in time").expect("the end is said");
        assert_eq!(rest, b"");
    }
    eventually("counted", || limited("certificate_expiry") == Some(2)).await;
}

#[tokio::test]
async fn what_is_under_way_does_not_keep_an_expired_client_for_ever() {
    let origin = Origin::raw(|mut stream| async move {
        let mut scratch = [0; 4096];
        while let Ok(1..) = stream.read(&mut scratch).await {}
    })
    .await;
    let (sidecar, mut stream, until) = short_lived(&origin, ms(200)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let end = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    // A cut is no good end.
    end.expect("an end in time").unwrap_err();
    assert!(SystemTime::now() >= until + ms(200));
    eventually("counted", || limited("certificate_expiry") == Some(1)).await;
    assert_eq!(sidecar.totals().1, 0, "it is no failure of the upstream");
}
