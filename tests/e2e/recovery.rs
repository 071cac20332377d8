//! How traffic returns.

use std::time::Duration;

use breaker_tests::{Script, Setup, Sidecar, Upstream, calmly, eventually, get};
use tokio::time;

use crate::traffic::in_turn;

const QUICK: &str = "{ base: sensitive, open: { for: 300ms, jitter: 0% }, \
    half_open: { probes: 3, concurrent: 1, success: 100%, probe_timeout: 500ms }, ramp: { start: 50%, for: 300ms } }";

async fn tripped(upstream: &Upstream) -> Sidecar {
    upstream.play(Script::Status(500));
    let sidecar = Setup::of(upstream.address()).policy(QUICK).start().await;
    assert_eq!(in_turn(&sidecar, 21).await[19..], [500, 503]);
    sidecar
}

#[tokio::test]
async fn good_probes_and_a_good_ramp_close_it() {
    let upstream = Upstream::start().await;
    let sidecar = tripped(&upstream).await;
    upstream.play(Script::Status(200));
    eventually!({
        get(sidecar.url("/pay/x")).await;
        sidecar.metrics().await.state("pay") == "closed"
    });
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.transitions("pay", "closed", "open"), 1.0);
    assert_eq!(metrics.transitions("pay", "open", "half_open"), 1.0);
    assert_eq!(metrics.transitions("pay", "half_open", "closed"), 1.0);
    assert_eq!(in_turn(&sidecar, 20).await, [200; 20]);
}

#[tokio::test]
async fn a_failed_probe_opens_it_for_longer() {
    calmly(async || {
        let upstream = Upstream::start().await;
        let sidecar = tripped(&upstream).await;
        eventually!({
            get(sidecar.url("/pay/x")).await;
            sidecar
                .metrics()
                .await
                .transitions("pay", "half_open", "open")
                == 1.0
        });
        let reached = upstream.count();
        // 300 ms doubled: still open after 400 ms.
        time::sleep(Duration::from_millis(400)).await;
        assert_eq!(get(sidecar.url("/pay/x")).await.status, 503);
        assert_eq!(upstream.count(), reached);
    })
    .await;
}

#[tokio::test]
async fn probes_that_their_callers_abandon_do_not_wedge_it() {
    calmly(async || {
        let upstream = Upstream::start().await;
        let sidecar = tripped(&upstream).await;
        upstream.play(Script::Hang);
        time::sleep(Duration::from_millis(350)).await;
        let reached = upstream.count();
        for _ in 0..20 {
            let leaving = crate::traffic::at_once(&sidecar, 1);
            time::sleep(Duration::from_millis(20)).await;
            drop(leaving);
        }
        // An abandoned probe keeps its slot until an answer was due, 100 ms as long as that is not
        // known.
        let reached = upstream.count() - reached;
        assert!((1..=8).contains(&reached), "{reached} of 20 reached it");
        eventually!(upstream.in_flight() == 0);
        upstream.play(Script::Status(200));
        eventually!({
            get(sidecar.url("/pay/x")).await;
            sidecar.metrics().await.state("pay") == "closed"
        });
    })
    .await;
}

#[tokio::test]
async fn a_probe_that_hangs_has_failed_after_its_lease() {
    let upstream = Upstream::start().await;
    let sidecar = tripped(&upstream).await;
    upstream.play(Script::Hang);
    time::sleep(Duration::from_millis(350)).await;
    let _probe = crate::traffic::at_once(&sidecar, 1);
    eventually!(upstream.in_flight() == 1);
    assert_eq!(
        get(sidecar.url("/pay/x")).await.status,
        503,
        "one probe at once"
    );
    eventually!(
        sidecar
            .metrics()
            .await
            .transitions("pay", "half_open", "open")
            == 1.0
    );
}

#[tokio::test]
async fn answers_to_requests_from_before_the_trip_decide_nothing() {
    calmly(async || {
        let upstream = Upstream::start().await;
        upstream.play(Script::Delay(Duration::from_millis(1_500)));
        let policy =
            "{ base: sensitive, trip: [{ error_rate: 8% }], open: { for: 100ms, jitter: 0% } }";
        let sidecar = Setup::of(upstream.address()).policy(policy).start().await;
        let late = crate::traffic::at_once(&sidecar, 50);
        eventually!(upstream.in_flight() == 50);
        upstream.play(Script::Status(500));
        assert_eq!(in_turn(&sidecar, 21).await.last(), Some(&503));
        eventually!(sidecar.metrics().await.state("pay") == "half_open");
        assert_eq!(late.join_all().await, [200; 50]);
        assert_eq!(sidecar.metrics().await.state("pay"), "half_open");
    })
    .await;
}
