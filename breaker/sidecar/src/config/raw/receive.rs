//! The shape of `telemetry.receive`.

use std::borrow::Cow;
use std::fmt;

use breaker_tower::breaker_core::policy::yaml::Period;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{RawKafka, RawReceiveTls};
use crate::config::scalar::{Address, OrOff};

/// The addresses and topics from which Breaker receives telemetry of applications, for the feeds of
/// routes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Receive")]
pub(in crate::config) struct RawReceive {
    /// The address that receives OTLP/gRPC.
    #[schemars(extend("x-default" = "127.0.0.1:4317, unless http or kafka is given"))]
    #[schemars(extend("examples" = ["127.0.0.1:4317"]))]
    pub(in crate::config) grpc: Option<Address>,
    /// The address that receives OTLP/HTTP.
    #[schemars(extend("x-default" = "127.0.0.1:4318, unless grpc or kafka is given"))]
    #[schemars(extend("examples" = ["127.0.0.1:4318"]))]
    pub(in crate::config) http: Option<Address>,
    /// Topics of Kafka from which a consumer group reads telemetry. Needs a build with the feature
    /// kafka.
    pub(in crate::config) kafka: Option<RawKafka>,
    /// TLS on both addresses. Without this section, there is no TLS.
    pub(in crate::config) tls: Option<RawReceiveTls>,
    /// The collector to which all telemetry that came to these addresses is forwarded unchanged.
    #[schemars(extend("x-default" = "none", "examples" = ["http://127.0.0.1:14317"]))]
    pub(in crate::config) forward: Option<RawForward>,
    /// Origins whose pages may send telemetry from a browser, such as https://shop.example.com.
    /// Anyone who sends telemetry can open breakers.
    #[serde(default)]
    #[schemars(extend("examples" = [["https://shop.example.com"]]))]
    pub(in crate::config) cors: Vec<String>,
    /// Time after which a sender's connection takes no more batches, ± 10 %. Over HTTP/2, the
    /// receiver then sends GOAWAY. So changes of roots and allow in tls also apply to senders that
    /// stay connected.
    #[schemars(extend("default" = "off", "x-range" = "1s to 24h", "examples" = ["1h"]))]
    pub(in crate::config) max_connection_age: Option<OrOff<Period>>,
    /// Whether addresses other than loopback are allowed. Anyone who can send telemetry there can
    /// open breakers.
    #[serde(default)]
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(in crate::config) allow_remote: bool,
}

/// A collector's URL, or one for each protocol.
#[derive(Clone, Debug)]
pub(in crate::config) enum RawForward {
    /// For OTLP/HTTP if its port is 4318, else for OTLP/gRPC.
    Url(String),
    /// For each protocol.
    Urls(RawForwardUrls),
}

/// The URLs of a collector, with the scheme http or https. At least one is required.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "ForwardUrls")]
pub(in crate::config) struct RawForwardUrls {
    /// For OTLP/gRPC.
    #[schemars(extend("x-default" = "none", "examples" = ["http://127.0.0.1:14317"]))]
    pub(in crate::config) grpc: Option<String>,
    /// For OTLP/HTTP.
    #[schemars(extend("x-default" = "none", "examples" = ["http://127.0.0.1:14318"]))]
    pub(in crate::config) http: Option<String>,
}

impl<'de> Deserialize<'de> for RawForward {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ForwardVisitor)
    }
}

struct ForwardVisitor;

impl<'de> Visitor<'de> for ForwardVisitor {
    type Value = RawForward;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, or a mapping of grpc and http to URLs")
    }

    fn visit_str<E: Error>(self, url: &str) -> Result<RawForward, E> {
        Ok(RawForward::Url(url.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<RawForward, A::Error> {
        RawForwardUrls::deserialize(MapAccessDeserializer::new(fields)).map(RawForward::Urls)
    }
}

impl JsonSchema for RawForward {
    fn schema_name() -> Cow<'static, str> {
        "Forward".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "string" }, generator.subschema_for::<RawForwardUrls>()],
        })
    }
}
