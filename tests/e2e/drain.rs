//! Ending: what is in flight is finished, and nothing new is taken.

use std::time::Duration;

use breaker_tests::{Script, Setup, Upstream, calmly, eventually, get};
use tokio::net::TcpStream;

use crate::traffic::at_once;

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight() {
    calmly(async || {
        let upstream = Upstream::start().await;
        upstream.play(Script::Delay(Duration::from_millis(800)));
        let mut sidecar = Setup::of(upstream.address()).start().await;
        let in_flight = at_once(&sidecar, 10);
        eventually!(upstream.in_flight() == 10);
        let address = sidecar.address();
        sidecar.process().terminate();
        eventually!(
            TcpStream::connect(address).await.is_err(),
            "it still accepts"
        );
        assert_eq!(in_flight.join_all().await, [200; 10]);
        let status = sidecar.process().ended().await;
        assert_eq!(status.code(), Some(0), "{status}");
    })
    .await;
}

#[tokio::test]
async fn after_sigterm_callers_that_do_not_know_yet_are_served() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    sidecar.process().terminate();
    eventually!(get(sidecar.admin_url("/readyz")).await.status == 503);
    crate::traffic::in_turn(&sidecar, 3).await;
    // Whoever asks twice does not want to wait.
    sidecar.process().terminate();
    let status = sidecar.process().ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn sigterm_ends_an_idle_sidecar_soon() {
    let upstream = Upstream::start().await;
    let mut sidecar = Setup::of(upstream.address()).start().await;
    crate::traffic::in_turn(&sidecar, 1).await;
    let _idle = TcpStream::connect(sidecar.address()).await.unwrap();
    sidecar.process().terminate();
    // For requests it would wait for 13 s.
    let ended = tokio::time::timeout(Duration::from_secs(10), sidecar.process().ended());
    assert_eq!(ended.await.expect("within 10 s").code(), Some(0));
}
