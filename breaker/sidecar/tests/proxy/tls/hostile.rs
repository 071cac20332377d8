//! Clients that shake hands to do harm.

use std::time::Duration;

use breaker_sidecar::tls::ServerSettings;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::authority::{Authority, Leaf};
use super::listener::{CLOSE, asking, client, connect, count, exchange, settings, sidecar};
use crate::harness::{Origin, eventually, status};

/// The first message of a client that offers these protocols.
fn hello(authority: &Authority, alpn: &[&str]) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let config = client(authority, alpn, None);
    let mut client = ClientConnection::new(config.into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn a_handshake_of_one_byte_at_a_time_has_no_more_time_than_others() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let sidecar = sidecar(
        &origin,
        ServerSettings {
            handshake_timeout: Duration::from_millis(200),
            ..settings(&authority)
        },
    );
    let begun = Instant::now();
    let mut slow = sidecar.connect().await;
    for byte in hello(&authority, &[]) {
        if slow.0.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    eventually("its end", || count("timeout") == 1).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(slow.rest().await, "");
    // In pieces that come in time, it is a handshake like others.
    let mut pieces = sidecar.connect().await;
    for piece in hello(&authority, &[]).chunks(40) {
        pieces.send(piece).await;
    }
    let mut first = [0];
    tokio::io::AsyncReadExt::read_exact(&mut pieces.0, &mut first)
        .await
        .unwrap();
    assert_eq!(first, [22], "it answers");
}

#[tokio::test]
async fn a_hello_of_nearly_64_kib_is_taken_and_a_larger_one_is_refused() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let sidecar = sidecar(&origin, settings(&authority));
    let name = "x".repeat(250);
    let mut alpn = vec![name.as_str(); 245];
    alpn.push("http/1.1");
    let large = hello(&authority, &alpn);
    assert!((60_000..65_536).contains(&large.len()), "{}", large.len());
    let config = client(&authority, &alpn, None);
    let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
    let (answer, _) = exchange(&mut stream, CLOSE).await;
    assert_eq!(status(&answer), "200");

    // A handshake message of 64 KiB and a byte, as its head says.
    let mut refused = sidecar.connect().await;
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 1, 0, 1];
    record.resize(5 + 0x4000, 0);
    // It may be refused before all is sent.
    for _ in 0..5 {
        let _ = refused.0.write_all(&record).await;
    }
    eventually("a refusal", || count("protocol") == 1).await;
    let config = client(&authority, &["http/1.1"], None);
    let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
    assert_eq!(status(&exchange(&mut stream, CLOSE).await.0), "200");
}

#[tokio::test]
async fn clients_that_reset_after_their_finished_leave_nothing_behind() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    for clients in [None, Some(asking(&authority))] {
        let shown = clients.as_ref().map(|_| (&authority, Leaf::client()));
        let sidecar = sidecar(
            &origin,
            ServerSettings {
                clients,
                ..settings(&authority)
            },
        );
        let before = [count("success"), count("closed"), count("alert")];
        let config = client(&authority, &["http/1.1"], shown);
        for _ in 0..50 {
            let stream = connect(&sidecar, config.clone(), "localhost").await;
            let stream = stream.unwrap();
            // The client's part of the handshake is sent, and nothing else.
            stream.get_ref().0.set_zero_linger().unwrap();
            drop(stream);
        }
        let told = || {
            let now = [count("success"), count("closed"), count("alert")];
            now.iter().sum::<u64>() - before.iter().sum::<u64>()
        };
        eventually("each is counted once", || told() == 50).await;
        let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
        assert_eq!(status(&exchange(&mut stream, CLOSE).await.0), "200");
        assert_eq!(sidecar.totals(), (1, 0, 0));
    }
    assert_eq!(origin.heads().len(), 2);
}
