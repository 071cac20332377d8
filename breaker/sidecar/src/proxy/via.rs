//! How this process names itself to upstreams in `Via`, and knows by it what has come back: an
//! upstream that leads here would be asked by each request again and again, until there are no more
//! sockets.

use std::sync::LazyLock;

use http::header::VIA;
use http::{HeaderMap, HeaderValue};

use crate::message::headers::{Fields, append};
use crate::random;

/// The value for requests. Another process has another one: one sidecar may lead to another.
pub(crate) fn ourselves() -> HeaderValue {
    HeaderValue::from_static(*OURSELVES)
}

/// Adds us to those that a request has come by.
pub(crate) fn add(headers: &mut HeaderMap, fields: Fields) {
    if fields.has(Fields::VIA) {
        append(headers, VIA, &ourselves());
    } else {
        headers.insert(VIA, ourselves());
    }
}

/// Whether this process has sent a request with these fields.
pub(crate) fn has_been_here(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(VIA).iter();
    values.any(|value| {
        let text = without_comments(value.as_bytes());
        let mut hops = text.split(|byte| *byte == b',');
        hops.any(|hop| {
            let words = hop.split(u8::is_ascii_whitespace);
            let mut words = words.filter(|word| !word.is_empty());
            // The protocol, and by whom it was received.
            let by = words.next().and_then(|_| words.next());
            by.is_some_and(|by| by.eq_ignore_ascii_case(NAME.as_bytes()))
        })
    })
}

/// A value without what anybody may add in parentheses, which nest, and in which a backslash
/// escapes (RFC 9110, 5.6.5).
fn without_comments(value: &[u8]) -> Vec<u8> {
    let (mut depth, mut escaped) = (0_usize, false);
    let is_outside = |byte: &&u8| {
        let was_inside = depth > 0;
        match **byte {
            _ if escaped => escaped = false,
            b'\\' if was_inside => escaped = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        !was_inside && depth == 0
    };
    value.iter().filter(is_outside).copied().collect()
}

/// Leaked, once: a value that is counted would be shared by all workers.
static OURSELVES: LazyLock<&'static str> =
    LazyLock::new(|| format!("1.1 breaker-{:016x}", random::bits()).leak());
/// The same without the protocol.
static NAME: LazyLock<&'static str> = LazyLock::new(|| {
    OURSELVES
        .split_once(' ')
        .map_or(*OURSELVES, |(_, name)| name)
});

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;
    use crate::proxy::check::check;
    use crate::proxy::limits::Limits;

    #[test]
    fn we_come_after_earlier_hops() {
        let mut headers = HeaderMap::new();
        headers.append(VIA, HeaderValue::from_static("1.0 x"));
        headers.append(VIA, HeaderValue::from_static("1.1 y"));
        let fields = Fields::of(&headers);
        add(&mut headers, fields);
        let expected = format!("1.0 x, 1.1 y, {}", *OURSELVES);
        assert_eq!(headers[VIA], expected);
        assert_eq!(headers.get_all(VIA).iter().count(), 1);
    }

    #[test]
    fn what_has_come_back_is_not_sent_again() {
        let own = ourselves();
        let own = own.to_str().unwrap();
        for (via, is_back) in [
            (own.to_owned(), true),
            (format!("1.0 x, {own}"), true),
            (format!("{own},1.1 y"), true),
            ("1.1 breaker".to_owned(), false),
            ("1.1 breaker-0123456789abcdef".to_owned(), false),
        ] {
            let request = Request::get("/").header("host", "a").header(VIA, &via);
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let refused = check(&mut parts, &Limits::default()).map(|_| ());
            let status = refused.err().map(|(status, _)| status);
            assert_eq!(
                status,
                is_back.then_some(StatusCode::LOOP_DETECTED),
                "{via}"
            );
        }
    }
}
