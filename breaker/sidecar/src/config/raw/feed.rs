//! The shape of `feeds`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use breaker_tower::breaker_core::policy::yaml::Period;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::RawPolicyChoice;

/// Received telemetry that may open the route's breaker too: spans, or the points of a histogram.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Feed")]
pub(in crate::config) struct RawFeed {
    /// The name of the feed in reasons and metrics, unique within the route: 1 to 64 characters of
    /// a-z, 0-9, '.', '_' and '-'. The name proxy is not allowed.
    #[schemars(extend("examples" = ["ledger-db"]))]
    pub(in crate::config) name: String,
    /// The service that sends the telemetry: the attribute service.name of its resource.
    #[schemars(extend("x-default" = "any", "examples" = ["checkout"]))]
    pub(in crate::config) service: Option<RawPattern>,
    /// The kind of spans, or a list of kinds.
    #[schemars(extend("x-default" = "client and server, unless metric is given"))]
    #[schemars(extend("examples" = ["client"]))]
    pub(in crate::config) span: Option<OneOrMany<RawSpanKind>>,
    /// The name of a duration histogram to read instead of spans; * matches any characters and ?
    /// matches one.
    #[schemars(extend("x-default" = "none: spans", "examples" = ["http.client.*.duration"]))]
    pub(in crate::config) metric: Option<String>,
    /// The name of the instrumentation scope, usually a library.
    #[schemars(extend("x-default" = "any", "examples" = [{"prefix": "io.opentelemetry.jdbc"}]))]
    pub(in crate::config) scope: Option<RawPattern>,
    /// Attributes of the resource.
    #[serde(default)]
    #[schemars(extend("x-default" = "any", "examples" = [{"deployment.environment.name": "production"}]))]
    pub(in crate::config) resource: BTreeMap<String, RawPattern>,
    /// Attributes of the spans or points.
    #[serde(default)]
    #[schemars(extend("x-default" = "any", "examples" = [{"db.system.name": ["postgresql", "mysql"]}]))]
    pub(in crate::config) r#match: BTreeMap<String, RawPattern>,
    /// The policy that says which requests of this feed are failed or slow, and when they trip the
    /// breaker: the name of a policy, or fields that override those of a `base`. Recovery follows
    /// the route's policy.
    #[schemars(extend("x-default" = "the route's", "examples" = ["sensitive"]))]
    pub(in crate::config) policy: Option<RawPolicyChoice>,
    /// If a feed has tripped the breaker and then sends nothing for this time, it no longer
    /// prevents recovery.
    #[serde(alias = "quiet")]
    #[schemars(extend("default" = "30s", "x-range" = "1s to 1h", "examples" = ["2m"]))]
    pub(in crate::config) silence_timeout: Option<Period>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SpanKind")]
pub(in crate::config) enum RawSpanKind {
    /// Spans of the service that calls.
    Client,
    /// Spans of the service that answers.
    Server,
    /// Spans of the service that takes messages out of a queue.
    Consumer,
    /// Spans of the service that puts messages into a queue.
    Producer,
    /// Spans within a service.
    Internal,
}

/// One value, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct OneOrMany<T>(pub(in crate::config) Vec<T>);

/// What an attribute must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum RawPattern {
    /// This value.
    Equal(String),
    /// One of these.
    AnyOf(Vec<Self>),
    /// What a test says.
    Test(Box<RawTest>),
}

/// What an attribute must be, if not a certain value. One field of these.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping of fields")]
#[schemars(rename = "Test")]
pub(in crate::config) struct RawTest {
    /// The prefix of the value.
    #[schemars(extend("x-default" = "none", "examples" = ["/api/"]))]
    pub(in crate::config) prefix: Option<String>,
    /// The form of the value; * stands for any characters and ? for one.
    #[schemars(extend("x-default" = "none", "examples" = ["orders-*"]))]
    pub(in crate::config) glob: Option<String>,
    /// Whether it is there, with any value.
    #[schemars(extend("x-default" = "none", "examples" = [true]))]
    pub(in crate::config) present: Option<bool>,
    /// The value that the attribute must not have. An absent attribute has no value.
    #[schemars(extend("x-default" = "none", "examples" = ["health"]))]
    pub(in crate::config) not: Option<RawPattern>,
}

// === OneOrMany ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or a list")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        Ok(OneOrMany(vec![T::deserialize(StrDeserializer::new(word))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrList", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

// === RawPattern ===

impl<'de> Deserialize<'de> for RawPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

struct PatternVisitor;

impl<'de> Visitor<'de> for PatternVisitor {
    type Value = RawPattern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list of values, or one of prefix, glob, present and not")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawPattern, E> {
        Ok(RawPattern::Equal(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawPattern, E> {
        Ok(RawPattern::Equal(value.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawPattern, E> {
        Ok(RawPattern::Equal(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<RawPattern, E> {
        Ok(RawPattern::Equal(number.to_string()))
    }

    /// YAML has made 1.1 of a version 1.10 by now, which would then never match.
    fn visit_f64<E: Error>(self, _: f64) -> Result<RawPattern, E> {
        Err(E::custom(
            "must be quoted: \"1.10\" is the text and the number",
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawPattern, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawPattern::AnyOf)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<RawPattern, A::Error> {
        let test = RawTest::deserialize(MapAccessDeserializer::new(fields))?;
        Ok(RawPattern::Test(Box::new(test)))
    }
}

impl JsonSchema for RawPattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "pattern",
            "description": "The value that an attribute must have: a value, a list of values, or \
                            one of the tests prefix, glob, present and not.",
            "anyOf": [
                { "type": ["string", "integer", "boolean"] },
                { "type": "array", "items": generator.subschema_for::<Self>(), "minItems": 1 },
                generator.subschema_for::<RawTest>(),
            ],
        })
    }
}
