//! Shares and times, as people write them.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

use crate::field::InvalidValue;
use crate::ratio::Ratio;

/// A share: `8%` or `0.08`. A bare `8` is an error, since it may mean either 8 or 800 per cent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a plain wrapper")]
pub struct Share(pub Ratio);

/// A time with its unit: `250ms`, `10s`, `5m`, `1h` or `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain wrapper")]
pub struct Period(pub Duration);

// === impl Share ===

impl Share {
    /// Reads `8%` or `0.08`.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let percent = text.strip_suffix('%');
        let number = percent.unwrap_or(text).trim_end();
        // Only digits and a point: what else Rust reads as a number (inf, 1e3, +8) is no share.
        let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let (true, Ok(number)) = (is_plain, number.parse::<f64>()) else {
            return Err("must be a share, such as 8% or 0.08".into());
        };
        let is_whole = percent.is_none() && !text.contains('.');
        let share = match percent {
            Some(_) => Ratio::new(number / 100.0),
            None => Ratio::new(number),
        };
        match share {
            Some(_) if is_whole && number == 1.0 => Err("must be a share: write 1% or 100%".into()),
            Some(share) => Ok(Self(share)),
            None if percent.is_none() && number <= 100.0 => {
                Err(format!("must be a share: write {number}% or {}", number / 100.0).into())
            }
            None => Err("must be 0% to 100%".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "share",
            "description": "A share: 8% or 0.08.",
            "anyOf": [
                { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*%$" },
                { "type": "number", "minimum": 0, "maximum": 1 },
            ],
        })
    }
}

// === impl Period ===

impl Period {
    /// Reads `1m30s`: whole numbers, each with a unit, the larger unit first.
    ///
    /// # Errors
    /// The rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let rule = || {
            InvalidValue::from("must be a time with its unit, such as 250ms, 10s, 5m, 1h or 1m30s")
        };
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("must have a unit: write {text}s, {text}ms or {text}m").into());
        }
        let mut millis: u64 = 0;
        let mut units = UNITS.iter();
        let mut rest = text;
        while !rest.is_empty() || rest.len() == text.len() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at(letters);
            let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(rule)?;
            let number: u64 = number.parse().map_err(|_| rule())?;
            let part = number.checked_mul(*factor);
            millis = part
                .and_then(|part| millis.checked_add(part))
                .ok_or("is too long")?;
            rest = after;
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "time",
            "description": "A time with its unit: 250ms, 10s, 5m, 1h or 1m30s.",
            "type": "string",
            "pattern": "^(?=.)([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        })
    }
}

/// Descending, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
