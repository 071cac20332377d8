//! The shape of `drain`.

use std::borrow::Cow;
use std::fmt;

use breaker_tower::breaker_core::policy::yaml::Period;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// How the sidecar ends: a time for requests to end in, or more.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum RawDrain {
    Timeout(Period),
    Both(RawDrainTimes),
}

/// Graceful shutdown.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Drain")]
pub(in crate::config) struct RawDrainTimes {
    /// The time after SIGTERM during which connections are still accepted. During this time,
    /// /readyz returns 503.
    #[schemars(extend("default" = "3s", "x-range" = "0s to 10m", "examples" = ["5s"]))]
    pub(in crate::config) delay: Option<Period>,
    /// Maximum time that requests in flight may take to end after the delay.
    #[schemars(extend("default" = "10s", "x-range" = "0s to 1h", "examples" = ["30s"]))]
    pub(in crate::config) timeout: Option<Period>,
}

impl<'de> Deserialize<'de> for RawDrain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DrainVisitor)
    }
}

struct DrainVisitor;

impl<'de> Visitor<'de> for DrainVisitor {
    type Value = RawDrain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 10s, or a mapping of delay and timeout")
    }

    fn visit_str<E: Error>(self, time: &str) -> Result<RawDrain, E> {
        Period::parse(time)
            .map(RawDrain::Timeout)
            .map_err(E::custom)
    }

    // Numbers lack their unit, which is what is told.

    fn visit_u64<E: Error>(self, number: u64) -> Result<RawDrain, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawDrain, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<RawDrain, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<RawDrain, A::Error> {
        RawDrainTimes::deserialize(MapAccessDeserializer::new(fields)).map(RawDrain::Both)
    }
}

impl JsonSchema for RawDrain {
    fn schema_name() -> Cow<'static, str> {
        "DrainChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                generator.subschema_for::<Period>(),
                generator.subschema_for::<RawDrainTimes>(),
            ],
        })
    }
}
