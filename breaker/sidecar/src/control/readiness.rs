//! Whether the proxy takes traffic.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Whether the proxy takes traffic: starting, then ready, then draining. Clones share it.
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
    /// No more: it ends.
    Draining,
}

// === impl Readiness ===

impl Readiness {
    /// The proxy takes traffic from now on. Says nothing once it drains.
    pub fn ready(&self) {
        // Only a start can become ready: a drain that came first stands.
        self.0.send_if_modified(|phase| {
            let starting = *phase == Phase::Starting;
            if starting {
                *phase = Phase::Ready;
            }
            starting
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

    /// `starting`, `ready` or `draining`.
    pub fn name(&self) -> &'static str {
        match self.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
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
