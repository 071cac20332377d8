//! The shape of a configuration file. What its values mean is checked where they are used: [`super::upstream`], [`super::route`] and so on.

mod drain;
mod feed;
mod receive;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use breaker_tower::core::policy::yaml::{Period, RawPolicy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::scalar::{Address, FieldName, HeaderWanted, OrOff, Size};

pub(super) use self::drain::RawDrain;
pub(super) use self::feed::{OneOrMany, RawFeed, RawPattern, RawSpanKind, RawTest};
pub(super) use self::receive::{RawForward, RawReceive};

/// The configuration of the sidecar.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(title = "Breaker configuration", rename = "Configuration")]
pub(crate) struct RawConfig {
    /// Where clients connect to. Default 127.0.0.1:8080.
    pub(super) listen: Option<Address>,
    /// Health, metrics and breakers; beyond loopback only with a control token. Default 127.0.0.1:9900.
    pub(super) admin: Option<Address>,
    /// How operators change what breakers do, on the admin port.
    pub(super) control: Option<RawControl>,
    /// Threads, each with connections of its own, 1 to 1024. Default one for each processor.
    pub(super) workers: Option<usize>,
    /// What happens after a signal to stop: a time for requests to end in, or delay and timeout.
    pub(super) drain: Option<RawDrain>,
    /// Whether to load this file again when it, or a policy's, has changed. Default true; SIGHUP does it in any case.
    pub(super) watch: Option<bool>,
    /// Bounds on what a client may send and hold.
    pub(super) limits: Option<RawLimits>,
    /// Addresses and networks of the proxies before this one whose X-Forwarded-For, -Proto, -Host and Forwarded are passed on and added
    /// to: 10.0.0.0/8, 192.0.2.7. What others say of themselves is replaced. Default none.
    #[serde(default)]
    pub(super) trusted_proxies: Vec<String>,
    /// Files and directories with policies, relative to this file. A policy of a built-in's name replaces it.
    #[serde(default)]
    pub(super) policies: Vec<String>,
    /// A file, relative to this one, that keeps what the breakers have learned to be usual. Default none: it is learned anew after a restart.
    pub(super) state: Option<String>,
    /// Where telemetry goes, and where it comes from.
    pub(super) telemetry: Option<RawTelemetry>,
    /// The services behind the proxy, by name; they may be left out if no route has one.
    pub(super) upstreams: Option<BTreeMap<String, RawUpstream>>,
    /// Which requests go where, each with a breaker of its own. The most specific path wins.
    pub(super) routes: Vec<RawRoute>,
}

/// Bounds on what a client may send and hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Limits")]
pub(super) struct RawLimits {
    /// Connections of each worker, 1 to 1000000; further ones wait. Default 16384.
    pub(super) max_connections: Option<usize>,
    /// Streams open at once on an HTTP/2 connection, 1 to 10000. Default 250.
    pub(super) max_streams: Option<u32>,
    /// Size of a request line and its headers, 8KiB to 1MiB; more is answered 431. Default 64KiB.
    pub(super) max_header_bytes: Option<Size>,
    /// Header fields of a response, 16 to 4096; more is answered 502, by no fault of the upstream. Default 256.
    pub(super) max_response_fields: Option<usize>,
    /// Size of a response's status line and headers, 8KiB to 1MiB; more is answered 502, by no fault of the upstream. Default 64KiB.
    pub(super) max_response_header_bytes: Option<Size>,
    /// Size of a request body, or off; more is answered 413. Default off.
    pub(super) max_body_bytes: Option<OrOff<Size>>,
    /// Time from the first byte of a header section to its last, and to the first byte of a new connection, 10ms to 10m. Default 15s, and 10s for the first byte.
    pub(super) header_timeout: Option<Period>,
    /// Time between two pieces of a body, 10ms to 1h, or off. Default 60s for requests, off for responses; never for those of gRPC and
    /// text/event-stream.
    pub(super) body_idle_timeout: Option<OrOff<Period>>,
    /// Time for a whole request body, 10ms to 24h, or off. Default off.
    pub(super) body_timeout: Option<OrOff<Period>>,
    /// Time a connection is kept between requests, 10ms to 1h. Default 75s.
    pub(super) idle_timeout: Option<Period>,
    /// Time a client may take none of the response that waits for it, 10ms to 1h. Default 60s.
    pub(super) write_timeout: Option<Period>,
    /// Time for which a client that has closed its sending side is still answered, from its last byte or ours, 0s to 1h. Default 2s.
    pub(super) half_closed_timeout: Option<Period>,
    /// Time after which a tunnel (a WebSocket) is closed in which neither side says anything, 10ms to 24h, or off. Default 1h.
    pub(super) tunnel_idle_timeout: Option<OrOff<Period>>,
    /// Silence after which TCP asks clients and upstreams whether they are there, 1s to 2h, or off. Default 60s.
    pub(super) tcp_keepalive: Option<OrOff<Period>>,
    /// Whether %2F and %5C in a path are passed on instead of answered 400. Default false.
    pub(super) encoded_slash: Option<bool>,
}

/// Where telemetry goes, and where it comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Telemetry")]
pub(super) struct RawTelemetry {
    /// Metrics and events by OTLP. What is left out is taken from the OTEL_* variables.
    pub(super) export: Option<RawExport>,
    /// Where applications send their telemetry to, for the feeds of routes.
    pub(super) receive: Option<RawReceive>,
}

/// Metrics and events by OTLP. What is left out is taken from the OTEL_* variables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Export")]
pub(super) struct RawExport {
    /// The collector's URL, http or https.
    pub(super) endpoint: Option<String>,
    /// Default grpc, or http/protobuf for port 4318.
    pub(super) protocol: Option<RawExportProtocol>,
    /// Time between exports, 100ms to 1h. Default 10s.
    pub(super) interval: Option<Period>,
    /// How long an export may take, 100ms to 10m. Default 10s.
    pub(super) timeout: Option<Period>,
    /// Headers sent with each export.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Default none.
    pub(super) compression: Option<RawCompression>,
    /// A PEM file with the certificates to trust instead of the system's, relative to this file.
    pub(super) certificate: Option<String>,
    /// A PEM file with the certificate to show to the collector, relative to this file.
    pub(super) client_certificate: Option<String>,
    /// A PEM file with its key, relative to this file.
    pub(super) client_key: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ExportProtocol")]
pub(super) enum RawExportProtocol {
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Compression")]
pub(super) enum RawCompression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
}

/// How operators change what breakers do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Control")]
pub(super) struct RawControl {
    /// A file with the token that changes need, relative to this file. Without a token only programs of this machine may change anything.
    pub(super) token_file: String,
}

/// A service behind the proxy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Upstream")]
pub(super) struct RawUpstream {
    /// Its instances, taken in turn: http://host:port, or h2c://host:port for HTTP/2 without TLS; 1 to 64.
    pub(super) endpoints: Vec<String>,
    /// Default auto.
    pub(super) protocol: Option<RawProtocol>,
    /// Time for a connection to be established, 1ms to 1m. Default 1s.
    pub(super) connect_timeout: Option<Period>,
    /// Time after which an unused connection is closed, 1ms to 1h; less than the upstream's own. Default 4s.
    pub(super) idle_timeout: Option<Period>,
    /// Unused connections kept for each endpoint and worker, 0 to 65536. Default 256.
    pub(super) max_idle: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Protocol")]
pub(super) enum RawProtocol {
    /// HTTP/2 for gRPC requests that came by HTTP/2, else HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    H2c,
}

/// Which requests go where, with a breaker of their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Route")]
pub(super) struct RawRoute {
    /// The route's and its breaker's name: 1 to 64 of a-z, 0-9, '.', '_' and '-'; no other route has it.
    pub(super) name: String,
    /// Which requests; all that no other route takes when it is left out.
    pub(super) r#match: Option<RawMatch>,
    /// The name of an upstream. Left out, the proxy has no such route: its breaker is fed by telemetry alone, and others ask for its verdict.
    pub(super) upstream: Option<String>,
    /// The name of a policy, or single fields over a `base`. Default adaptive.
    pub(super) policy: Option<RawPolicyChoice>,
    /// Time from the end of the request to the head of the response, 1ms to 1h, or off. Default 15s.
    pub(super) timeout: Option<OrOff<Period>>,
    /// Deadlines that callers choose: read, passed on as what is left of them, and kept.
    pub(super) deadline: Option<RawDeadline>,
    /// What the service behind it is, such as v42: 1 to 128 characters. With another one, what was usual is learned anew.
    pub(super) version: Option<String>,
    /// Who decides at start. Default auto.
    pub(super) mode: Option<RawMode>,
    /// Requests in flight at once for each worker, 1 to 1000000; more are answered 429. Default no limit.
    pub(super) max_in_flight: Option<usize>,
    /// Telemetry of others that may open the breaker too; 1 to 16.
    pub(super) feeds: Option<Vec<RawFeed>>,
}

/// Deadlines that callers choose.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Deadline")]
pub(super) struct RawDeadline {
    /// Whether grpc-timeout of gRPC calls is read. Default true.
    pub(super) grpc: Option<bool>,
    /// A field with milliseconds, such as x-request-timeout-ms; none that HTTP, gRPC or the proxy
    /// uses. Default none.
    #[schemars(with = "Option<String>")]
    pub(super) header: Option<FieldName>,
    /// What longer ones are cut to, 1ms to 24h. Default none.
    pub(super) max: Option<Period>,
}

/// Which requests belong to a route: those that all fields fit.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Match")]
pub(super) struct RawMatch {
    /// The path: /api/pay, /users/{id} or /api/{*rest}.
    pub(super) path: Option<String>,
    /// The host without port: pay.example.com or *.example.com.
    pub(super) host: Option<String>,
    /// The methods; any when it is left out.
    pub(super) methods: Option<Vec<String>>,
    /// Headers that must be there: with this value, or with any when it is true.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, HeaderWanted>,
    /// A gRPC service, instead of path and methods.
    pub(super) grpc: Option<RawGrpc>,
}

/// A gRPC service, or one method of it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Grpc")]
pub(super) struct RawGrpc {
    /// The service with its package: bank.v1.Payments.
    pub(super) service: String,
    /// The method; any when it is left out.
    pub(super) method: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Mode")]
pub(super) enum RawMode {
    /// The policy decides.
    Auto,
    /// The policy decides and reports, and nothing is rejected.
    Shadow,
    /// Everything is rejected.
    ForcedOpen,
    /// Nothing is rejected.
    ForcedClosed,
}

/// A policy by name, or made here.
#[derive(Debug)]
pub(super) enum RawPolicyChoice {
    Named(String),
    Inline(Box<RawPolicy>),
}

impl<'de> Deserialize<'de> for RawPolicyChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PolicyChoiceVisitor)
    }
}

struct PolicyChoiceVisitor;

impl<'de> Visitor<'de> for PolicyChoiceVisitor {
    type Value = RawPolicyChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a policy, or a mapping of its fields")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<RawPolicyChoice, E> {
        Ok(RawPolicyChoice::Named(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<RawPolicyChoice, A::Error> {
        let policy = RawPolicy::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(RawPolicyChoice::Inline(Box::new(policy)))
    }
}

impl JsonSchema for RawPolicyChoice {
    fn schema_name() -> Cow<'static, str> {
        "PolicyChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "string" }, generator.subschema_for::<RawPolicy>()],
        })
    }
}
