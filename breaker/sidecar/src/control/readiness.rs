//! Whether the proxy takes traffic.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Whether the proxy takes traffic: starting, then ready, then draining. A ready one that loses its
/// identity is not ready until it has one again. Clones share it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<watch::Sender<Phase>>);

/// Whether a sidecar takes traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Readiness")]
pub enum Phase {
    /// Not yet.
    #[default]
    Starting,
    /// It does.
    Ready,
    /// It did, and has no valid identity now: it would refuse every handshake.
    NoIdentity,
    /// No more: it ends.
    Draining,
}

// === impl Readiness ===

impl Readiness {
    /// The proxy takes traffic from now on. Says nothing once it drains.
    pub fn ready(&self) {
        // A drain that came first stands.
        self.change(&[Phase::Starting, Phase::NoIdentity], Phase::Ready);
    }

    /// The proxy refuses every handshake until it is ready again. Says nothing unless it is ready.
    pub(crate) fn lacks_identity(&self) {
        self.change(&[Phase::Ready], Phase::NoIdentity);
    }

    fn change(&self, from: &[Phase], to: Phase) {
        self.0.send_if_modified(|phase| {
            let changes = from.contains(phase);
            if changes {
                *phase = to;
            }
            changes
        });
    }

    /// The proxy takes no new traffic from now on.
    pub fn drain(&self) {
        self.0.send_replace(Phase::Draining);
    }

    /// Whether the proxy takes traffic.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// `starting`, `ready`, `no_identity` or `draining`.
    pub fn name(&self) -> &'static str {
        match self.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::NoIdentity => "no_identity",
            Phase::Draining => "draining",
        }
    }

    /// Follows changes from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.name()).finish()
    }
}
