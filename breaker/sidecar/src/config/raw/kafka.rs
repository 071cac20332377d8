//! The shape of `telemetry.receive.kafka`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::OneOrMany;

/// Topics of Kafka from which a consumer group reads telemetry. Needs a build with the feature
/// kafka.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Kafka")]
pub(in crate::config) struct RawKafka {
    /// Brokers, as host or host:port. The first broker that answers names the other brokers of the
    /// cluster. Connections have no TLS.
    #[schemars(extend("x-range" = "1 to 16 entries", "examples" = [["127.0.0.1:9092"]]))]
    pub(in crate::config) brokers: Vec<String>,
    /// The consumer group: 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'. Each message is
    /// read by one member of the group.
    #[schemars(extend("examples" = ["breaker-shop"]))]
    pub(in crate::config) group: String,
    /// Topics with spans. Each message is one batch in OTLP's protobuf (otlp_proto).
    #[schemars(extend("x-default" = "otlp_spans, unless metrics is given"))]
    #[schemars(extend("x-range" = "1 to 16 entries", "examples" = ["otlp_spans"]))]
    pub(in crate::config) traces: Option<OneOrMany<String>>,
    /// Topics with metrics. Each message is one batch in OTLP's protobuf (otlp_proto).
    #[schemars(extend("x-default" = "otlp_metrics, unless traces is given"))]
    #[schemars(extend("x-range" = "1 to 16 entries", "examples" = ["otlp_metrics"]))]
    pub(in crate::config) metrics: Option<OneOrMany<String>>,
    /// The position at which reading begins if the group has committed no offset, or if the broker
    /// no longer has the message at that offset.
    #[serde(default)]
    #[schemars(extend("default" = "latest", "examples" = ["earliest"]))]
    pub(in crate::config) initial_offset: RawInitialOffset,
    /// Whether brokers on other machines are allowed. Anyone who can write to the topics, or change
    /// messages on their way, can open breakers. Only the addresses in brokers are checked: if such
    /// a broker names a broker on another machine, Breaker connects to it.
    #[serde(default)]
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(in crate::config) allow_remote: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "InitialOffset")]
pub(in crate::config) enum RawInitialOffset {
    /// At the end of the partition.
    #[default]
    Latest,
    /// At the oldest message.
    Earliest,
}
