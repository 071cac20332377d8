//! Idle connections give their buffers back, and nobody notices.

use std::time::Duration;

use breaker_sidecar::proxy::Limits;

use crate::harness::{GET, Options, Origin, PATIENCE, Sidecar, status};

fn parking() -> Limits {
    Limits {
        park_after: Duration::from_millis(1),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_parked_connection_is_served_again() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(
        origin.address,
        Options {
            limits: parking(),
            ..Options::default()
        },
    );
    let mut client = sidecar.connect().await;
    for pause in [0, 1, 5, 20, 3, 50] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        client.send(GET).await;
        assert!(client.response().await.ends_with("ok"));
    }
}

#[tokio::test]
async fn a_request_in_pieces_survives_parking() {
    let origin = Origin::answering(|_, body| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let sidecar = Sidecar::start(
        origin.address,
        Options {
            limits: parking(),
            ..Options::default()
        },
    );
    let mut client = sidecar.connect().await;
    let request = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for _ in 0..3 {
        for piece in request.as_bytes().chunks(7) {
            client.send(piece).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert!(client.response().await.ends_with("hello"));
    }
}

#[tokio::test]
async fn a_crowd_is_parked_at_once() {
    let origin = Origin::ok().await;
    let limits = Limits {
        unparked: 0,
        ..Limits::default()
    };
    let sidecar = Sidecar::start(
        origin.address,
        Options {
            limits,
            ..Options::default()
        },
    );
    let mut client = sidecar.connect().await;
    client.send(format!("{GET}{GET}{GET}")).await;
    for _ in 0..3 {
        assert_eq!(status(&client.response().await), "200");
    }
    client.send(GET).await;
    assert_eq!(status(&client.response().await), "200");
}

#[tokio::test]
async fn ten_thousand_idle_connections_are_fine() {
    let Some(count) = descriptors().map(|limit| 10_000.min(limit / 2 - 200)) else {
        return;
    };
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |options| {
        // It takes seconds to open so many.
        options.limits.first_byte = PATIENCE;
    });
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(sidecar.connect().await);
    }
    let mut client = sidecar.connect().await;
    client.send(GET).await;
    assert!(client.response().await.ends_with("ok"));
    for client in clients.iter_mut().step_by(997) {
        client.send(GET).await;
        assert!(client.response().await.ends_with("ok"));
    }
}

/// How many files this process may open.
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
