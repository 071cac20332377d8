//! Telemetry in, in words: where it is received, what feeds take of it, and what they can't tell.

use std::time::Duration;

use breaker_otlp::SpanKind;
use breaker_otlp::matching::{FeedMatcher, Pattern, SpanKinds, Takes};
use breaker_sidecar::config::{Config, Feed, Receive, Route, in_words};
use breaker_tower::Policy;
use breaker_tower::breaker_core::policy::Condition;

use super::{line, secured};

/// Where telemetry is received, and where it is sent on to.
pub(super) fn received(receive: &Receive) -> String {
    let protocol = |field| if field == "grpc" { "gRPC" } else { "HTTP" };
    let addresses: Vec<_> = receive
        .addresses()
        .map(|(field, address)| format!("OTLP/{} on {address}", protocol(field)))
        .collect();
    let topics = receive.kafka().map(|kafka| {
        let topics: Vec<_> = kafka.topics().collect();
        let brokers: Vec<_> = kafka.brokers().iter().map(ToString::to_string).collect();
        format!(
            "{} from Kafka at {} in group {}",
            topics.join(" and "),
            brokers.join(" or "),
            kafka.group()
        )
    });
    let forward = match receive.forward() {
        None if addresses.is_empty() => return topics.unwrap_or_default(),
        None => "sends it nowhere".to_owned(),
        Some(forward) => {
            let targets = [forward.grpc(), forward.http()].into_iter().flatten();
            let targets: Vec<_> = targets.map(|url| trimmed(url.to_string())).collect();
            format!("sends it on to {}", targets.join(" and "))
        }
    };
    let tls = receive.tls().map(|tls| secured(tls.settings()));
    let tls = tls.map_or(String::new(), |tls| format!(", in TLS {tls}"));
    let topics = topics.map_or(String::new(), |topics| format!("; {topics}"));
    format!("{}{tls}; {forward}{topics}", addresses.join(", "))
}

fn trimmed(url: String) -> String {
    url.strip_suffix('/').map(str::to_owned).unwrap_or(url)
}

/// The feeds of a route, and what is to be said about each.
pub(super) fn feeds(words: &mut String, route: &Route) {
    for feed in route.feeds() {
        let (name, takes) = (feed.name(), taken(feed.matcher()));
        line(words, "feed", &format!("{name}: {takes}"));
        if let Some(policy) = feed.policy() {
            let entries: Vec<_> = policy.trip().iter().map(ToString::to_string).collect();
            let (name, entries) = (policy.name(), entries.join(", or "));
            line(words, "", &format!("by policy {name}: {entries}"));
        }
        let quiet = in_words(feed.silence_timeout());
        let quiet = format!("once it tripped, {quiet} of silence let the breaker recover");
        line(words, "", &quiet);
        for warning in warnings_of(feed, route) {
            line(words, "warning", &warning);
        }
    }
}

/// What is to be said about all feeds.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for route in config.routes() {
        for feed in route.feeds() {
            let of_feed = warnings_of(feed, route).into_iter();
            let (route, feed) = (route.name(), feed.name());
            warnings.extend(of_feed.map(|text| format!("route {route}, feed {feed}: {text}")));
        }
    }
    warnings
}

/// What a feed takes.
pub(super) fn taken(matcher: &FeedMatcher) -> String {
    let mut words = match &matcher.takes {
        Takes::Spans(kinds) => format!("{} spans", named(*kinds)),
        Takes::Histogram(name) => format!("the histogram {name}"),
        _ => String::new(),
    };
    let (services, others): (Vec<_>, Vec<_>) = matcher
        .resource
        .iter()
        .partition(|(name, _)| name == SERVICE_NAME);
    for (_, service) in services {
        words.push_str(&format!(" of service {service}"));
    }
    if let Some(scope) = &matcher.scope {
        words.push_str(&format!(" in scope {scope}"));
    }
    if !others.is_empty() {
        words.push_str(&format!(" of resources with {}", all(others)));
    }
    if !matcher.attributes.is_empty() {
        words.push_str(&format!(" with {}", all(&matcher.attributes)));
    }
    words
}

fn all<'a>(conditions: impl IntoIterator<Item = &'a (String, Pattern)>) -> String {
    let conditions = conditions.into_iter();
    let words: Vec<_> = conditions
        .map(|(name, pattern)| format!("{name} {pattern}"))
        .collect();
    words.join(" and ")
}

fn named(kinds: SpanKinds) -> String {
    let all = [
        (SpanKind::Client, "client"),
        (SpanKind::Server, "server"),
        (SpanKind::Consumer, "consumer"),
        (SpanKind::Producer, "producer"),
        (SpanKind::Internal, "internal"),
    ];
    let names = all.into_iter().filter(|(kind, _)| kinds.contains(*kind));
    names.map(|(_, name)| name).collect::<Vec<_>>().join(" or ")
}

fn warnings_of(feed: &Feed, route: &Route) -> Vec<String> {
    let policy = feed.policy().unwrap_or_else(|| route.policy());
    let matcher = feed.matcher();
    let mut warnings = Vec::new();
    if matcher
        .attributes
        .iter()
        .any(|(name, _)| name == SERVICE_NAME)
    {
        let text = "service.name is an attribute of resources, which match does not look at: write service";
        warnings.push(text.to_owned());
    }
    if policy.trip().iter().all(|entry| {
        let mut conditions = entry.conditions.iter();
        conditions.any(Condition::is_on_own_requests)
    }) {
        let text = "telemetry does not tell what the conditions ask for, so none can hold here";
        warnings.push(text.to_owned());
    }
    if let Takes::Histogram(_) = matcher.takes {
        let bounds = default_bounds(matcher);
        let off = latency_bounds(policy).into_iter();
        let off = off.filter(|latency| bounds.binary_search(&millis(*latency)).is_err());
        warnings.extend(off.map(|latency| lower_estimate(latency, bounds)));
    }
    warnings
}

/// The latencies that a policy asks for, ascending.
fn latency_bounds(policy: &Policy) -> Vec<Duration> {
    let conditions = policy.trip().iter().flat_map(|entry| &entry.conditions);
    let mut bounds: Vec<_> = conditions.filter_map(Condition::latency_bound).collect();
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

fn lower_estimate(latency: Duration, bounds: &[u64]) -> String {
    let next = bounds.partition_point(|bound| *bound < millis(latency));
    let near = [next.checked_sub(1), Some(next)].into_iter().flatten();
    let near: Vec<_> = near
        .filter_map(|at| bounds.get(at))
        .map(|bound| in_words(Duration::from_millis(*bound)))
        .collect();
    let lies = if next == bounds.len() {
        "above"
    } else {
        "between"
    };
    format!(
        "{} lies {lies} the bounds of default buckets, so of histograms with explicit buckets the share above it is only \
         a lower estimate: use {}, or exponential histograms (breaker run --otlp-env)",
        in_words(latency),
        near.join(" or ")
    )
}

/// Policies have times in whole milliseconds.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The bounds that applications use for a feed's histogram unless told otherwise, in milliseconds,
/// ascending.
fn default_bounds(matcher: &FeedMatcher) -> &'static [u64] {
    if matcher.matches_name("db.client.operation.duration") {
        &DATABASE
    } else {
        &REQUESTS
    }
}

const SERVICE_NAME: &str = "service.name";
/// Of HTTP and RPC durations: the new ones in seconds and the old ones in milliseconds have the
/// same.
const REQUESTS: [u64; 15] = [
    0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000,
];
/// Of `db.client.operation.duration`.
const DATABASE: [u64; 9] = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000];
