//! The other half of every bound, with the real binary: a service fails in every way in turn, its
//! callers leave at random, and when it is well again everything is admitted and everything is
//! back: requests in flight, descriptors, threads, memory.

use std::time::Duration;

use breaker_tests::{Held, Script, Setup, Sidecar, Upstream, eventually};
use tokio::time::sleep;

use crate::traffic::{at_once, count, in_turn};

/// Ten kinds of trouble, in an order that differs from seed to seed.
fn troubles(seed: usize) -> Vec<Script> {
    let mut troubles = vec![
        Script::Status(500),
        Script::Hang,
        Script::Reset,
        Script::CloseMidBody,
        Script::Garbage,
        Script::Delay(Duration::from_millis(1200)),
        Script::Status(404),
        Script::Echo,
        Script::Status(503),
        Script::Hang,
    ];
    for index in (1..troubles.len()).rev() {
        troubles.swap(index, (seed * 7 + index * 3) % (index + 1));
    }
    troubles
}

async fn storm(sidecar: &Sidecar, upstream: &Upstream, seed: usize) {
    for (index, trouble) in troubles(seed).into_iter().enumerate() {
        upstream.play(trouble);
        let callers = at_once(sidecar, 60);
        sleep(Duration::from_millis(60 + 70 * (index as u64 % 4))).await;
        drop(callers);
    }
}

async fn all_is_back(policy: &str, more: &str) {
    let upstream = Upstream::start().await;
    // It opens for a second at most, so that the test does not take minutes.
    let policy =
        format!("{{ base: {policy}, open: {{ for: 200ms, max: 1s, jitter: 0% }}, {more} }}");
    let mut sidecar = Setup::of(upstream.address())
        .policy(policy)
        .route("timeout: 2s")
        .start()
        .await;
    let process = sidecar.process().id();
    // The first storm warms pools and buffers.
    let mut before = None;
    for seed in 0..3 {
        storm(&sidecar, &upstream, seed).await;
        upstream.play(Script::Status(200));
        eventually!({
            let served = in_turn(&sidecar, 20).await;
            count(&served, 200) == 20 && sidecar.metrics().await.state("pay") == "closed"
        });
        assert_eq!(in_turn(&sidecar, 100).await, [200; 100]);
        eventually!(upstream.in_flight() == 0, "the service works for nobody");
        let Some(before) = &before else {
            before = Some(Held::by(process));
            continue;
        };
        eventually!({
            let (after, before): (Held, &Held) = (Held::by(process), before);
            after.descriptors <= before.descriptors + 8
                && after.threads <= before.threads + 1
                && after.memory <= before.memory + before.memory / 4
        });
    }
}

#[tokio::test]
async fn after_every_kind_of_trouble_all_is_back_by_sensitive() {
    all_is_back("sensitive", "ramp: { start: 50%, for: 300ms }").await;
}

#[tokio::test]
async fn after_every_kind_of_trouble_all_is_back_by_adaptive() {
    all_is_back("adaptive", "ramp: { start: 10% }").await;
}
