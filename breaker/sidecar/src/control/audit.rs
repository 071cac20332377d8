//! What an operator changed: a line in the log, and a record for the collector.

use crate::sockets::Peer;
use crate::telemetry::{Change, Telemetry};

/// Tells of a change.
pub(super) fn tell(telemetry: &Telemetry, peer: Option<Peer>, change: &Change<'_>) {
    tracing::info!(
        target: TARGET,
        peer = peer.map(tracing::field::display),
        breaker = change.breaker,
        upstream = change.upstream,
        action = change.action,
        before = change.before,
        after = change.after,
        reason = change.reason,
        "{change}",
    );
    telemetry.changed(peer, change);
}

/// What these lines can be found by.
pub(super) const TARGET: &str = "breaker::audit";
