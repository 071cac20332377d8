//! Requests in numbers.

use breaker_tests::{Sidecar, get};
use tokio::task::JoinSet;

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

/// How many of `statuses` are `status`.
pub(crate) fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|seen| **seen == status).count()
}
