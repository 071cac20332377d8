//! gRPC over HTTP: how a message says that it is gRPC, how long a call may take, how it ended.

use std::time::Duration;

use breaker_core::policy::GrpcCode;
use http::{HeaderMap, HeaderName, header};

/// Whether a `Content-Type` is gRPC: `application/grpc`, `application/grpc+proto` or
/// `application/grpc; charset=utf-8`, in upper or lower case. gRPC-Web is not.
pub fn is_grpc(content_type: &[u8]) -> bool {
    framing(content_type) == Some(Framing::Http2)
}

/// Whether a request is a gRPC call.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE);
    media_type.is_some_and(|media_type| is_grpc(media_type.as_bytes()))
}

/// Where a gRPC answer has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// In the trailers.
    Http2,
    /// In the last message of the body.
    Web,
}

pub(crate) fn framing(content_type: &[u8]) -> Option<Framing> {
    let (prefix, rest) = content_type.split_at_checked(CONTENT_TYPE.len())?;
    if !prefix.eq_ignore_ascii_case(CONTENT_TYPE) {
        return None;
    }
    match rest {
        [b'+', ..] => Some(Framing::Http2),
        [b'-', ..] => Some(Framing::Web),
        rest => match rest.trim_ascii_start() {
            [] | [b';', ..] => Some(Framing::Http2),
            _ => None,
        },
    }
}

/// The `grpc-status` of trailers, or of a head that is all there is. `None` without one; one that
/// is no number is `UNKNOWN`.
pub(crate) fn status(headers: &HeaderMap) -> Option<GrpcCode> {
    let value = headers.get(&GRPC_STATUS)?.to_str().ok();
    let number = value.and_then(|value| value.trim().parse().ok());
    Some(number.map_or(GrpcCode::UNKNOWN, GrpcCode::from_number))
}

/// A `grpc-timeout`: at most 8 digits and a unit. `None` if it is malformed. Zero is valid: no time
/// is left.
pub fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=MAX_DIGITS).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A `grpc-timeout` of `left`, rounded down to the finest unit that needs at most 8 digits.
pub fn format_grpc_timeout(left: Duration) -> String {
    let seconds = u128::from(left.as_secs());
    let (number, unit) = [
        (left.as_nanos(), 'n'),
        (left.as_micros(), 'u'),
        (left.as_millis(), 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
        (seconds / 3600, 'H'),
    ]
    .into_iter()
    .find(|(number, _)| *number < LIMIT)
    .unwrap_or((LIMIT - 1, 'H'));
    format!("{number}{unit}")
}

/// How long a call may take at most.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// When a server wants to be called again, in milliseconds.
pub(crate) const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

const CONTENT_TYPE: &[u8] = b"application/grpc";
const MAX_DIGITS: usize = 8;
/// The least number of more than 8 digits.
const LIMIT: u128 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_media_type_in_whatever_case() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/GRPC", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc ; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcx", false),
            ("application/grpc x", false),
            ("application/grp", false),
            ("text/application/grpc", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_timeout_is_at_most_8_digits_and_a_unit() {
        for (value, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("5S", Some(Duration::from_secs(5))),
            ("30m", Some(Duration::from_millis(30))),
            ("7u", Some(Duration::from_micros(7))),
            ("9n", Some(Duration::from_nanos(9))),
            ("0S", Some(Duration::ZERO)),
            ("00000001S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("99999999999H", None),
            ("000000001S", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1 S", None),
            ("1x", None),
            ("1s", None),
            ("1", None),
            ("S", None),
            ("", None),
            ("\u{661}S", None),
        ] {
            assert_eq!(parse_grpc_timeout(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn what_is_left_is_rounded_down_and_readable() {
        for (left, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_millis(99_999), "99999000u"),
            (Duration::from_micros(100_000_999), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(6_000_000_000), "1666666H"),
            (Duration::MAX, "99999999H"),
        ] {
            let written = format_grpc_timeout(left);
            assert_eq!(written, expected);
            let read = parse_grpc_timeout(written.as_bytes()).unwrap();
            assert!(read <= left, "{read:?} of {left:?}");
        }
    }

    #[test]
    fn a_status_that_is_no_number_is_unknown() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_STATUS, http::HeaderValue::from_static(value));
            status(&headers)
        };
        assert_eq!(status(&HeaderMap::new()), None);
        assert_eq!(of("4"), Some(GrpcCode::DEADLINE_EXCEEDED));
        assert_eq!(of("x"), Some(GrpcCode::UNKNOWN));
    }
}
