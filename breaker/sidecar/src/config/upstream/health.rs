//! `upstreams.NAME.health`: health checks.

use breaker_tower::breaker_core::InvalidField;
use http::uri::PathAndQuery;

use crate::config::problem::{time_within, within};
use crate::config::raw::RawHealth;
use crate::upstream::{Check, HealthCheck};

pub(super) fn build(raw: &RawHealth) -> Result<HealthCheck, InvalidField> {
    let check = match (&raw.path, &raw.grpc) {
        (Some(path), None) => Check::Http(target(path)?),
        (None, Some(service)) => Check::Grpc(service.clone()),
        (Some(_), Some(_)) => {
            let rule = "must not be there together with path";
            return Err(InvalidField::new("grpc", rule));
        }
        (None, None) => return Err(InvalidField::new("path", "is required, or grpc is")),
    };
    let default = HealthCheck::new(check);
    let interval = time_within("interval", raw.interval, 100..=3_600_000, default.interval)?;
    Ok(HealthCheck {
        interval,
        timeout: time_within("timeout", raw.timeout, 10..=60_000, default.timeout)?,
        unhealthy: within("unhealthy", raw.unhealthy, 1..=1000, default.unhealthy)?,
        healthy: within("healthy", raw.healthy, 1..=1000, default.healthy)?,
        ..default
    })
}

fn target(path: &str) -> Result<PathAndQuery, InvalidField> {
    let rule = || InvalidField::new("path", "must be a path that starts with /");
    if !path.starts_with('/') {
        return Err(rule());
    }
    path.parse().map_err(|_| rule())
}
