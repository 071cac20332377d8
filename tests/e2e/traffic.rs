//! Requests in numbers.

use std::time::Duration;

use breaker_tests::{Sidecar, get};
use tokio::task::JoinSet;
use tokio::time;

/// Sends requests one after the other; returns their statuses.
pub(crate) async fn in_turn(sidecar: &Sidecar, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(get(sidecar.url("/pay/x")).await.status);
    }
    statuses
}

/// Sends requests all at once and keeps them going; dropping the set cancels what is in flight.
pub(crate) fn at_once(sidecar: &Sidecar, times: usize) -> JoinSet<u16> {
    (0..times)
        .map(|_| {
            let url = sidecar.url("/pay/x");
            async move { get(url).await.status }
        })
        .collect()
}

/// Sends a request and gives up after `patience`; the connection is closed.
pub(crate) async fn abandoned(sidecar: &Sidecar, patience: Duration) {
    let answer = time::timeout(patience, get(sidecar.url("/pay/x"))).await;
    assert!(answer.is_err(), "it was answered: {answer:?}");
}

/// How many of `statuses` are `status`.
pub(crate) fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|seen| **seen == status).count()
}
