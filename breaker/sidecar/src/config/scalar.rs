//! Single values, as people write them.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use breaker_tower::breaker_core::InvalidValue;
use breaker_tower::breaker_core::policy::yaml::Period;
use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::sockets::{ListenAddress, SCHEME};

/// An address with a port: `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub(super) SocketAddr);

/// A size in bytes: `65536` or `64KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub(crate) u64);

impl Address {
    /// As the system takes it.
    pub const fn socket(self) -> SocketAddr {
        self.0
    }
}

impl Size {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A value, or `off` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrOff<T>(pub(crate) Option<T>);

/// One word, or a number as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

/// A header's value, or `true` for any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeaderWanted {
    Any,
    Value(String),
}

/// A header's name, which is a text: what YAML reads as a number or a truth value is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName(pub(crate) HeaderName);

/// A value that is written as one word.
pub(crate) trait Scalar: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    fn parse(text: &str) -> Result<Self, InvalidValue>;
}

// === what can be read ===

impl Scalar for Address {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        let address = match text.strip_prefix("localhost:") {
            Some(port) => port
                .parse()
                .ok()
                .map(|port| (Ipv4Addr::LOCALHOST, port).into()),
            None => text.parse().ok(),
        };
        address
            .map(Self)
            .ok_or_else(|| "must be an address with a port, such as 127.0.0.1:8080".into())
    }
}

impl Scalar for Word {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        Ok(Self(text.to_owned()))
    }
}

impl Scalar for usize {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        text.parse().map_err(|_| "must be a whole number".into())
    }
}

impl Scalar for ListenAddress {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if text.starts_with(SCHEME) {
            return text.parse().map(Self::Unix).map_err(InvalidValue::from);
        }
        let Address(address) = Address::parse(text)
            .map_err(|rule| format!("{rule}, or a socket such as unix:/run/breaker.sock"))?;
        Ok(Self::Tcp(address))
    }
}

impl Scalar for Size {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let size = unit.and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes));
        size.map(Self)
            .ok_or_else(|| "must be a size, such as 65536, 64KiB or 10MiB".into())
    }
}

impl Scalar for Period {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl<T: Scalar> Scalar for OrOff<T> {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        if text == "off" {
            return Ok(Self(None));
        }
        let value = T::parse(text).map_err(|rule| format!("{rule}, or off"))?;
        Ok(Self(Some(value)))
    }
}

impl Scalar for HeaderWanted {
    fn parse(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "true" => Ok(Self::Any),
            "false" => Err("must be a value, or true for any".into()),
            value => Ok(Self::Value(value.to_owned())),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }
}

impl FromStr for ListenAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Scalar::parse(text)
    }
}

impl From<Address> for ListenAddress {
    fn from(Address(address): Address) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for Size {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Scalar::parse(text)
    }
}

// === from YAML ===

fn scalar<'de, T: Scalar, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

impl<'de, T: Scalar> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

impl<'de> Deserialize<'de> for HeaderWanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer)
    }
}

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldNameVisitor)
    }
}

struct FieldNameVisitor;

impl Visitor<'_> for FieldNameVisitor {
    type Value = FieldName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a header")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<FieldName, E> {
        let read = HeaderName::from_bytes(name.as_bytes());
        read.map(FieldName)
            .map_err(|_| E::custom("must be the name of a header"))
    }
}

// === in the JSON Schema ===

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "address",
            "description": "An address with a port: 127.0.0.1:8080, [::1]:8080 or localhost:8080.",
            "type": "string",
            "examples": ["127.0.0.1:8080"],
        })
    }
}

impl JsonSchema for ListenAddress {
    fn schema_name() -> Cow<'static, str> {
        "ListenAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "address or socket",
            "description": "An address with a port (127.0.0.1:8080, [::1]:8080 or localhost:8080), \
                            or a Unix socket (unix:/run/breaker.sock). If users other than its \
                            owner and group may use the socket, add a mode: \
                            unix:/run/breaker.sock?mode=0666.",
            "type": "string",
            "examples": ["127.0.0.1:8080", "unix:/run/breaker.sock"],
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "size",
            "description": "A size: a number of bytes, or one with a unit, 64KiB or 10MB.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)?$" },
            ],
        })
    }
}

impl<T: JsonSchema> JsonSchema for OrOff<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}OrOff", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "off" }, generator.subschema_for::<T>()] })
    }
}

impl JsonSchema for HeaderWanted {
    fn schema_name() -> Cow<'static, str> {
        "HeaderWanted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "header value",
            "description": "A header's value, or true for any.",
            "anyOf": [{ "const": true }, { "type": "string" }, { "type": "number" }],
        })
    }
}

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];
