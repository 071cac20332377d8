//! Requests in numbers.

use breaker_tests::{Sidecar, Upstream, eventually, get};
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

/// Sends a request and gives up when it has reached the service, which does not answer; the connection is closed.
pub(crate) async fn abandoned(sidecar: &Sidecar, upstream: &Upstream) {
    let reached = upstream.count();
    let mut request = at_once(sidecar, 1);
    eventually!(
        upstream.count() == reached + 1,
        "it was not sent: {:?}",
        request.try_join_next()
    );
    assert!(request.try_join_next().is_none(), "it was answered");
}

/// How many of `statuses` are `status`.
pub(crate) fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|seen| **seen == status).count()
}
