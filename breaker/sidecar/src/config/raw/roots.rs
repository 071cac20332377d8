//! The shape of `roots`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Whom to trust: a file or a word, or what the Workload API at a socket says.
#[derive(Clone, Debug)]
pub(in crate::config) enum RawRoots {
    Text(String),
    Heard(RawHeardRoots),
}

/// The certificates to trust, which the SPIFFE Workload API supplies for each trust domain.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "HeardRoots")]
pub(in crate::config) struct RawHeardRoots {
    /// The socket of the SPIFFE Workload API.
    #[schemars(extend("examples" = ["unix:///run/spire/agent.sock"]))]
    pub(in crate::config) spiffe: String,
}

impl<'de> Deserialize<'de> for RawRoots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RootsVisitor)
    }
}

struct RootsVisitor;

impl<'de> Visitor<'de> for RootsVisitor {
    type Value = RawRoots;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of a file, or a mapping with spiffe")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawRoots, E> {
        Ok(RawRoots::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<RawRoots, A::Error> {
        RawHeardRoots::deserialize(MapAccessDeserializer::new(fields)).map(RawRoots::Heard)
    }
}

impl JsonSchema for RawRoots {
    fn schema_name() -> Cow<'static, str> {
        "Roots".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                generator.subschema_for::<RawHeardRoots>(),
            ],
        })
    }
}
