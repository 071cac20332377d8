//! Converts OTLP/JSON to the protobuf bytes of the same request, so that one parser serves both.
//!
//! Each JSON value is written as soon as it is parsed, by the tables of `schema`, without a tree of
//! either form. Fields that the protobuf parser does not use are skipped, like unknown fields. The
//! parser's limit of 128 levels bounds the nesting, and [`MAX_MESSAGE`] the size.
//!
//! **An invalid value loses only the item that contains it.** An item is an attribute, a span, a
//! data point, a metric, or the scope or resource around them. The innermost one is removed and
//! counted. Invalid JSON in the strings and numbers of real senders is repaired first (`repair`).
//!
//! `opentelemetry-proto` has serde implementations for its types. But they reject unknown fields
//! inside attributes, which a receiver must ignore by the specification, and they build the tree
//! that is to be avoided here.

mod number;
mod repair;
mod schema;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use self::schema::{Field, Kind, Message};

/// The maximum size of a request as protobuf: 64 MiB, the same as for a request that was sent as
/// protobuf.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Why a text is not an OTLP/JSON request, with line and column.
#[derive(Debug, thiserror::Error)]
#[error("invalid OTLP/JSON: {0}")]
pub struct Invalid(#[from] serde_json::Error);

/// A request as protobuf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcoded {
    /// Its bytes, without the invalid items.
    pub message: Vec<u8>,
    /// How many items were left out, not counting attributes.
    pub invalid: u64,
    /// The first problem; empty if there was none.
    pub complaint: String,
}

/// An `ExportTraceServiceRequest` as protobuf, for [`read_traces`](super::read_traces).
///
/// # Errors
///
/// [`Invalid`] if `json` is not such a request.
pub fn traces(json: &[u8]) -> Result<Transcoded, Invalid> {
    transcode(json, &schema::TRACES)
}

/// An `ExportMetricsServiceRequest` as protobuf, for [`read_metrics`](super::read_metrics).
///
/// # Errors
///
/// [`Invalid`] if `json` is not such a request.
pub fn metrics(json: &[u8]) -> Result<Transcoded, Invalid> {
    transcode(json, &schema::METRICS)
}

/// Checks that an `ExportLogsServiceRequest` is a JSON object. Logs are not read here, only passed
/// on.
///
/// # Errors
///
/// [`Invalid`] if it is not.
pub fn check_logs(json: &[u8]) -> Result<(), Invalid> {
    transcode(json, &Message(&[])).map(drop)
}

fn transcode(json: &[u8], message: &Message) -> Result<Transcoded, Invalid> {
    // Most is JSON as it comes. Only what is not is looked through a second time.
    parse(json, message).or_else(|error| match repair::repair(json) {
        Some(repaired) => parse(&repaired, message),
        None => Err(error),
    })
}

fn parse(json: &[u8], message: &Message) -> Result<Transcoded, Invalid> {
    let mut out = Output {
        bytes: Vec::with_capacity(json.len() / 2),
        ..Output::default()
    };
    let mut parser = serde_json::Deserializer::from_slice(json);
    parser.deserialize_map(Object {
        message,
        out: &mut out,
    })?;
    parser.end()?;
    Ok(Transcoded {
        message: out.bytes,
        invalid: out.invalid,
        complaint: out.complaint,
    })
}

/// What is written, and what could not be.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    /// In how many items the parser is.
    items: usize,
    /// The innermost item has a value that can't be.
    broken: bool,
    invalid: u64,
    complaint: String,
}

impl Output {
    /// A value can't be: its item will be left out. Fails where the value is in no item, so that
    /// nothing would be left.
    fn complain<E: Error>(&mut self, complaint: String) -> Result<(), E> {
        if self.items == 0 {
            return Err(E::custom(complaint));
        }
        self.broken = true;
        if self.complaint.is_empty() {
            self.complaint = complaint;
        }
        Ok(())
    }

    /// Writes an item, and takes it back if it turns out to be invalid.
    fn item<T, E>(
        &mut self,
        of: &Field,
        write: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let (start, outer) = (self.bytes.len(), std::mem::take(&mut self.broken));
        self.items += 1;
        let written = write(self)?;
        self.items -= 1;
        if std::mem::replace(&mut self.broken, outer) {
            self.bytes.truncate(start);
            // What lost an attribute, or an element of one, is not lost.
            self.invalid += u64::from(!matches!(of.name, "attributes" | "values"));
        }
        Ok(written)
    }
}

/// The fields of a message.
struct Object<'m, 'o> {
    message: &'m Message,
    out: &'o mut Output,
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Key(self.message))? {
            match field {
                Some(field) if field.repeated => map.next_value_seed(List {
                    field,
                    out: self.out,
                })?,
                Some(field) => map.next_value_seed(Value {
                    field,
                    out: self.out,
                    packed: false,
                })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Which field of a message a name means, if any.
struct Key<'m>(&'m Message);

impl<'de, 'm> DeserializeSeed<'de> for Key<'m> {
    type Value = Option<&'m Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'m> Visitor<'_> for Key<'m> {
    type Value = Option<&'m Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.0.iter().find(|field| field.name == name))
    }
}

/// The values of a repeated field.
struct List<'f, 'o> {
    field: &'f Field,
    out: &'o mut Output,
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of {}", self.field.name)
    }

    /// `null` is the same as nothing.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { field, out } = self;
        if !matches!(field.kind, Kind::Message(_)) {
            return put_embedded(field, out, |out| {
                while seq
                    .next_element_seed(Value {
                        field,
                        out,
                        packed: true,
                    })?
                    .is_some()
                {}
                Ok(())
            });
        }
        // An element that is not there, at the end, is an item of no bytes.
        while out
            .item(field, |out| {
                seq.next_element_seed(Value {
                    field,
                    out,
                    packed: false,
                })
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        skip_map(map)?;
        self.complain("an object")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.complain(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.complain(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.complain(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.complain(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.complain(format_args!("{text:?}"))
    }
}

impl List<'_, '_> {
    fn complain<E: Error>(self, found: impl fmt::Display) -> Result<(), E> {
        let name = self.field.name;
        self.out.complain(format!("{found} is no list of {name}"))
    }
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// The value of a field, or one of those in a list.
struct Value<'f, 'o> {
    field: &'f Field,
    out: &'o mut Output,
    /// Inside a packed list, where values have no tags.
    packed: bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Value<'_, '_> {
    fn tag(&mut self, wire_type: u32) {
        if !self.packed {
            put_tag(&mut self.out.bytes, self.field, wire_type);
        }
    }

    fn put<E: Error>(mut self, number: number::Number<'_>) -> Result<(), E> {
        match number.encode(self.field.kind) {
            Some(number::Encoded::Varint(value)) => {
                self.tag(VARINT);
                put_varint(&mut self.out.bytes, value);
            }
            Some(number::Encoded::Fixed64(value)) => {
                self.tag(FIXED64);
                self.out.bytes.extend_from_slice(&value.to_le_bytes());
            }
            None => return self.complain(number),
        }
        check_size(self.out)
    }

    fn put_bytes<E: Error>(mut self, bytes: &[u8]) -> Result<(), E> {
        self.tag(BYTES);
        put_varint(&mut self.out.bytes, bytes.len() as u64);
        self.out.bytes.extend_from_slice(bytes);
        check_size(self.out)
    }

    fn complain<E: Error>(self, found: impl fmt::Display) -> Result<(), E> {
        let name = self.field.name;
        self.out.complain(format!("{found} is no value of {name}"))
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value of {}", self.field.name)
    }

    /// `null` is the same as nothing.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return self.complain(value);
        }
        self.tag(VARINT);
        self.out.bytes.push(u8::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put(number::Number::Int(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(number::Number::Int(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put(number::Number::Double(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => self.put_bytes(text.as_bytes()),
            Kind::Hex => match from_hex(text) {
                Some(bytes) => self.put_bytes(&bytes),
                None => self.complain(format_args!("{text:?}")),
            },
            Kind::Base64 => match from_base64(text) {
                Some(bytes) => self.put_bytes(&bytes),
                None => self.complain(format_args!("{text:?}")),
            },
            _ => self.put(number::Number::Text(text)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(message) => put_embedded(self.field, self.out, |out| {
                Object { message, out }.visit_map(map)
            }),
            _ => {
                skip_map(map)?;
                self.complain("an object")
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.complain("a list")
    }
}

/// Writes an embedded message or packed numbers after their tag and length. The length takes four
/// bytes whatever it is, which protobuf allows, so that nothing that was written has to move.
fn put_embedded<E: Error>(
    field: &Field,
    out: &mut Output,
    write: impl FnOnce(&mut Output) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(&mut out.bytes, field, BYTES);
    let start = out.bytes.len() + LENGTH;
    out.bytes.resize(start, 0);
    write(out)?;
    check_size(out)?;
    let length = out.bytes.len() - start;
    let place = &mut out.bytes[start - LENGTH..start];
    for (at, byte) in place.iter_mut().enumerate() {
        let more = if at + 1 < LENGTH { 0x80 } else { 0 };
        *byte = (length >> (7 * at) & 0x7f) as u8 | more;
    }
    Ok(())
}

fn put_tag(out: &mut Vec<u8>, field: &Field, wire_type: u32) {
    put_varint(out, u64::from(field.number << 3 | wire_type));
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Trace and span ids, in either case. The only hex in the crate.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

/// Protobuf's JSON takes both alphabets, with and without padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
}

fn check_size<E: Error>(out: &Output) -> Result<(), E> {
    if out.bytes.len() > MAX_MESSAGE {
        return Err(E::custom("the request has more than 64 MiB as protobuf"));
    }
    Ok(())
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
/// The bytes of a length: 28 bits, more than [`MAX_MESSAGE`] needs.
const LENGTH: usize = 4;

#[cfg(test)]
mod tests;
