//! Header fields on their way through: what ends at this hop, and what we add.
//!
//! A request's fields are looked at once, into [`Fields`]; the rest of the path acts only on what
//! is there, as most requests have nothing to strip.

use breaker_tower::is_grpc;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST, TE, TRANSFER_ENCODING,
    UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::forwarded;

/// Which fields of interest a header section has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fields(u32);

impl Fields {
    pub(crate) const CONNECTION: Self = Self(1);
    pub(crate) const UPGRADE: Self = Self(1 << 1);
    pub(crate) const EXPECT: Self = Self(1 << 2);
    pub(crate) const TE: Self = Self(1 << 3);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 4);
    pub(crate) const CONTENT_LENGTH: Self = Self(1 << 5);
    pub(crate) const COOKIES: Self = Self(1 << 6);
    pub(crate) const GRPC: Self = Self(1 << 7);
    pub(crate) const VIA: Self = Self(1 << 8);
    pub(crate) const HOST: Self = Self(1 << 9);
    pub(crate) const HOSTS: Self = Self(1 << 10);
    /// `Keep-Alive`, `Proxy-Connection`, `HTTP2-Settings`, `Proxy-Status`: removed always.
    pub(crate) const REMOVED: Self = Self(1 << 11);
    /// What an earlier hop says of the ones before it: `Forwarded`, `X-Forwarded-For` and its like.
    pub(crate) const FORWARDED: Self = Self(1 << 12);
    /// `TE` has `trailers`.
    pub(crate) const TRAILERS: Self = Self(1 << 13);
    /// A protocol switch that is passed on.
    pub(crate) const SWITCH: Self = Self(1 << 14);
    /// A deadline of the caller's takes the place of the route's timeout.
    pub(crate) const UNTIMED: Self = Self(1 << 15);
    /// Who showed which certificate, as somebody else says.
    pub(crate) const CERTIFICATE: Self = Self(1 << 16);

    /// Looks at a request's fields.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            match *name {
                HOST if fields.has(Self::HOST) => fields.add(Self::HOSTS),
                HOST => fields.add(Self::HOST),
                CONNECTION => fields.add(Self::CONNECTION),
                UPGRADE => fields.add(Self::UPGRADE),
                EXPECT => fields.add(Self::EXPECT),
                TE => {
                    fields.add(Self::TE);
                    if list(value).any(|coding| coding.eq_ignore_ascii_case("trailers")) {
                        fields.add(Self::TRAILERS);
                    }
                }
                TRANSFER_ENCODING => fields.add(Self::TRANSFER_ENCODING),
                CONTENT_LENGTH => fields.add(Self::CONTENT_LENGTH),
                COOKIE => fields.add(Self::COOKIES),
                VIA => fields.add(Self::VIA),
                FORWARDED => fields.add(Self::FORWARDED),
                http::header::CONTENT_TYPE => {
                    if is_grpc(value.as_bytes()) {
                        fields.add(Self::GRPC);
                    }
                }
                _ => match name.as_str() {
                    "keep-alive" | "proxy-connection" | "http2-settings" | "proxy-status" => {
                        fields.add(Self::REMOVED)
                    }
                    "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host"
                    | "x-forwarded-port" | "x-real-ip" => fields.add(Self::FORWARDED),
                    name if forwarded::is_certificate(name) => fields.add(Self::CERTIFICATE),
                    name if forwarded::is_look_alike(name) => fields.add(Self::FORWARDED),
                    _ => {}
                },
            }
        }
        fields
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Removes what ends at this hop from a request.
pub(crate) fn strip_request(headers: &mut HeaderMap, fields: Fields) {
    if fields.has(Fields::CONNECTION) {
        strip_listed(headers);
    }
    if fields.has(Fields::UPGRADE) && !fields.has(Fields::SWITCH) {
        headers.remove(UPGRADE);
    }
    if fields.has(Fields::EXPECT) {
        headers.remove(EXPECT);
    }
    if fields.has(Fields::TE) {
        headers.remove(TE);
    }
    if fields.has(Fields::REMOVED) {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS, PROXY_STATUS] {
            headers.remove(name);
        }
    }
    if fields.has(Fields::SWITCH) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Removes what ends at this hop from a response; returns the seconds that the upstream keeps an
/// idle connection.
pub(crate) fn strip_response(headers: &mut HeaderMap, is_switch: bool) -> Option<u64> {
    let (mut connection, mut keep_alive, mut others, mut via) = (false, false, false, false);
    let mut is_encoded = false;
    for name in headers.keys() {
        match *name {
            CONNECTION => connection = true,
            TRANSFER_ENCODING => (others, is_encoded) = (true, true),
            TE => others = true,
            UPGRADE => others |= !is_switch,
            VIA => via = true,
            _ => match name.as_str() {
                "keep-alive" => keep_alive = true,
                "proxy-connection" => others = true,
                _ => {}
            },
        }
    }
    let mut kept = None;
    if keep_alive {
        kept = headers
            .remove(KEEP_ALIVE)
            .and_then(|value| keep_alive_seconds(&value));
    }
    if connection {
        strip_listed(headers);
    }
    if others {
        for name in [TRANSFER_ENCODING, TE, PROXY_CONNECTION] {
            headers.remove(name);
        }
        if !is_switch {
            headers.remove(UPGRADE);
        }
    }
    if is_encoded {
        // It says nothing where there is a Transfer-Encoding (RFC 9112, 6.3), and would beside
        // none.
        headers.remove(CONTENT_LENGTH);
    }
    if is_switch {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if via {
        append(headers, VIA, &HeaderValue::from_static(OURSELVES));
    } else {
        headers.insert(VIA, HeaderValue::from_static(OURSELVES));
    }
    kept
}

/// Joins the cookie fields that HTTP/2 may split (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}

/// Whether a response is a stream of server-sent events, which may rest for long.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    const MEDIA_TYPE: &str = "text/event-stream";
    let value = headers.get(http::header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()?.get(..MEDIA_TYPE.len()));
    value.is_some_and(|value| value.eq_ignore_ascii_case(MEDIA_TYPE))
}

/// The elements of a comma-separated list.
pub(crate) fn list(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

/// Removes `Connection` and what it lists, but nothing that others must be able to rely on (RFC
/// 9110, 7.6.1).
pub(crate) fn strip_listed(headers: &mut HeaderMap) {
    let Entry::Occupied(entry) = headers.entry(CONNECTION) else {
        return;
    };
    if entry
        .iter()
        .all(|value| value == "keep-alive" || value == "close")
    {
        entry.remove_entry_mult();
        return;
    }
    let (_, values) = entry.remove_entry_mult();
    let values: Vec<_> = values.collect();
    for name in values.iter().flat_map(list) {
        let is_ours = name.eq_ignore_ascii_case("close") || name.eq_ignore_ascii_case("keep-alive");
        let is_kept = KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
            || name
                .get(..11)
                .is_some_and(|start| start.eq_ignore_ascii_case("x-forwarded"));
        if !is_ours && !is_kept {
            headers.remove(name);
        }
    }
}

/// Adds an element to a field that is a list.
pub(crate) fn append(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    let mut list = Vec::new();
    for value in headers.get_all(&name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(list) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(name, list);
    }
}

fn keep_alive_seconds(value: &HeaderValue) -> Option<u64> {
    list(value).find_map(|parameter| parameter.strip_prefix("timeout=")?.parse().ok())
}

/// What we call ourselves in the `Via` of responses.
const OURSELVES: &str = "1.1 breaker";

/// Fields that `Connection` does not remove, whatever it lists.
const KEPT: [&str; 15] = [
    "host",
    "authorization",
    "proxy-authorization",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "cookie",
    "forwarded",
    "via",
    "traceparent",
    "tracestate",
];

/// Fields of one connection, beside `Connection` and what it lists.
pub(crate) const OF_CONNECTIONS: [HeaderName; 5] =
    [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE, TE];

/// `Proxy-Status` of RFC 9209: who of those on the way made the answer, and why.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn stripped(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = map(fields);
        let found = Fields::of(&headers);
        strip_request(&mut headers, found);
        let mut left: Vec<_> = headers
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect();
        left.sort();
        left
    }

    #[test]
    fn what_ends_at_this_hop_is_removed() {
        let left = stripped(&[
            ("host", "a"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
            ("expect", "100-continue"),
            ("proxy-status", "breaker; error=destination_unavailable"),
            ("x-end", "1"),
        ]);
        assert_eq!(left, ["host", "x-end"]);
    }

    #[test]
    fn connection_removes_nothing_that_others_rely_on() {
        let left = stripped(&[
            ("host", "a"),
            (
                "connection",
                "Host, X-Forwarded-For, Authorization, traceparent",
            ),
            ("authorization", "b"),
            ("x-forwarded-for", "c"),
            ("traceparent", "d"),
        ]);
        assert_eq!(
            left,
            ["authorization", "host", "traceparent", "x-forwarded-for"]
        );
    }

    #[test]
    fn split_cookies_are_joined() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(
            headers.get_all("cookie").iter().collect::<Vec<_>>(),
            ["a=1; b=2"]
        );
    }

    #[test]
    fn upstreams_tell_how_long_they_keep_a_connection() {
        let mut headers = map(&[
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5, max=100"),
        ]);
        assert_eq!(strip_response(&mut headers, false), Some(5));
        assert!(!headers.contains_key("connection") && !headers.contains_key("keep-alive"));
    }
}
