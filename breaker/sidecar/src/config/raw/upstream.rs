//! The shape of an upstream.

use std::borrow::Cow;
use std::fmt;

use breaker_tower::breaker_core::policy::yaml::{Period, Share};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::RawUpstreamTls;
use crate::config::scalar::OrOff;

/// An upstream: a service that requests are forwarded to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Upstream")]
pub(in crate::config) struct RawUpstream {
    /// The instances of the upstream: http://host:port, https://host:port for TLS, unix:/path for a
    /// Unix socket, or h2c://host:port for HTTP/2 without TLS. A host name is one endpoint, even if
    /// it has several addresses.
    #[schemars(length(min = 1, max = 64), extend("examples" = [["http://127.0.0.1:9001"]]))]
    #[schemars(extend("x-default" = "required, unless there is discover"))]
    pub(in crate::config) endpoints: Option<Vec<String>>,
    /// The DNS name at which the instances of the upstream are looked up, instead of endpoints.
    /// Each address becomes an endpoint.
    pub(in crate::config) discover: Option<RawDiscover>,
    /// The way in which Breaker chooses an endpoint for a request, if there are two or more.
    #[schemars(extend("default" = "p2c", "examples" = ["round_robin"]))]
    pub(in crate::config) balance: Option<RawBalance>,
    /// The rules for ejecting an endpoint that is worse than the others; false to eject none.
    #[schemars(extend("x-default" = "true, with these defaults", "examples" = [false]))]
    pub(in crate::config) eject: Option<EjectChoice>,
    /// Health checks of each endpoint.
    pub(in crate::config) health: Option<RawHealth>,
    /// The number of endpoints that this sidecar uses if the upstream has more; off for all, up to
    /// 1024. Each sidecar chooses its endpoints at random, so that all sidecars together use all
    /// endpoints.
    #[schemars(extend("x-default" = "16 if there are more than 32, otherwise all"))]
    #[schemars(extend("x-range" = "1 to 1024", "examples" = [8]))]
    pub(in crate::config) subset: Option<OrOff<usize>>,
    /// TLS to the instances. It requires endpoints with https://, or discover.
    pub(in crate::config) tls: Option<RawUpstreamTls>,
    /// The protocol of the instances.
    #[schemars(extend("x-default" = "auto, or h2c for endpoints with h2c://"))]
    #[schemars(extend("examples" = ["http1"]))]
    pub(in crate::config) protocol: Option<RawProtocol>,
    /// Maximum time until a connection is established.
    #[schemars(extend("default" = "1s", "x-range" = "1ms to 1m", "examples" = ["500ms"]))]
    pub(in crate::config) connect_timeout: Option<Period>,
    /// Time after which an unused connection is closed; must be less than the idle timeout of the
    /// upstream itself. The last HTTP/2 connection of an endpoint is kept.
    #[schemars(extend("default" = "4s", "x-range" = "1ms to 1h", "examples" = ["30s"]))]
    pub(in crate::config) idle_timeout: Option<Period>,
    /// Maximum number of unused connections that are kept for each endpoint and worker.
    #[schemars(range(min = 0, max = 65536), extend("default" = 256, "examples" = [32]))]
    pub(in crate::config) max_idle: Option<usize>,
    /// A request that must not be sent twice reuses an HTTP/1.1 connection only if the connection
    /// has been unused for less than this time. Otherwise the request opens a new connection.
    #[schemars(extend("default" = "4s", "x-range" = "0s to 1h", "examples" = ["1s"]))]
    pub(in crate::config) reuse_after: Option<Period>,
    /// Time between pings on an HTTP/2 connection with open streams. If a ping gets no answer
    /// within 10 s, the connection is closed. gRPC servers end connections that are pinged more
    /// often than every 5m.
    #[schemars(extend("default" = "off", "x-range" = "10s to 1h", "examples" = ["5m"]))]
    pub(in crate::config) http2_ping: Option<OrOff<Period>>,
    /// Time after which a connection takes no further requests, ± 20 %. So if the endpoint is a
    /// load balancer, it can distribute the new connections over its present servers.
    #[schemars(extend("default" = "10m", "x-range" = "1s to 24h", "examples" = ["1m"]))]
    pub(in crate::config) max_connection_age: Option<OrOff<Period>>,
}

/// The DNS name at which the instances of an upstream are looked up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Discover")]
pub(in crate::config) struct RawDiscover {
    /// The name to look up.
    #[schemars(extend("examples" = ["pay.shop.svc"]))]
    pub(in crate::config) name: String,
    /// The port of the instances. With record srv, the records have the port.
    #[schemars(range(min = 1, max = 65535), extend("examples" = [9001]))]
    #[schemars(extend("x-default" = "required with record a"))]
    pub(in crate::config) port: Option<u32>,
    /// The records to look up.
    #[schemars(extend("default" = "a", "examples" = ["srv"]))]
    pub(in crate::config) record: Option<RawRecord>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Record")]
pub(in crate::config) enum RawRecord {
    /// A and AAAA records: each has an address.
    #[default]
    A,
    /// SRV records: each has a name, a port and a weight.
    Srv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Balance")]
pub(in crate::config) enum RawBalance {
    /// Of two endpoints chosen at random, the one with less load (latency times requests in
    /// flight).
    P2c,
    /// In turn, by weight.
    RoundRobin,
}

/// False, or how endpoints are ejected.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum EjectChoice {
    Never,
    By(RawEject),
}

/// The rules for ejecting an endpoint and for its return.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Eject")]
pub(in crate::config) struct RawEject {
    /// The largest share of the endpoints that may be ejected at the same time, rounded down. If
    /// there are two or more, one may always be ejected. If more are bad than may be ejected, all
    /// are used.
    #[schemars(extend("default" = "50%", "x-range" = "0% to 100%", "examples" = ["30%"]))]
    pub(in crate::config) max_ejected: Option<Share>,
    /// An attempt with at least this latency misses the deadline. An attempt that hangs for this
    /// time misses it, too.
    #[schemars(extend("default" = "1s", "x-range" = "10ms to 1h", "examples" = ["500ms"]))]
    pub(in crate::config) deadline: Option<Period>,
    /// The time for which an endpoint is ejected.
    pub(in crate::config) open: Option<RawEjectOpen>,
    /// The probes of an ejected endpoint before its return.
    pub(in crate::config) half_open: Option<RawEjectHalfOpen>,
    /// The growth of an endpoint's share of the requests after its return, or if the endpoint is
    /// new.
    pub(in crate::config) ramp: Option<RawEjectRamp>,
}

/// The time for which an endpoint is ejected: `for × factor^n`, capped at `max`, ± `jitter`; n
/// counts failed recoveries.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "EjectOpen")]
pub(in crate::config) struct RawEjectOpen {
    /// The duration of the first ejection.
    #[schemars(extend("default" = "5s", "x-range" = "10ms to 1h", "examples" = ["30s"]))]
    pub(in crate::config) r#for: Option<Period>,
    /// Each failed recovery multiplies the time by this.
    #[schemars(range(min = 1.0, max = 10.0), extend("default" = 2.0, "examples" = [1.5]))]
    pub(in crate::config) factor: Option<f64>,
    /// The longest time, before jitter.
    #[schemars(extend("default" = "5m", "x-range" = "open.for to 24h", "examples" = ["10m"]))]
    pub(in crate::config) max: Option<Period>,
    /// The time is made longer or shorter at random by up to this share.
    #[schemars(extend("default" = "20%", "x-range" = "0% to 100%", "examples" = ["10%"]))]
    pub(in crate::config) jitter: Option<Share>,
}

/// The probes of an ejected endpoint before its return.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "EjectHalfOpen")]
pub(in crate::config) struct RawEjectHalfOpen {
    /// The number of probes in a row that must succeed.
    #[schemars(range(min = 1, max = 1000), extend("default" = 2, "examples" = [5]))]
    pub(in crate::config) probes: Option<u32>,
    /// A probe without an answer after this time has failed.
    #[schemars(extend("default" = "5s", "x-range" = "10ms to 1h", "examples" = ["2s"]))]
    pub(in crate::config) probe_timeout: Option<Period>,
}

/// The growth of an endpoint's share of the requests.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "EjectRamp")]
pub(in crate::config) struct RawEjectRamp {
    /// The share at the start, as a part of the full share.
    #[schemars(extend("default" = "10%", "x-range" = "1% to 100%", "examples" = ["25%"]))]
    pub(in crate::config) start: Option<Share>,
    /// The time in which the share grows until it is full.
    #[schemars(extend("default" = "10s", "x-range" = "0s to 1h", "examples" = ["1m"]))]
    pub(in crate::config) r#for: Option<Period>,
}

/// Health checks of an upstream's endpoints. They pause if the upstream gets no request for five
/// minutes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Health")]
pub(in crate::config) struct RawHealth {
    /// The path of a GET that a healthy endpoint answers with 2xx.
    #[schemars(extend("x-default" = "required, unless there is grpc", "examples" = ["/healthz"]))]
    pub(in crate::config) path: Option<String>,
    /// The service that the gRPC health protocol asks for; empty for the whole server.
    #[schemars(extend("x-default" = "none: checks are by path", "examples" = ["shop.Pay"]))]
    pub(in crate::config) grpc: Option<String>,
    /// The time between checks, ± 20 %.
    #[schemars(extend("default" = "5s", "x-range" = "100ms to 1h", "examples" = ["10s"]))]
    pub(in crate::config) interval: Option<Period>,
    /// A check without an answer after this time has failed.
    #[schemars(extend("default" = "1s", "x-range" = "10ms to 1m", "examples" = ["500ms"]))]
    pub(in crate::config) timeout: Option<Period>,
    /// Failed checks in a row after which an endpoint gets no requests.
    #[schemars(range(min = 1, max = 1000), extend("default" = 3, "examples" = [2]))]
    pub(in crate::config) unhealthy: Option<u32>,
    /// Good checks in a row after which an endpoint gets requests again.
    #[schemars(range(min = 1, max = 1000), extend("default" = 2, "examples" = [1]))]
    pub(in crate::config) healthy: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Protocol")]
pub(in crate::config) enum RawProtocol {
    /// With TLS, HTTP/2 or HTTP/1.1, as the endpoint chooses by ALPN. Without TLS, HTTP/2 for gRPC
    /// requests that arrived over HTTP/2, and HTTP/1.1 for others.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with TLS.
    H2,
    /// HTTP/2 without TLS.
    H2c,
}

impl<'de> Deserialize<'de> for EjectChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EjectVisitor)
    }
}

struct EjectVisitor;

impl<'de> Visitor<'de> for EjectVisitor {
    type Value = EjectChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("false, or a mapping of fields")
    }

    fn visit_bool<E: Error>(self, ejects: bool) -> Result<EjectChoice, E> {
        match ejects {
            true => Ok(EjectChoice::By(RawEject::default())),
            false => Ok(EjectChoice::Never),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<EjectChoice, A::Error> {
        RawEject::deserialize(MapAccessDeserializer::new(fields)).map(EjectChoice::By)
    }
}

impl JsonSchema for EjectChoice {
    fn schema_name() -> Cow<'static, str> {
        "EjectChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "boolean" },
                generator.subschema_for::<RawEject>(),
            ],
        })
    }
}
