//! Shutting down without losing a request.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::harness::{GET, OK, Options, Origin, PATIENCE, Sidecar, eventually, header, read_head};

#[tokio::test]
async fn idle_connections_end_and_requests_in_flight_are_finished() {
    static RELEASE: Notify = Notify::const_new();
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        RELEASE.notified().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let mut sidecar = Sidecar::start(
        origin.address,
        Options {
            grace: PATIENCE,
            ..Options::default()
        },
    );
    let mut idle = sidecar.connect().await;
    let mut busy = sidecar.connect().await;
    busy.send(GET).await;
    eventually("in flight", || origin.connections() == 1).await;
    sidecar.begin_shutdown();
    assert_eq!(idle.rest().await, "");
    RELEASE.notify_one();
    let response = busy.rest().await;
    assert_eq!(header(&response, "connection"), Some("close"));
    assert!(response.ends_with("ok"));
    sidecar.ended().await;
    assert!(TcpStream::connect(sidecar.address).await.is_err());
}

#[tokio::test]
async fn what_outlasts_the_grace_period_is_cut() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let grace = Duration::from_millis(100);
    let mut sidecar = Sidecar::start(
        origin.address,
        Options {
            grace,
            ..Options::default()
        },
    );
    let mut busy = sidecar.connect().await;
    busy.send(GET).await;
    eventually("in flight", || origin.connections() == 1).await;
    sidecar.begin_shutdown();
    sidecar.ended().await;
    assert_eq!(busy.rest().await, "");
}
