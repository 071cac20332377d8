//! What the admin port shows and changes.

use std::sync::Arc;

use super::fleet::{Following, Pooling};
use super::readiness::Readiness;
use super::status::Reload;
use super::trust::Tokens;
use crate::live::Live;
use crate::proxy::Routes;
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::telemetry::Telemetry;

/// What the admin port shows and changes.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// The breakers.
    pub registry: Registry,
    /// The metrics.
    pub telemetry: Telemetry,
    /// What happens.
    pub live: Live,
    /// Whether the proxy takes traffic.
    pub readiness: Readiness,
    /// What changes need, if they need one.
    pub tokens: Tokens,
    /// Where requests go, if there is a proxy.
    pub routes: Option<Routes>,
    /// Who loads the configuration anew, where that is possible.
    pub reload: Option<Arc<dyn Reload>>,
    /// What the process gave up, if it did.
    pub sandbox: Option<Sandbox>,
    /// Who knows of the fleet, if it is in one.
    pub fleet: Option<Arc<dyn Pooling>>,
    /// Who knows of the Breaker that it follows, if it follows one.
    pub following: Option<Arc<dyn Following>>,
}
