//! A configuration as JSON. Times are in seconds, shares are 0 to 1.

use breaker_sidecar::config::{Config, Route};
use breaker_tower::Policy;
use breaker_tower::core::policy::Action;
use serde_json::{Value, json};

use super::{endpoints, requests};

/// A configuration.
pub(in crate::cli) fn configuration(config: &Config) -> Value {
    json!({
        "listen": config.listen().to_string(),
        "admin": config.admin().to_string(),
        "workers": config.workers(),
        "drain": config.drain().as_secs_f64(),
        "routes": config.routes().iter().map(route).collect::<Vec<_>>(),
    })
}

/// A policy.
pub(in crate::cli) fn policy(policy: &Policy) -> Value {
    let entries = policy.trip().iter().map(|entry| {
        let conditions: Vec<_> = entry.conditions.iter().map(ToString::to_string).collect();
        let action = match entry.action {
            Action::Alert => "alert",
            _ => "open",
        };
        json!({ "action": action, "conditions": conditions })
    });
    let (open, half_open, ramp) = (policy.open(), policy.half_open(), policy.ramp());
    json!({
        "name": policy.name(),
        "window": policy.window().as_secs_f64(),
        "min_requests": policy.min_requests(),
        "trip": entries.collect::<Vec<_>>(),
        "open": {
            "for": open.period.as_secs_f64(),
            "factor": open.factor,
            "max": open.max.as_secs_f64(),
            "jitter": open.jitter.get(),
        },
        "half_open": {
            "probes": half_open.probes,
            "concurrent": half_open.concurrent,
            "success": half_open.success.get(),
            "probe_timeout": half_open.probe_timeout.as_secs_f64(),
        },
        "ramp": { "start": ramp.start.get(), "for": ramp.period.as_secs_f64() },
    })
}

fn route(route: &Route) -> Value {
    json!({
        "name": **route.name(),
        "match": requests(route.matches()),
        "upstream": endpoints(route.upstream()),
        "mode": route.mode().to_string(),
        "timeout": route.timeout().map(|time| time.as_secs_f64()),
        "max_in_flight": route.max_in_flight(),
        "policy": policy(route.policy()),
    })
}
