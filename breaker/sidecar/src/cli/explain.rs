//! A configuration in words: which requests go where, when their breaker trips, and how it
//! recovers.

pub(super) mod json;
mod recovery;
mod telemetry;
mod upstream;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use breaker_sidecar::config::{Config, Route, in_words};
use breaker_sidecar::descriptors;
use breaker_sidecar::proxy::Match;
use breaker_sidecar::sandbox;
use breaker_sidecar::tls::{MinVersion, ServerSettings};
use breaker_sidecar::upstream::{Endpoint, Protocol, Upstream};
use breaker_tower::breaker_core::policy::{
    Action, Condition, FailureRules, GrpcCode, LatencyMeasure, Signal,
};
use breaker_tower::breaker_core::{Classification, Ratio};
use breaker_tower::{Mode, Policy};

use self::recovery::recovery;
use super::output::{FAINT, STRONG};

/// Explains a configuration.
pub(super) fn configuration(config: &Config) -> String {
    let mut words = String::new();
    let listen = match config.proxies() {
        true => config.listen().to_string(),
        false => "nothing, for no route has an upstream".to_owned(),
    };
    line(&mut words, "listens on", &listen);
    line(&mut words, "admin on", &config.admin().to_string());
    if let Some(tls) = config.tls() {
        line(&mut words, "tls", &secured(tls.settings()));
    }
    if let Some(tls) = config.admin_tls() {
        line(&mut words, "admin tls", &secured(tls.settings()));
    }
    for workload in config.workloads() {
        let text = format!("by the SPIFFE Workload API at {workload}, heard when it runs");
        line(&mut words, "identity", &text);
    }
    for (of, until) in config.expiries() {
        line(
            &mut words,
            "certificate",
            &format!("{of}: valid until {until}"),
        );
    }
    if config.lacks_token() {
        line(&mut words, "warning", LACKS_TOKEN);
    }
    if let Some(warning) = descriptors::warning(config, descriptors::hard_limit()) {
        line(&mut words, "warning", &warning);
    }
    for warning in config.warnings() {
        line(&mut words, "warning", &warning.to_string());
    }
    line(&mut words, "workers", &config.workers().to_string());
    line(&mut words, "metrics", &metrics(config));
    if let Some(receive) = config.receive() {
        line(&mut words, "receives", &telemetry::received(receive));
    }
    line(&mut words, "sandbox", &confined(config));
    if let Some(state) = config.state() {
        let kept = format!("what is usual, in {}", state.display());
        line(&mut words, "keeps", &kept);
    }
    line(
        &mut words,
        "drains",
        &format!(
            "for up to {}, after taking connections for another {}",
            in_words(config.drain()),
            in_words(config.drain_delay())
        ),
    );
    for route in config.routes() {
        let name = route.name();
        let serves = match route.upstream() {
            Some(upstream) => format!("{} → {}", requests(route.matches()), endpoints(upstream)),
            None => "fed by telemetry alone, for others to ask".to_owned(),
        };
        let _ = writeln!(words, "\n{STRONG}{name}{STRONG:#}  {serves}");
        describe(&mut words, route);
    }
    words
}

/// What the sandbox leaves to the process.
fn confined(config: &Config) -> String {
    let (mode, needs) = (config.sandbox(), config.needs());
    if mode == sandbox::Mode::Off {
        return mode.to_string();
    }
    let ports = match needs.ports() {
        Ok(ports) => {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            format!("connects to the ports {}", ports.join(", "))
        }
        Err(why) => format!("connects to any port: {why}"),
    };
    let shown = |paths: &BTreeSet<PathBuf>| {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        paths.join(", ")
    };
    let mut text = format!("{mode}; {ports}");
    for (does, paths) in [("reads", needs.read()), ("writes in", needs.written())] {
        if !paths.is_empty() {
            text += &format!("; {does} {}", shown(paths));
        }
    }
    text
}

/// What clients must speak and show.
fn secured(settings: &ServerSettings) -> String {
    let from = match settings.min {
        MinVersion::Tls12 => "1.2",
        MinVersion::Tls13 => "1.3",
    };
    let clients = match &settings.clients {
        None => "clients show no certificate".to_owned(),
        Some(clients) => {
            let whose = match &*clients.allow {
                [] => "any that roots have signed".to_owned(),
                allow => {
                    let allow: Vec<_> = allow.iter().map(ToString::to_string).collect();
                    allow.join(", ")
                }
            };
            let must = if clients.require { "must" } else { "may" };
            format!("clients {must} show a certificate: {whose}")
        }
    };
    format!("from {from} on; {clients}")
}

/// What is good, and may yet not be what was meant.
fn warnings(config: &Config) -> Vec<String> {
    let token = config
        .lacks_token()
        .then(|| format!("admin: {LACKS_TOKEN}"));
    token
        .into_iter()
        .chain(descriptors::warning(config, descriptors::hard_limit()))
        .chain(config.warnings().iter().map(ToString::to_string))
        .chain(telemetry::warnings(config))
        .collect()
}

/// Explains a policy.
pub(super) fn policy(policy: &Policy) -> String {
    let mut words = format!("{STRONG}{}{STRONG:#}\n", policy.name());
    conditions(&mut words, policy);
    recovery(&mut words, policy);
    words
}

fn describe(words: &mut String, route: &Route) {
    line(words, "policy", route.policy().name());
    if let Some(version) = route.version() {
        let learned = format!("{version}; what is usual is learned anew when it changes");
        line(words, "version", &learned);
    }
    match route.mode() {
        Mode::Auto => {}
        Mode::Shadow => line(
            words,
            "mode",
            "shadow: tells what it would do, rejects nothing",
        ),
        Mode::ForcedOpen => line(words, "mode", "forced open: rejects everything"),
        Mode::ForcedClosed => line(words, "mode", "forced closed: rejects nothing"),
        mode => line(words, "mode", &mode.to_string()),
    }
    conditions(words, route.policy());
    recovery(words, route.policy());
    telemetry::feeds(words, route);
    let Some(upstream) = route.upstream() else {
        return;
    };
    upstream::endpoints(words, upstream);
    let timeout = route
        .timeout()
        .map(|time| format!("{} to the head of the response", in_words(time)));
    line(words, "timeout", timeout.as_deref().unwrap_or("none"));
    upstream::retries(words, route.retry());
    upstream::fallback(words, route.fallback());
    if let Some(requests) = route.max_in_flight() {
        line(
            words,
            "in flight",
            &format!("at most {requests} for each worker"),
        );
    }
}

fn metrics(config: &Config) -> String {
    match config.export().map(|export| export.endpoint.as_deref()) {
        None => "at /metrics of admin; by OTLP if OTEL_* variables say so".to_owned(),
        Some(None) => "by OTLP to where OTEL_* variables say, and at /metrics of admin".to_owned(),
        Some(Some(endpoint)) => format!("by OTLP to {endpoint}, and at /metrics of admin"),
    }
}

/// Which requests a route takes.
pub(super) fn requests(matches: &Match) -> String {
    let mut parts = Vec::new();
    if matches.grpc {
        parts.push("gRPC".to_owned());
    }
    if !matches.methods.is_empty() {
        let methods: Vec<_> = matches.methods.iter().map(http::Method::as_str).collect();
        parts.push(methods.join(" or "));
    }
    let host = matches.host.as_deref().unwrap_or_default();
    let paths = matches.paths.iter().map(|path| format!("{host}{path}"));
    match matches.paths.is_empty() {
        false => parts.push(paths.collect::<Vec<_>>().join(" or ")),
        true if host.is_empty() => parts.push("everything else".to_owned()),
        true => parts.push(host.to_owned()),
    }
    for (name, value) in &matches.headers {
        let value = value
            .as_ref()
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        parts.push(match value {
            Some(value) => format!("with {name}: {value}"),
            None => format!("with {name}"),
        });
    }
    if let Some(peer) = &matches.peer {
        parts.push(format!("from {peer}"));
    }
    parts.join(" ")
}

/// Where requests go.
pub(super) fn endpoints(upstream: &Upstream) -> String {
    let scheme = match upstream.protocol {
        _ if upstream.tls.is_some() => "https://",
        Protocol::H2c => "h2c://",
        Protocol::Auto | Protocol::Http1 => "http://",
    };
    let urls = upstream.endpoints.iter().map(|endpoint| match endpoint {
        Endpoint::Service(name) => format!("SRV of {name}"),
        Endpoint::Unix(_) => endpoint.to_string(),
        endpoint => format!("{scheme}{endpoint}"),
    });
    urls.collect::<Vec<_>>().join(", ")
}

fn conditions(words: &mut String, policy: &Policy) {
    for action in [Action::Open, Action::Shed, Action::Alert] {
        let entries = policy.trip().iter().filter(|entry| entry.action == action);
        for (index, entry) in entries.enumerate() {
            let label = match (index, action) {
                (0, Action::Open) => "opens when",
                (0, Action::Shed) => "sheds when",
                (0, _) => "alerts when",
                _ => "or when",
            };
            line(words, label, &entry.to_string());
        }
    }
    let conditions = || policy.trip().iter().flat_map(|entry| &entry.conditions);
    let on_window = |condition: &Condition| !matches!(condition, Condition::Anomaly { .. });
    if conditions().any(on_window) {
        let window = in_words(policy.window());
        let judged = format!(
            "the last {window}, once it has {} requests",
            policy.min_requests()
        );
        line(words, "judged on", &judged);
    }
    if !conditions().all(on_window) {
        let days = policy.false_alarm_budget().run_length().as_secs() / 86_400;
        let known = match policy.usual_errors() {
            Ratio::ZERO => "is learned".to_owned(),
            usual => format!("{usual} errors at least, is learned"),
        };
        let usual = format!("{known}; one false alarm in {days} days at most");
        line(words, "usual", &usual);
    }
    let deadline = |condition: &Condition| {
        matches!(
            condition,
            Condition::Anomaly {
                signal: Signal::Deadline,
                ..
            }
        )
    };
    if conditions().any(deadline) {
        line(words, "deadline", &in_words(policy.deadline()));
    }
    line(words, "failures", &failures(policy.failure()));
    let measured = match policy.latency() {
        LatencyMeasure::Complete => "to the end of the body",
        _ => "to the head of the response",
    };
    line(words, "latency", measured);
    if policy.honours_retry_after() {
        line(
            words,
            "also opens",
            "for the time that an upstream's Retry-After asks for",
        );
    }
}

/// Which answers are failures, and which say nothing.
fn failures(rules: &FailureRules) -> String {
    let mut words = named(rules, Classification::Failure);
    if words.is_empty() {
        words.push_str("none");
    }
    let ignored = named(rules, Classification::Ignored);
    if !ignored.is_empty() {
        let _ = write!(words, "; ignored: {ignored}");
    }
    words
}

/// The HTTP statuses and gRPC codes with a classification.
fn named(rules: &FailureRules, classification: Classification) -> String {
    let statuses: Vec<_> = ranges(|status| rules.of_http(status) == classification)
        .into_iter()
        .map(|range| match range.into_inner() {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect();
    let codes: Vec<_> = (0..=16)
        .map(GrpcCode::from_number)
        .filter(|code| rules.of_grpc(*code) == classification)
        .map(GrpcCode::name)
        .collect();
    let mut words = Vec::new();
    if !statuses.is_empty() {
        words.push(format!("HTTP {}", statuses.join(", ")));
    }
    if !codes.is_empty() {
        words.push(format!("gRPC {}", codes.join(", ")));
    }
    words.join("; ")
}

/// The runs of HTTP statuses that `wanted` holds for.
fn ranges(wanted: impl Fn(u16) -> bool) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for status in (100..=599).filter(|status| wanted(*status)) {
        match ranges.last_mut() {
            Some(range) if *range.end() + 1 == status => *range = *range.start()..=status,
            _ => ranges.push(status..=status),
        }
    }
    ranges
}

fn line(words: &mut String, label: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(words, "  {FAINT}{label:<12}{FAINT:#}{text}");
}

const LACKS_TOKEN: &str = "beyond loopback, so changes need a token, which the file does not name: \
                           without --control-token-file or BREAKER_CONTROL_TOKEN run refuses to start";
