//! A configuration as JSON. Times are in seconds, shares are 0 to 1.

use breaker_sidecar::config::{Config, Feed, Receive, Route};
use breaker_sidecar::report::Action;
use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::Recovery;
use serde_json::{Value, json};

use super::{endpoints, requests, telemetry, warnings};

/// A configuration.
pub(in crate::cli) fn configuration(config: &Config) -> Value {
    json!({
        "listen": config.proxies().then(|| config.listen().to_string()),
        "admin": config.admin().to_string(),
        "certificates": config.expiries().iter().map(certificate).collect::<Vec<_>>(),
        "workloads": config.workloads().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "workers": config.workers(),
        "drain": config.drain().as_secs_f64(),
        "drain_delay": config.drain_delay().as_secs_f64(),
        "state": config.state().map(|file| file.display().to_string()),
        "receive": config.receive().map(receive),
        "routes": config.routes().iter().map(route).collect::<Vec<_>>(),
        "warnings": warnings(config),
    })
}

fn certificate((of, until): &(String, String)) -> Value {
    json!({ "of": of, "until": until })
}

/// A policy.
pub(in crate::cli) fn policy(policy: &Policy) -> Value {
    let entries = policy.trip().iter().map(|entry| {
        let conditions: Vec<_> = entry.conditions.iter().map(ToString::to_string).collect();
        let action = Action::from(entry.action);
        json!({ "action": action, "conditions": conditions })
    });
    let (open, half_open, ramp) = (policy.open(), policy.half_open(), policy.ramp());
    json!({
        "name": policy.name(),
        "window": policy.window().as_secs_f64(),
        "min_requests": policy.min_requests(),
        "trip": entries.collect::<Vec<_>>(),
        "false_alarm_budget": policy.false_alarm_budget().name(),
        "usual_errors": policy.usual_errors().get(),
        "deadline": policy.deadline().as_secs_f64(),
        "recovery": match policy.recovery() {
            Recovery::Sequential => "sequential",
            _ => "counted",
        },
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

fn receive(receive: &Receive) -> Value {
    let forward = receive.forward().map(|forward| {
        json!({
            "grpc": forward.grpc().map(ToString::to_string),
            "http": forward.http().map(ToString::to_string),
        })
    });
    json!({
        "grpc": receive.grpc().map(|address| address.to_string()),
        "http": receive.http().map(|address| address.to_string()),
        "kafka": receive.kafka().map(|kafka| json!({
            "brokers": kafka.brokers().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "group": kafka.group(),
            "traces": kafka.traces(),
            "metrics": kafka.metrics(),
        })),
        "tls": receive.tls().is_some(),
        "forward": forward,
    })
}

fn route(route: &Route) -> Value {
    // Without an upstream there are no requests to take, and nothing to bound.
    let proxied = route.upstream();
    let timeout = proxied.and(route.timeout());
    json!({
        "name": **route.name(),
        "match": proxied.map(|_| requests(route.matches())),
        "upstream": proxied.map(|upstream| endpoints(upstream)),
        "version": route.version().map(|version| &**version),
        "mode": route.mode().to_string(),
        "timeout": timeout.map(|time| time.as_secs_f64()),
        "fallback": route.fallback().map(ToString::to_string),
        "max_in_flight": route.max_in_flight(),
        "policy": policy(route.policy()),
        "feeds": route.feeds().iter().map(feed).collect::<Vec<_>>(),
    })
}

fn feed(feed: &Feed) -> Value {
    json!({
        "name": **feed.name(),
        "takes": telemetry::taken(feed.matcher()),
        "policy": feed.policy().map(|own| policy(own)),
        "silence_timeout": feed.silence_timeout().as_secs_f64(),
    })
}
