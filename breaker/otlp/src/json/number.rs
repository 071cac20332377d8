//! Numbers as JSON has them, and as protobuf does.

use std::fmt;

use super::schema::Kind;

/// A number, or a text that stands for one.
#[derive(Clone, Copy)]
pub(super) enum Number<'a> {
    Int(i128),
    Double(f64),
    Text(&'a str),
}

/// A number as it is sent.
pub(super) enum Encoded {
    Varint(u64),
    Fixed64(u64),
}

impl Number<'_> {
    /// Nothing where it is no number of that kind.
    pub(super) fn encode(&self, kind: Kind) -> Option<Encoded> {
        Some(match kind {
            Kind::Double => Encoded::Fixed64(self.double()?.to_bits()),
            Kind::Fixed64 => Encoded::Fixed64(self.int()?.try_into().ok()?),
            Kind::Uint64 => Encoded::Varint(self.int()?.try_into().ok()?),
            Kind::Uint32 => Encoded::Varint(u32::try_from(self.int()?).ok()?.into()),
            Kind::Int64 => Encoded::Varint(i64::try_from(self.int()?).ok()? as u64),
            Kind::Sint32 => {
                let value = i32::try_from(self.int()?).ok()?;
                Encoded::Varint(((value << 1) ^ (value >> 31)) as u32 as u64)
            }
            Kind::Enum(names) => {
                let value = self.name_of(names).or_else(|| self.int())?;
                Encoded::Varint(i64::from(i32::try_from(value).ok()?) as u64)
            }
            Kind::Base64 | Kind::Bool | Kind::Hex | Kind::Message(_) | Kind::Text => return None,
        })
    }

    /// The specification knows enums as numbers only; other encoders of protobuf's JSON write
    /// names.
    fn name_of(&self, names: &[&str]) -> Option<i128> {
        match self {
            Self::Text(text) => names
                .iter()
                .position(|name| name == text)
                .map(|at| at as i128),
            _ => None,
        }
    }

    fn int(&self) -> Option<i128> {
        match *self {
            Self::Int(value) => Some(value),
            // 1e9 is a whole number too.
            Self::Double(value) => (value.fract() == 0.0).then_some(value as i128),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn double(&self) -> Option<f64> {
        match *self {
            Self::Int(value) => Some(value as f64),
            Self::Double(value) => Some(value),
            Self::Text("NaN") => Some(f64::NAN),
            Self::Text("Infinity") => Some(f64::INFINITY),
            Self::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Self::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        }
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(formatter),
            Self::Double(value) => value.fmt(formatter),
            Self::Text(text) => fmt::Debug::fmt(text, formatter),
        }
    }
}
