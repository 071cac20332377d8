//! The shape of a route: what it matches, and its policy.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use breaker_tower::breaker_core::policy::yaml::{Period, RawPolicy};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::{OneOrMany, RawFallback, RawFeed, RawRetry};
use crate::config::scalar::{FieldName, HeaderWanted, OrOff};

/// A route: the requests that it matches, their upstream, and its breaker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Route")]
pub(in crate::config) struct RawRoute {
    /// The name of the route and its breaker, unique among routes: 1 to 64 characters of a-z, 0-9,
    /// '.', '_' and '-'.
    #[schemars(extend("examples" = ["pay"]))]
    pub(in crate::config) name: String,
    /// The requests that the route matches. Without this section, the route matches all requests
    /// that match no other route.
    pub(in crate::config) r#match: Option<RawMatch>,
    /// The name of an upstream. Without it, the proxy does not use the route. Its breaker then
    /// judges only received telemetry, and other proxies can ask for its verdict.
    #[schemars(extend("x-default" = "none: the proxy does not use the route"))]
    #[schemars(extend("examples" = ["pay"]))]
    pub(in crate::config) upstream: Option<String>,
    /// The name of a policy, or fields that override those of a `base`.
    #[schemars(extend("default" = "adaptive", "examples" = ["sensitive"]))]
    pub(in crate::config) policy: Option<RawPolicyChoice>,
    /// Time from the end of the request to the head of the response.
    #[schemars(extend("x-default" = "15s, or a gRPC call's own deadline"))]
    #[schemars(extend("x-range" = "1ms to 1h"))]
    #[schemars(extend("examples" = ["2s"]))]
    pub(in crate::config) timeout: Option<OrOff<Period>>,
    /// The rules for retries.
    pub(in crate::config) retry: Option<RawRetry>,
    /// The answer to requests that the breaker rejects.
    pub(in crate::config) fallback: Option<RawFallback>,
    /// Deadlines of callers. The proxy enforces them, and passes on the time that is left.
    pub(in crate::config) deadline: Option<RawDeadline>,
    /// The version of the service behind the route, such as v42: 1 to 128 characters. If it
    /// changes, the baselines are discarded.
    #[schemars(extend("x-default" = "none", "examples" = ["v42"]))]
    pub(in crate::config) version: Option<String>,
    /// The mode at startup.
    #[schemars(extend("default" = "auto", "examples" = ["shadow"]))]
    pub(in crate::config) mode: Option<RawMode>,
    /// Maximum number of concurrent requests for each worker; further ones get 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[schemars(extend("x-default" = "no limit", "examples" = [100]))]
    pub(in crate::config) max_in_flight: Option<usize>,
    /// Received telemetry that may open the breaker too.
    #[schemars(length(min = 1, max = 16))]
    pub(in crate::config) feeds: Option<Vec<RawFeed>>,
}

/// Deadlines of callers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Deadline")]
pub(in crate::config) struct RawDeadline {
    /// Whether the field grpc-timeout of gRPC calls is read as a deadline.
    #[schemars(extend("default" = true, "examples" = [false]))]
    pub(in crate::config) grpc: Option<bool>,
    /// The name of a header field that has the deadline in milliseconds, such as
    /// x-request-timeout-ms. The name of a field that HTTP, gRPC or the proxy uses is an error.
    #[schemars(with = "Option<String>")]
    #[schemars(extend("x-default" = "none", "examples" = ["x-request-timeout-ms"]))]
    pub(in crate::config) header: Option<FieldName>,
    /// The longest deadline; a longer one is shortened to this.
    #[schemars(extend("x-default" = "none", "x-range" = "1ms to 24h", "examples" = ["30s"]))]
    pub(in crate::config) max: Option<Period>,
}

/// The requests that belong to a route. A request must match all fields.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Match")]
pub(in crate::config) struct RawMatch {
    /// The path, or a list of paths: /api/pay, /users/{id}, or /api/{*rest} for all below /api. A
    /// slash at the end makes no difference.
    #[schemars(extend("x-default" = "any", "examples" = [["/api/{*rest}", "/pay"]]))]
    pub(in crate::config) path: Option<OneOrMany<String>>,
    /// The host without port: pay.example.com or *.example.com.
    #[schemars(extend("x-default" = "any", "examples" = ["*.example.com"]))]
    pub(in crate::config) host: Option<String>,
    /// The methods.
    #[schemars(extend("x-default" = "any", "examples" = [["GET", "HEAD"]]))]
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Headers that must be present: each with the given value, or with any value if true is given.
    #[serde(default)]
    #[schemars(extend("x-default" = "any", "examples" = [{"x-canary": true}]))]
    pub(in crate::config) headers: BTreeMap<String, HeaderWanted>,
    /// The SPIFFE ID in the client's certificate. In the path, * stands for one segment, and a
    /// final ** for the rest.
    #[schemars(extend("x-default" = "any"))]
    #[schemars(extend("examples" = ["spiffe://example.org/ns/*/sa/checkout"]))]
    pub(in crate::config) peer: Option<String>,
    /// A gRPC service, instead of path and methods.
    pub(in crate::config) grpc: Option<RawGrpc>,
}

/// A gRPC service, or one method of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Grpc")]
pub(in crate::config) struct RawGrpc {
    /// The service with its package: bank.v1.Payments.
    #[schemars(extend("examples" = ["bank.v1.Payments"]))]
    pub(in crate::config) service: String,
    /// The method.
    #[schemars(extend("x-default" = "any", "examples" = ["Transfer"]))]
    pub(in crate::config) method: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Mode")]
pub(in crate::config) enum RawMode {
    /// The policy decides.
    Auto,
    /// The policy decides and reports, but nothing is rejected.
    Shadow,
    /// Everything is rejected.
    ForcedOpen,
    /// Nothing is rejected.
    ForcedClosed,
}

/// A policy by name, or made here.
#[derive(Debug)]
pub(in crate::config) enum RawPolicyChoice {
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
