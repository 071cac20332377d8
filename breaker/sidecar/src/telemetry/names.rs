//! Every metric and attribute name, once. The HTTP ones are those of the OpenTelemetry semantic
//! conventions; there are none for breakers, so these are ours. `docs/telemetry.md` is the table
//! for users.

use opentelemetry::InstrumentationScope;

/// A metric as it is announced to a collector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    /// UCUM; `{…}` annotates a count and does not become a part of a Prometheus name.
    pub(crate) unit: &'static str,
    pub(crate) description: &'static str,
}

pub(crate) const SERVER_DURATION: Metric = Metric {
    name: "http.server.request.duration",
    unit: "s",
    description: "Duration of requests that the proxy received, its own answers included",
};
pub(crate) const CLIENT_DURATION: Metric = Metric {
    name: "http.client.request.duration",
    unit: "s",
    description: "Duration of requests that the proxy sent to an upstream",
};
pub(crate) const STATE: Metric = Metric {
    name: "breaker.state",
    unit: "{state}",
    description: "1 for the state that the breaker is in, 0 for the others",
};
pub(crate) const MODE: Metric = Metric {
    name: "breaker.mode",
    unit: "{mode}",
    description: "1 for the mode that the breaker is in, 0 for the others",
};
pub(crate) const PANIC: Metric = Metric {
    name: "breaker.panic",
    unit: "{panic}",
    description: "1 while an operator has all routes forced closed, else 0",
};
pub(crate) const TRANSITIONS: Metric = Metric {
    name: "breaker.transitions",
    unit: "{transition}",
    description: "Changes of state",
};
pub(crate) const REQUESTS: Metric = Metric {
    name: "breaker.requests",
    unit: "{request}",
    description: "Requests by what the breaker made of them",
};
pub(crate) const FAILURES: Metric = Metric {
    name: "breaker.failures",
    unit: "{request}",
    description: "Requests that failed, by how they failed",
};
pub(crate) const DEADLINES_MALFORMED: Metric = Metric {
    name: "breaker.deadlines.malformed",
    unit: "{request}",
    description: "Requests whose deadline can't be read, and is ignored",
};
pub(crate) const ERROR_RATE: Metric = Metric {
    name: "breaker.error_rate",
    unit: "1",
    description: "Share of failures among the requests of the window; no value while it has none",
};
pub(crate) const LATENCY: Metric = Metric {
    name: "breaker.latency",
    unit: "s",
    description: "Latency quantiles of the window; no value while it has no latency",
};
pub(crate) const CONCURRENCY: Metric = Metric {
    name: "breaker.concurrency",
    unit: "{request}",
    description: "Requests in flight now",
};
pub(crate) const CONCURRENCY_LIMIT: Metric = Metric {
    name: "breaker.concurrency.limit",
    unit: "{request}",
    description: "Requests in flight at most; no value while there is no limit",
};
pub(crate) const OPEN_DURATION: Metric = Metric {
    name: "breaker.open.duration",
    unit: "s",
    description: "How long the breaker was open, recorded at the end of each time",
};
pub(crate) const ALERTS: Metric = Metric {
    name: "breaker.alerts",
    unit: "{alert}",
    description: "Alerts of trip entries that reject nothing",
};
pub(crate) const ALERTING: Metric = Metric {
    name: "breaker.alerting",
    unit: "1",
    description: "1 from the begin of an alert to its end, else 0",
};
pub(crate) const ANOMALY_SCORE: Metric = Metric {
    name: "breaker.anomaly.score",
    unit: "1",
    description: "Evidence of an anomaly as a share of its alarm line",
};
pub(crate) const ENDPOINT_STATE: Metric = Metric {
    name: "breaker.endpoint.state",
    unit: "{state}",
    description: "1 for the state that the endpoint is in, 0 for the others",
};
pub(crate) const ENDPOINT_LOAD: Metric = Metric {
    name: "breaker.endpoint.load",
    unit: "s",
    description: "Load that the balancer compares: latency times requests in flight, and penalties",
};
pub(crate) const ENDPOINT_EJECTIONS: Metric = Metric {
    name: "breaker.endpoint.ejections",
    unit: "{ejection}",
    description: "Ejections of endpoints of the upstream",
};
pub(crate) const RETRIES: Metric = Metric {
    name: "breaker.retries",
    unit: "{retry}",
    description: "Requests that the rules of retries apply to: sent again, or why not",
};
pub(crate) const UPSTREAM_ENDPOINTS: Metric = Metric {
    name: "breaker.upstream.endpoints",
    unit: "{endpoint}",
    description: "Endpoints of the upstream in each state",
};
pub(crate) const UPSTREAM_PANIC: Metric = Metric {
    name: "breaker.upstream.panic",
    unit: "{panic}",
    description: "1 while so many endpoints are bad that all are used, else 0",
};
pub(crate) const BASELINE_SAVES: Metric = Metric {
    name: "breaker.baseline.saves",
    unit: "{save}",
    description: "Attempts to write what was learned to the state file",
};
pub(crate) const EXPORTS: Metric = Metric {
    name: "breaker.telemetry.exports",
    unit: "{export}",
    description: "Exports to the collector",
};
pub(crate) const DROPPED: Metric = Metric {
    name: "breaker.telemetry.dropped",
    unit: "{item}",
    description: "Spans and log records that did not reach the collector",
};
pub(crate) const LOG_DROPPED: Metric = Metric {
    name: "breaker.log.dropped",
    unit: "{line}",
    description: "Lines of the log and of the access log that could not be written",
};

pub(crate) const BUILD_INFO: Metric = Metric {
    name: "breaker.build.info",
    unit: "{build}",
    description: "1, with what this program is",
};
pub(crate) const TASKS: Metric = Metric {
    name: "breaker.proxy.tasks",
    unit: "{task}",
    description: "Tasks of the proxy that run now, on all workers",
};
pub(crate) const LIMITED: Metric = Metric {
    name: "breaker.proxy.limited",
    unit: "{event}",
    description: "How often limits of the proxy acted, on all workers",
};
// Of the semantic conventions for processes, but for the last.
pub(crate) const PROCESS_CPU: Metric = Metric {
    name: "process.cpu.time",
    unit: "s",
    description: "Processor time of this process",
};
pub(crate) const PROCESS_MEMORY: Metric = Metric {
    name: "process.memory.usage",
    unit: "By",
    description: "Memory of this process that is resident",
};
pub(crate) const PROCESS_THREADS: Metric = Metric {
    name: "process.thread.count",
    unit: "{thread}",
    description: "Threads of this process",
};
pub(crate) const PROCESS_DESCRIPTORS: Metric = Metric {
    name: "process.unix.file_descriptor.count",
    unit: "{file_descriptor}",
    description: "Files and sockets that this process has open",
};
pub(crate) const DESCRIPTORS_LIMIT: Metric = Metric {
    name: "breaker.descriptors.limit",
    unit: "{file_descriptor}",
    description: "How many files and sockets this process may have open",
};
pub(crate) const RECEIVED: Metric = Metric {
    name: "breaker.receiver.batches",
    unit: "{batch}",
    description: "Batches of telemetry that were taken",
};
pub(crate) const RECEIVE_REFUSED: Metric = Metric {
    name: "breaker.receiver.refused",
    unit: "{batch}",
    description: "Batches of telemetry that were refused",
};
pub(crate) const RECEIVE_INVALID: Metric = Metric {
    name: "breaker.receiver.invalid",
    unit: "{item}",
    description: "Spans and data points that could not be read, of batches that were taken",
};
pub(crate) const FORWARDED: Metric = Metric {
    name: "breaker.receiver.forwarded",
    unit: "{batch}",
    description: "Batches of telemetry that were sent on",
};
pub(crate) const FORWARD_DROPPED: Metric = Metric {
    name: "breaker.receiver.dropped",
    unit: "{batch}",
    description: "Batches of telemetry that were taken and not sent on",
};
pub(crate) const FORWARD_QUEUE: Metric = Metric {
    name: "breaker.receiver.queue",
    unit: "By",
    description: "Telemetry that waits to be sent on",
};
pub(crate) const FEED_SAMPLES: Metric = Metric {
    name: "breaker.feed.samples",
    unit: "{request}",
    description: "Requests that a feed told of, by whether they count",
};

#[cfg(feature = "kafka")]
pub(crate) const KAFKA_CONNECTED: Metric = Metric {
    name: "breaker.receiver.kafka.connected",
    unit: "{cluster}",
    description: "1 while a broker of Kafka answers, else 0",
};
#[cfg(feature = "kafka")]
pub(crate) const KAFKA_PARTITIONS: Metric = Metric {
    name: "breaker.receiver.kafka.partitions",
    unit: "{partition}",
    description: "Partitions of topics that this member of the group reads",
};
#[cfg(feature = "kafka")]
pub(crate) const KAFKA_LAG: Metric = Metric {
    name: "breaker.receiver.kafka.lag",
    unit: "{message}",
    description: "Messages in these partitions that have not been counted; no value while it is unknown",
};
#[cfg(feature = "kafka")]
pub(crate) const KAFKA_PAUSES: Metric = Metric {
    name: "breaker.receiver.kafka.pauses",
    unit: "{pause}",
    description: "How often reading paused because there was too much telemetry at once",
};

pub(crate) const RELOADS: Metric = Metric {
    name: "breaker.config.reloads",
    unit: "{reload}",
    description: "Reloads of the configuration",
};
pub(crate) const RELOAD_SUCCESS: Metric = Metric {
    name: "breaker.config.last_reload.success",
    unit: "{success}",
    description: "1 if the last reload was not refused, or there was none; else 0",
};
pub(crate) const RELOAD_TIME: Metric = Metric {
    name: "breaker.config.last_reload.timestamp",
    unit: "s",
    description: "When the configuration that runs was loaded, since 1970",
};
pub(crate) const TLS_HANDSHAKES: Metric = Metric {
    name: "breaker.tls.handshakes",
    unit: "{handshake}",
    description: "How TLS handshakes of clients ended",
};
pub(crate) const SANDBOX: Metric = Metric {
    name: "breaker.sandbox",
    unit: "{layer}",
    description: "1 if this layer of the sandbox is in force, else 0",
};
pub(crate) const TLS_RELOADS: Metric = Metric {
    name: "breaker.tls.reloads",
    unit: "{reload}",
    description: "How often certificates were put in force, or refused, when their files changed",
};
pub(crate) const TLS_EXPIRY: Metric = Metric {
    name: "breaker.tls.certificate.expiry",
    unit: "s",
    description: "Until when our certificates are valid, since 1970",
};

#[cfg(feature = "fleet")]
pub(crate) const FLEET_CONNECTED: Metric = Metric {
    name: "breaker.fleet.connected",
    unit: "{engine}",
    description: "1 while the engine of the fleet can be reached, else 0",
};
#[cfg(feature = "fleet")]
pub(crate) const FLEET_MEMBERS: Metric = Metric {
    name: "breaker.fleet.members",
    unit: "{member}",
    description: "Members that were heard in the last minute; a value only while this is the aggregator",
};
#[cfg(feature = "fleet")]
pub(crate) const FLEET_REPORTS: Metric = Metric {
    name: "breaker.fleet.reports",
    unit: "{report}",
    description: "Reports that were published",
};
#[cfg(feature = "fleet")]
pub(crate) const FLEET_DROPPED: Metric = Metric {
    name: "breaker.fleet.dropped",
    unit: "{message}",
    description: "Messages of the fleet that were dropped, sent or received",
};
#[cfg(feature = "fleet")]
pub(crate) const FLEET_VERDICT_AGE: Metric = Metric {
    name: "breaker.fleet.verdict_age",
    unit: "s",
    description: "Time since the last verdict; no value before the first",
};
#[cfg(feature = "fleet")]
pub(crate) const FLEET_TERM: Metric = Metric {
    name: "breaker.fleet.term",
    unit: "{term}",
    description: "Term of the last verdict; no value before the first",
};
#[cfg(feature = "fleet")]
pub(crate) const FLEET_IGNORED: Metric = Metric {
    name: "breaker.fleet.ignored",
    unit: "{verdict}",
    description: "Verdicts, or what they say of a route, that were not followed",
};

#[cfg(feature = "fleet")]
pub(crate) const FOLLOW_CONNECTED: Metric = Metric {
    name: "breaker.follow.connected",
    unit: "{brain}",
    description: "1 while the brain is heard, else 0",
};
#[cfg(feature = "fleet")]
pub(crate) const FOLLOW_AGE: Metric = Metric {
    name: "breaker.follow.age",
    unit: "s",
    description: "Time since the last message of the brain; no value before the first",
};
#[cfg(feature = "fleet")]
pub(crate) const FOLLOW_UNKNOWN: Metric = Metric {
    name: "breaker.follow.unknown_routes",
    unit: "{route}",
    description: "Routes of the brain that are unknown here",
};
#[cfg(feature = "fleet")]
pub(crate) const FOLLOW_MISSING: Metric = Metric {
    name: "breaker.follow.missing_routes",
    unit: "{route}",
    description: "Routes that follow the brain and that it does not have",
};
#[cfg(feature = "fleet")]
pub(crate) const FOLLOW_IGNORED: Metric = Metric {
    name: "breaker.follow.ignored",
    unit: "{verdict}",
    description: "What the brain said of a route that was not followed",
};

// Events, as log records.
/// The name of the log record that tells of an alert.
pub const EVENT_ALERT: &str = "breaker.alert";
pub(crate) const EVENT_CLOSED_WITH_ERRORS: &str = "breaker.closed_with_errors";
pub(crate) const EVENT_ALERT_ENDED: &str = "breaker.alert_ended";
pub(crate) const EVENT_RESET: &str = "breaker.reset";
/// An operator changed something.
pub(crate) const EVENT_CONTROL: &str = "breaker.control";
pub(crate) const EVENT_DISCOVERED: &str = "breaker.upstream.discovered";
pub(crate) const EVENT_EJECTED: &str = "breaker.endpoint.ejected";
pub(crate) const EVENT_MODE_CHANGED: &str = "breaker.mode_changed";
pub(crate) const EVENT_READMITTED: &str = "breaker.endpoint.readmitted";
pub(crate) const EVENT_SHEDDING_ENDED: &str = "breaker.shedding_ended";
pub(crate) const EVENT_SHEDDING_STARTED: &str = "breaker.shedding_started";
pub(crate) const EVENT_UPSTREAM_PANIC: &str = "breaker.upstream.panic";
pub(crate) const EVENT_USUAL_CHANGED: &str = "breaker.usual_changed";
/// The name of the log record that tells of a change of state.
pub const EVENT_TRANSITION: &str = "breaker.transition";

// Attributes of the semantic conventions.
pub(crate) const CLIENT_ADDRESS: &str = "client.address";
pub(crate) const CPU_MODE: &str = "cpu.mode";
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
pub(crate) const REQUEST_METHOD: &str = "http.request.method";
pub(crate) const REQUEST_METHOD_ORIGINAL: &str = "http.request.method_original";
pub(crate) const RESPONSE_STATUS: &str = "http.response.status_code";
pub(crate) const ROUTE: &str = "http.route";
pub(crate) const SERVER_ADDRESS: &str = "server.address";
pub(crate) const RESEND_COUNT: &str = "http.request.resend_count";
pub(crate) const SERVER_PORT: &str = "server.port";
pub(crate) const URL_PATH: &str = "url.path";
pub(crate) const URL_SCHEME: &str = "url.scheme";
pub(crate) const USER_AGENT: &str = "user_agent.original";

// Our attributes.
pub(crate) const ALERT_COUNT: &str = "breaker.alert.count";
pub(crate) const ALERT_DURATION: &str = "breaker.alert.duration";
pub(crate) const ALERT_REASON: &str = "breaker.alert.reason";
pub(crate) const BASELINE_OUTCOME: &str = "breaker.baseline.outcome";
/// Who caused the ending of a request.
pub(crate) const BREAKER_ATTRIBUTION: &str = "breaker.attribution";
pub(crate) const BREAKER_NAME: &str = "breaker.name";
pub(crate) const BREAKER_OUTCOME: &str = "breaker.outcome";
pub(crate) const BREAKER_QUANTILE: &str = "breaker.quantile";
pub(crate) const BREAKER_SOURCE: &str = "breaker.source";
pub(crate) const BREAKER_STATE: &str = "breaker.state";
pub(crate) const BREAKER_MODE: &str = "breaker.mode";
pub(crate) const BREAKER_SIGNAL: &str = "breaker.signal";
pub(crate) const BUILD_ARCHITECTURE: &str = "arch";
pub(crate) const BUILD_OS: &str = "os";
pub(crate) const BUILD_VERSION: &str = "version";
pub(crate) const CONTROL_ACTION: &str = "breaker.control.action";
pub(crate) const CONTROL_AFTER: &str = "breaker.control.after";
pub(crate) const CONTROL_BEFORE: &str = "breaker.control.before";
pub(crate) const CONTROL_REASON: &str = "breaker.control.reason";
pub(crate) const DROP_REASON: &str = "breaker.telemetry.drop_reason";
pub(crate) const ENDPOINT_REASON: &str = "breaker.endpoint.reason";
/// Of [`ENDPOINT_STATE`] and [`UPSTREAM_ENDPOINTS`].
pub(crate) const ENDPOINT_STATE_NAME: &str = "breaker.endpoint.state";
/// For how long an endpoint is out at first.
pub(crate) const ENDPOINT_OUT_FOR: &str = "breaker.endpoint.out_for";
/// For how long an endpoint was out.
pub(crate) const ENDPOINT_OUT: &str = "breaker.endpoint.out";
pub(crate) const RETRY_OUTCOME: &str = "breaker.retry.outcome";
pub(crate) const UPSTREAM: &str = "breaker.upstream";
pub(crate) const UPSTREAM_ADDED: &str = "breaker.upstream.added";
pub(crate) const UPSTREAM_BAD: &str = "breaker.upstream.bad";
pub(crate) const UPSTREAM_FOUND: &str = "breaker.upstream.found";
pub(crate) const UPSTREAM_MOST_OUT: &str = "breaker.upstream.most_out";
pub(crate) const UPSTREAM_REMOVED: &str = "breaker.upstream.removed";
pub(crate) const UPSTREAM_USED: &str = "breaker.upstream.used";
pub(crate) const EXPORT_OUTCOME: &str = "breaker.telemetry.outcome";
/// Requests in flight at most.
pub(crate) const LIMIT: &str = "breaker.limit";
/// Why a message of the fleet was dropped, or a verdict was not followed.
#[cfg(feature = "fleet")]
pub(crate) const FLEET_REASON: &str = "breaker.fleet.reason";
/// Why what the brain said was not followed.
#[cfg(feature = "fleet")]
pub(crate) const FOLLOW_REASON: &str = "breaker.follow.reason";
pub(crate) const MODE_FROM: &str = "breaker.mode.from";
pub(crate) const MODE_TO: &str = "breaker.mode.to";
/// The evidence of an anomaly in nats, and the line at which it is an alarm.
pub(crate) const ANOMALY_EVIDENCE: &str = "breaker.anomaly.evidence";
pub(crate) const ANOMALY_LINE: &str = "breaker.anomaly.line";
/// The bounds of the share that an anomaly is estimated to have (Wilson, 95 %).
pub(crate) const OBSERVED_HIGH: &str = "breaker.observed.high";
pub(crate) const OBSERVED_LOW: &str = "breaker.observed.low";
/// What was observed, in the unit of the condition: a share of 1, seconds, or a count.
pub(crate) const OBSERVED: &str = "breaker.observed";
/// Seconds.
pub(crate) const OPEN_FOR: &str = "breaker.open_for";
pub(crate) const REFUSED_REASON: &str = "breaker.receiver.reason";
pub(crate) const SANDBOX_LAYER: &str = "breaker.sandbox.layer";
pub(crate) const RELOAD_RESULT: &str = "breaker.config.result";
pub(crate) const SAMPLE_FATE: &str = "breaker.feed.fate";
pub(crate) const SAMPLES: &str = "breaker.samples";
pub(crate) const SHED_ADMITTED: &str = "breaker.shedding.admitted";
pub(crate) const SHED_REJECTED: &str = "breaker.shedding.rejected";
pub(crate) const SIGNAL: &str = "breaker.telemetry.signal";
pub(crate) const THRESHOLD: &str = "breaker.threshold";
/// The name of a limit that acted, as in the configuration.
pub(crate) const LIMITED_BY: &str = "breaker.limited_by";
pub(crate) const TLS_RESULT: &str = "breaker.tls.result";
/// What a certificate is for.
pub(crate) const TLS_USE: &str = "breaker.tls.use";
/// What a task of the proxy is for.
pub(crate) const TASK_KIND: &str = "breaker.task.kind";
/// Hexadecimal ids of traces.
pub(crate) const TRACES: &str = "breaker.traces";
/// The attribute with the state before.
pub const TRANSITION_FROM: &str = "breaker.transition.from";
pub(crate) const TRANSITION_REASON: &str = "breaker.transition.reason";
/// The attribute with the state after.
pub const TRANSITION_TO: &str = "breaker.transition.to";
/// Seconds.
pub(crate) const WINDOW: &str = "breaker.window";

/// The instrumentation scope of all of them.
pub(crate) const SCOPE: &str = "breaker";
/// The source of what the proxy itself observes.
pub(crate) const SOURCE_PROXY: &str = "proxy";

/// The instrumentation scope of spans and log records, with our version.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}
