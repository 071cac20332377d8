//! W3C Trace Context: `traceparent`, read and written here and not by an SDK, whose propagator
//! drops every flag but `sampled`. The one parser of it: for exemplars of trips, for spans, and for
//! what the upstream gets.

use std::fmt;

use breaker_core::TraceId;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The contents of `traceparent`: a trace, a span of it, and its flags. Neither id is zero if it
/// was read from a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "version 00 of the format has these fields"
)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: u128,
    /// The span of the sender.
    pub span_id: u64,
    /// All eight flags, including those that have no meaning yet.
    pub flags: u8,
}

impl TraceContext {
    /// The trace's spans are recorded.
    pub const SAMPLED: u8 = 1;
    /// The trace's id is random (Trace Context Level 2).
    pub const RANDOM: u8 = 1 << 1;

    /// Reads the context of a request. `None` if `traceparent` is missing, comes more than once, or
    /// is not valid.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(only_value(headers)?.as_bytes())
    }

    /// Parses a value of `traceparent`: version 00, and of later versions the fields of 00.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (fields, rest) = value.trim_ascii().split_at_checked(LENGTH)?;
        if [2, 35, 52].iter().any(|&dash| fields[dash] != b'-') {
            return None;
        }
        let is_whole = match hex(&fields[..2])? {
            0 => rest.is_empty(),
            INVALID_VERSION => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        let context = Self {
            trace_id: hex(&fields[3..35])?,
            span_id: hex(&fields[36..52])? as u64,
            flags: hex(&fields[53..])? as u8,
        };
        (is_whole && context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// Whether the trace's spans are recorded, as far as the caller knows.
    pub const fn is_sampled(self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// Writes the context into the headers of a request.
    pub fn write(self, headers: &mut HeaderMap) {
        let value = HeaderValue::try_from(self.to_string());
        headers.insert(TRACEPARENT, value.expect("hexadecimal digits and dashes"));
    }
}

/// A value of `traceparent`, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// The trace that a request belongs to, by its header fields.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<TraceId> {
    TraceId::new(TraceContext::of(headers)?.trace_id)
}

/// The `traceparent` of a request, unless it has several: nobody can say which one counts.
fn only_value(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (value, None) => value,
        _ => None,
    }
}

/// The number that lower-case hexadecimal digits are, 32 at most.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Of a value in version 00.
const LENGTH: usize = 55;
const INVALID_VERSION: u128 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: TraceContext = TraceContext {
        trace_id: 0x1234_5678_9012_3456_7890_1234_5678_9012,
        span_id: 0x1234_5678_9012_3456,
        flags: 1,
    };

    /// The cases of the W3C's test suite (w3c/trace-context, `test/test.py`).
    #[test]
    fn what_is_valid_is_read() {
        for value in [
            "00-12345678901234567890123456789012-1234567890123456-01",
            "cc-12345678901234567890123456789012-1234567890123456-01",
            "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            " 00-12345678901234567890123456789012-1234567890123456-01",
            "\t00-12345678901234567890123456789012-1234567890123456-01",
            "00-12345678901234567890123456789012-1234567890123456-01 ",
            "00-12345678901234567890123456789012-1234567890123456-01\t",
            "\t 00-12345678901234567890123456789012-1234567890123456-01 \t",
        ] {
            assert_eq!(
                TraceContext::parse(value.as_bytes()),
                Some(KNOWN),
                "{value:?}"
            );
        }
    }

    #[test]
    fn what_is_not_valid_is_no_context() {
        for value in [
            "",
            "00",
            "00-12345678901234567890123456789012-1234567890123456-01.",
            "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
            "ff-12345678901234567890123456789012-1234567890123456-01",
            ".0-12345678901234567890123456789012-1234567890123456-01",
            "0.-12345678901234567890123456789012-1234567890123456-01",
            "000-12345678901234567890123456789012-1234567890123456-01",
            "0000-12345678901234567890123456789012-1234567890123456-01",
            "0-12345678901234567890123456789012-1234567890123456-01",
            "00-00000000000000000000000000000000-1234567890123456-01",
            "00-.2345678901234567890123456789012-1234567890123456-01",
            "00-1234567890123456789012345678901.-1234567890123456-01",
            "00-123456789012345678901234567890123-1234567890123456-01",
            "00-1234567890123456789012345678901-1234567890123456-01",
            "00-12345678901234567890123456789012-0000000000000000-01",
            "00-12345678901234567890123456789012-.234567890123456-01",
            "00-12345678901234567890123456789012-123456789012345.-01",
            "00-12345678901234567890123456789012-12345678901234567-01",
            "00-12345678901234567890123456789012-123456789012345-01",
            "00-12345678901234567890123456789012-1234567890123456-.0",
            "00-12345678901234567890123456789012-1234567890123456-0.",
            "00-12345678901234567890123456789012-1234567890123456-001",
            "00-12345678901234567890123456789012-1234567890123456-1",
            "00-12345678901234567890123456789012-1234567890123456-0A",
            "00-ABCDEF78901234567890123456789012-1234567890123456-01",
            "00-12345678901234567890123456789012-ABCDEF7890123456-01",
            "0A-12345678901234567890123456789012-1234567890123456-01",
            "00_12345678901234567890123456789012-1234567890123456-01",
            "00-12345678901234567890123456789012_1234567890123456-01",
            "00-12345678901234567890123456789012-1234567890123456_01",
            "00-12345678901234567890123456789012-1234567890123456-\u{e9}",
        ] {
            assert_eq!(TraceContext::parse(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn every_flag_survives() {
        for flags in 0..=u8::MAX {
            let context = TraceContext { flags, ..KNOWN };
            let written = context.to_string();
            assert_eq!(written.len(), LENGTH);
            assert_eq!(TraceContext::parse(written.as_bytes()), Some(context));
        }
    }

    #[test]
    fn two_contexts_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of(&headers), None);
        KNOWN.write(&mut headers);
        assert_eq!(TraceContext::of(&headers), Some(KNOWN));
        let other = KNOWN.to_string().replace("9012-", "9011-");
        headers.append(TRACEPARENT, other.parse().unwrap());
        assert_eq!(TraceContext::of(&headers), None);
    }
}
