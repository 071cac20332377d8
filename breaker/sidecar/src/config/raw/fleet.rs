//! The shape of `fleet`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// A group of sidecars whose breakers share their evidence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Fleet")]
pub(in crate::config) struct RawFleet {
    /// The name of the fleet, the same in all its sidecars: 1 to 64 characters of a-z, 0-9, '.',
    /// '_' and '-'.
    #[schemars(extend("examples" = ["pay"]))]
    pub(in crate::config) name: String,
    /// The URL of the engine, the server that carries the messages of the fleet. For Redis or
    /// Valkey: redis://HOST:PORT, or rediss:// for TLS; the default port is 6379. For NATS with
    /// JetStream: nats://HOST:PORT, or tls:// for TLS; the default port is 4222. USER:PASSWORD@ may
    /// precede the host. For NATS, TOKEN@ may also precede it. For Redis with Sentinel:
    /// redis+sentinel://HOST:PORT,HOST:PORT/MASTER, where the hosts are the sentinels; their
    /// default port is 26379. For a cluster: redis+cluster://HOST:PORT,HOST:PORT, where the hosts
    /// are some of its nodes. With TLS: rediss+sentinel:// and rediss+cluster://.
    #[schemars(extend("examples" = ["redis://127.0.0.1:6379"]))]
    pub(in crate::config) engine: String,
    /// A file, relative to this one, with the key that signs the messages. The key has 32 to 4096
    /// bytes, and is the same in all sidecars of the fleet. The sidecar drops messages without a
    /// valid signature.
    #[schemars(extend("x-default" = "none: messages are not signed"))]
    #[schemars(extend("examples" = ["fleet.key"]))]
    pub(in crate::config) key_file: Option<String>,
    /// The routes whose evidence is shared: all that have an upstream, or a list of names. There
    /// are at most 200.
    #[schemars(extend("default" = "all", "examples" = [["pay"]]))]
    pub(in crate::config) routes: Option<RawFleetRoutes>,
    /// Whether an engine on another machine is allowed without TLS and without a key. Anyone who
    /// can publish messages there can open breakers.
    #[serde(default)]
    #[schemars(extend("default" = false, "examples" = [true]))]
    pub(in crate::config) allow_remote: bool,
}

/// All routes, or some.
#[derive(Clone, Debug)]
pub(in crate::config) enum RawFleetRoutes {
    /// All that have an upstream.
    All,
    /// Those with these names.
    Named(Vec<String>),
}

impl<'de> Deserialize<'de> for RawFleetRoutes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RoutesVisitor)
    }
}

struct RoutesVisitor;

impl<'de> Visitor<'de> for RoutesVisitor {
    type Value = RawFleetRoutes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all, or a list of names of routes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawFleetRoutes, E> {
        match text {
            "all" => Ok(RawFleetRoutes::All),
            _ => Err(E::custom("must be all, or a list of names of routes")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<RawFleetRoutes, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(names)).map(RawFleetRoutes::Named)
    }
}

impl JsonSchema for RawFleetRoutes {
    fn schema_name() -> Cow<'static, str> {
        "FleetRoutes".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "const": "all" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 200 },
            ],
        })
    }
}
