//! The reader: what serde finds is written by the tables of `schema`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::number;
use super::output::{
    BYTES, FIXED64, Output, VARINT, check_size, put_embedded, put_tag, put_varint,
};
use super::schema::{Field, Kind, Message};

/// The fields of a message.
pub(super) struct Object<'m, 'o> {
    pub(super) message: &'m Message,
    pub(super) out: &'o mut Output,
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
