//! HTTP statuses and gRPC codes, as `failure` lists them.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

use super::explain::nearest;
use crate::field::InvalidValue;
use crate::policy::GrpcCode;

/// HTTP statuses: `429` or `500-599`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statuses(pub(super) RangeInclusive<u16>);

/// A gRPC code by name: `UNAVAILABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GrpcName(pub(super) GrpcCode);

/// Either of them: a number or range is HTTP, a name is gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Http(Statuses),
    Grpc(GrpcName),
}

// === impl Statuses ===

impl Statuses {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.trim().parse().ok();
        let (Some(first), Some(last)) = (status(first), status(last)) else {
            return Err(STATUS_RULE.into());
        };
        if first < 100 || last > 599 || first > last {
            return Err(STATUS_RULE.into());
        }
        Ok(Self(first..=last))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "status",
            "description": "An HTTP status or a range: 429 or 500-599.",
            "anyOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "string", "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$" },
            ],
        })
    }
}

// === impl GrpcName ===

impl GrpcName {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if let Ok(code) = text.parse() {
            return Ok(Self(code));
        }
        Err(match nearest(text, &names()) {
            Some(near) => format!("must be a gRPC code; did you mean {near}?").into(),
            None => "must be a gRPC code, such as UNAVAILABLE".into(),
        })
    }
}

impl<'de> Deserialize<'de> for GrpcName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl JsonSchema for GrpcName {
    fn schema_name() -> Cow<'static, str> {
        "GrpcCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "gRPC code",
            "description": "A gRPC code by its name.",
            "enum": names(),
        })
    }
}

// === impl Code ===

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let code = if text.starts_with(|c: char| c.is_ascii_digit()) {
            Statuses::parse(&text).map(Self::Http)
        } else {
            GrpcName::parse(&text).map(Self::Grpc)
        };
        code.map_err(D::Error::custom)
    }
}

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            generator.subschema_for::<Statuses>(),
            generator.subschema_for::<GrpcName>(),
        ] })
    }
}

fn names() -> Vec<&'static str> {
    (0..=16)
        .map(|number| GrpcCode::from_number(number).name())
        .collect()
}

const STATUS_RULE: &str = "must be an HTTP status, 100 to 599, or a range such as 500-599";
