//! Protocol switches: WebSocket, and what must not be switched.

use std::time::Duration;

use breaker_sidecar::proxy::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{GET, Options, Origin, Sidecar, header, read_head, status};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

async fn switching() -> Origin {
    Origin::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        assert_eq!(header(&head, "connection"), Some("upgrade"));
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
            .await
            .unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

#[tokio::test]
async fn a_switch_carries_bytes_both_ways() {
    let origin = switching().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(UPGRADE.to_owned() + "early").await;
    let head = client.head().await;
    assert_eq!(status(&head), "101");
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    let mut first = [0; 7];
    client.0.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"hiearly");
    client.send("late").await;
    let mut echo = [0; 4];
    client.0.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"late");
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    assert_eq!(sidecar.totals(), (1, 0, 0));
}

#[tokio::test]
async fn a_switch_that_is_declined_is_an_ordinary_response() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(UPGRADE).await;
    assert!(client.response().await.ends_with("ok"));
    client.send(GET).await;
    assert!(client.response().await.ends_with("ok"));
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_502() {
    let origin = Origin::answering(|_, _| {
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n".to_owned()
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let response = sidecar.ask(GET).await;
    assert_eq!(status(&response), "502");
    assert!(response.contains("error=http_upgrade_failed"), "{response}");
}

#[tokio::test]
async fn a_tunnel_ends_with_the_grace_period() {
    let origin = switching().await;
    let mut sidecar = Sidecar::start(origin.address, Options::default());
    let mut client = sidecar.connect().await;
    client.send(UPGRADE).await;
    client.head().await;
    sidecar.begin_shutdown();
    sidecar.ended().await;
    client.rest().await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_is_said_is_closed() {
    let origin = switching().await;
    let limits = Limits {
        tunnel_idle: Some(Duration::from_millis(900)),
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    let mut client = sidecar.connect().await;
    client.send(UPGRADE).await;
    client.head().await;
    let mut word = [0; 2];
    client.0.read_exact(&mut word).await.unwrap();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("hi").await;
        client.0.read_exact(&mut word).await.unwrap();
    }
    assert_eq!(client.rest().await, "");
}
