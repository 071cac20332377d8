//! The fleet of this sidecar, or the Breaker that it follows, as far as the control API tells of
//! it.

use std::fmt;

use async_trait::async_trait;
use http::StatusCode;

use super::problem::Problem;
use super::service::Control;
use crate::report::{FleetOverview, FleetPage, FleetStatus, FollowingStatus};

/// Who knows of the fleet.
#[async_trait]
pub trait Pooling: fmt::Debug + Send + Sync {
    /// The fleet as this sidecar sees it.
    fn fleet(&self) -> FleetStatus;

    /// What the aggregator sees; waits some seconds for it, if need be.
    async fn overview(&self) -> Option<FleetOverview>;
}

/// Who knows of the Breaker that is followed.
pub trait Following: fmt::Debug + Send + Sync {
    /// What is known of it.
    fn following(&self) -> FollowingStatus;
}

impl Control {
    /// The page over all members.
    pub(super) async fn fleet(&self) -> Result<FleetPage, Problem> {
        let Some(pooling) = self.state().fleet.clone() else {
            let detail = "this sidecar is in no fleet: its configuration has no field fleet";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        };
        // The overview is waited for: what is told beside it must not be older.
        let overview = pooling.overview().await;
        Ok(FleetPage {
            fleet: pooling.fleet(),
            overview,
        })
    }
}
