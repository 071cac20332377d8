//! `Proxy-Status` (RFC 9209): what intermediaries say of an answer, a list of structured fields
//! (RFC 8941).

use breaker_core::Attribution;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whose doing an answer is that an intermediary made: one that holds its upstream for unavailable
/// or as busy as it may be, or one to which the request has come back. `None` if no intermediary
/// says either.
pub(crate) fn caused_by(headers: &HeaderMap) -> Option<Attribution> {
    // Nearly always there is none.
    headers.get(&PROXY_STATUS)?;
    let values = headers.get_all(&PROXY_STATUS).into_iter();
    let mut parameters = values.flat_map(|value| parameters(value.as_bytes()));
    parameters.find_map(|parameter| match parameter {
        (b"error", b"destination_unavailable" | b"connection_limit_reached") => {
            Some(Attribution::InnerBreaker)
        }
        // Of a circle of proxies the upstream is no part.
        (b"error", b"proxy_loop_detected") => Some(Attribution::Proxy),
        _ => None,
    })
}

/// Says in `headers` that an answer comes from here, and why.
pub(crate) fn mark(headers: &mut HeaderMap, error: &str, details: &str) {
    if let Some(value) = proxy_status(error, details) {
        headers.insert(&PROXY_STATUS, value);
    }
}

/// A value of `Proxy-Status` (RFC 9209), by which other breakers see that an answer comes from a
/// breaker, and why: `breaker; error=…; details="…"`. In `details`, what a string of structured
/// fields can't have becomes `?`. `None` if `error` has characters that no header may have.
pub fn proxy_status(error: &str, details: &str) -> Option<HeaderValue> {
    let mut value = format!("breaker; error={error}; details=\"");
    for char in details.chars() {
        match char {
            '"' | '\\' => value.extend(['\\', char]),
            ' '..='~' => value.push(char),
            '≥' => value.push_str(">="),
            _ => value.push('?'),
        }
    }
    value.push('"');
    HeaderValue::from_str(&value).ok()
}

/// The parameters of all members, as they are written. In strings, of which a member's name may be
/// one, nothing separates: `breaker; details="a; error=x"` has one parameter.
fn parameters(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(value, b',').flat_map(|member| {
        pieces(member, b';').skip(1).map(|parameter| {
            let end = parameter.iter().position(|byte| *byte == b'=');
            let (name, value) = parameter.split_at(end.unwrap_or(parameter.len()));
            let value = value.get(1..).unwrap_or_default();
            (name.trim_ascii(), value.trim_ascii())
        })
    })
}

/// The parts of `text` between `separator`s that are in no string.
fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return *byte == separator && !quoted,
            }
            false
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_parameter_of_a_member_is_an_error() {
        for (value, expected) in [
            ("inner; error=destination_unavailable", true),
            (
                r#"inner;error=connection_limit_reached; details="shedding""#,
                true,
            ),
            ("cdn; error=dns_timeout", false),
            (
                "cdn; fwd=uri-miss, inner; error=destination_unavailable",
                true,
            ),
            (r#""a, b; c"; error=destination_unavailable"#, true),
            // Not a parameter, but text in one.
            (
                r#"cdn; error=dns_error; details="x; error=destination_unavailable""#,
                false,
            ),
            (
                r#"cdn; details="x, y; error=destination_unavailable""#,
                false,
            ),
            (
                r#"cdn; details="a \" ; error=destination_unavailable""#,
                false,
            ),
            (
                r#"cdn; details="a \\"; error=destination_unavailable"#,
                true,
            ),
            // A name of its own, and a string.
            ("error=destination_unavailable", false),
            ("cdn; next-error=destination_unavailable", false),
            (r#"cdn; error="destination_unavailable""#, false),
            // Never closed.
            (r#"cdn; details="; error=destination_unavailable"#, false),
            ("", false),
            (";", false),
            (",;=,", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(&PROXY_STATUS, value.parse().unwrap());
            let found = caused_by(&headers) == Some(Attribution::InnerBreaker);
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn fields_may_be_repeated() {
        let mut headers = HeaderMap::new();
        for value in ["cdn; hit", "inner; error=destination_unavailable"] {
            headers.append(&PROXY_STATUS, value.parse().unwrap());
        }
        assert_eq!(caused_by(&headers), Some(Attribution::InnerBreaker));
    }

    #[test]
    fn what_is_marked_is_found_whatever_the_details_are() {
        let mut headers = HeaderMap::new();
        let details = "100% ≥ 8%; \"a\\b\"\r\nc, error=x";
        mark(&mut headers, "destination_unavailable", details);
        assert_eq!(caused_by(&headers), Some(Attribution::InnerBreaker));
        assert_eq!(
            headers[&PROXY_STATUS],
            "breaker; error=destination_unavailable; \
             details=\"100% >= 8%; \\\"a\\\\b\\\"??c, error=x\""
        );
    }

    #[test]
    fn a_loop_is_the_proxys_doing() {
        let mut headers = HeaderMap::new();
        let value = "breaker; error=proxy_loop_detected; details=\"x\"";
        headers.append(&PROXY_STATUS, value.parse().unwrap());
        assert_eq!(caused_by(&headers), Some(Attribution::Proxy));
    }
}
