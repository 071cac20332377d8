//! What the upstream is told of where a request came from: `X-Forwarded-For`, `-Proto` and `-Host`,
//! and `Forwarded` (RFC 7239) where an earlier proxy began it.
//!
//! A proxy that is trusted is believed, and added to. What anybody else says is replaced:
//! applications build links, check addresses and decide on redirects by it.

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::client::Client;
use crate::message::headers::{Fields, append};

/// Tells the upstream that the request came from `client`.
pub(crate) fn add(headers: &mut HeaderMap, fields: Fields, client: &Client) {
    if fields.has(Fields::CERTIFICATE) {
        strip_certificates(headers);
    }
    if let Some((name, value)) = client.certificate().and_then(|peer| peer.told.as_ref()) {
        headers.insert(name.clone(), value.clone());
    }
    if !fields.has(Fields::FORWARDED) {
        return tell(headers, client);
    }
    strip_look_alikes(headers);
    if !client.is_trusted() {
        for name in [FORWARDED, X_FORWARDED_HOST, X_FORWARDED_PORT, X_REAL_IP] {
            headers.remove(name);
        }
        return tell(headers, client);
    }
    append(headers, X_FORWARDED_FOR, client.address());
    headers
        .entry(X_FORWARDED_PROTO)
        .or_insert(HeaderValue::from_static(scheme(client)));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    if headers.contains_key(FORWARDED)
        && let Some(element) = element(client.address(), scheme(client))
    {
        // After what is no list, nobody would find our element.
        if !headers.get_all(FORWARDED).iter().all(is_list) {
            headers.remove(FORWARDED);
        }
        append(headers, FORWARDED, &element);
    }
}

/// Whether a value is a list of elements (RFC 7239, 4): `for=1.1.1.1;proto=https, for="[::1]"`.
fn is_list(value: &HeaderValue) -> bool {
    let mut rest = value.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        if let [b',' | b';', after @ ..] = rest {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return true;
        }
        let Some((b"=", after)) = past_token(rest).and_then(|rest| rest.split_at_checked(1)) else {
            return false;
        };
        let Some(after) = past_quoted(after).or_else(|| past_token(after)) else {
            return false;
        };
        rest = after.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b',' | b';')) {
            return false;
        }
    }
}

fn past_token(text: &[u8]) -> Option<&[u8]> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = text.iter().take_while(|byte| is_token(byte)).count();
    (length > 0).then(|| &text[length..])
}

fn past_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', _, after @ ..] => after,
            [_, after @ ..] => after,
            [] => return None,
        };
    }
}

/// Whether a field differs from one of ours only by underscores: applications of CGI and WSGI read
/// both under one name. No proxy that is trusted writes it so.
pub(crate) fn is_look_alike(name: &str) -> bool {
    name.starts_with('x')
        && name.contains('_')
        && OURS
            .iter()
            .any(|ours| ours.as_str().len() == name.len() && *ours == *name.replace('_', "-"))
}

/// Whether a field says who showed which certificate, in any spelling that an application may read
/// so. Only we know that, so what anybody else says is removed, a trusted proxy included.
pub(crate) fn is_certificate(name: &str) -> bool {
    CERTIFICATES
        .iter()
        .any(|ours| ours.len() == name.len() && *ours == name.replace('_', "-"))
}

fn strip_certificates(headers: &mut HeaderMap) {
    let names = headers.keys().filter(|name| is_certificate(name.as_str()));
    let names: Vec<_> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// What the client speaks.
const fn scheme(client: &Client) -> &'static str {
    match client.is_secure() {
        true => "https",
        false => "http",
    }
}

fn strip_look_alikes(headers: &mut HeaderMap) {
    let look_alikes = headers.keys().filter(|name| is_look_alike(name.as_str()));
    let look_alikes: Vec<_> = look_alikes.cloned().collect();
    for name in look_alikes {
        headers.remove(name);
    }
}

/// Says what we know ourselves, whatever was said before.
fn tell(headers: &mut HeaderMap, client: &Client) {
    headers.insert(X_FORWARDED_FOR, client.address().clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme(client)));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Our element of `Forwarded`. The address of IPv6 is in brackets and quotes (RFC 7239, 6).
fn element(address: &HeaderValue, scheme: &str) -> Option<HeaderValue> {
    let address = address.to_str().ok()?;
    let element = if address.contains(':') {
        format!("for=\"[{address}]\";proto={scheme}")
    } else {
        format!("for={address};proto={scheme}")
    };
    element.try_into().ok()
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// `X-Forwarded-Client-Cert`, RFC 9440, and linkerd's.
const CERTIFICATES: [&str; 4] = [
    "x-forwarded-client-cert",
    "client-cert",
    "client-cert-chain",
    "l5d-client-id",
];

const OURS: [HeaderName; 5] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_REAL_IP,
];

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::message::Trusted;
    use crate::sockets::Peer;

    /// The fields that the upstream gets of these, from this client.
    fn told(client: &str, trusted: &str, said: &[(&'static str, &str)]) -> Vec<String> {
        let trusted: Trusted = trusted.split(' ').flat_map(str::parse).collect();
        let peer = match client.parse::<IpAddr>() {
            Ok(ip) => Peer::Tcp((ip, 1).into()),
            Err(_) => Peer::Unix,
        };
        let client = Client::new(peer, &trusted.and_by_unix(true));
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(*name, value.parse().unwrap());
        }
        let fields = Fields::of(&headers);
        add(&mut headers, fields, &client);
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut told: Vec<_> = headers.iter().map(field).collect();
        told.sort();
        told
    }

    const SAID: &[(&str, &str)] = &[
        ("host", "a"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1;proto=https"),
    ];

    #[test]
    fn what_strangers_say_is_replaced() {
        let expected = [
            "host: a",
            "x-forwarded-for: 3.3.3.3",
            "x-forwarded-host: a",
            "x-forwarded-proto: http",
        ];
        for trusted in ["", "3.3.3.4/32 10.0.0.0/8"] {
            assert_eq!(told("3.3.3.3", trusted, SAID), expected);
            assert_eq!(told("3.3.3.3", trusted, &SAID[..1]), expected);
            for one in &SAID[1..] {
                assert_eq!(
                    told("3.3.3.3", trusted, &[SAID[0], *one]),
                    expected,
                    "{one:?}"
                );
            }
            // Without a Host there is none to tell, and least of all theirs.
            let told = told("3.3.3.3", trusted, &SAID[1..]);
            assert_eq!(told, [expected[1], expected[3]]);
        }
    }

    #[test]
    fn what_is_no_list_is_replaced_whoever_says_it() {
        let ours = "for=3.3.3.3;proto=http";
        let forwarded = |said: &[&str]| {
            let said: Vec<_> = said.iter().map(|value| ("forwarded", *value)).collect();
            let told = told("3.3.3.3", "3.0.0.0/8", &said);
            told[0].strip_prefix("forwarded: ").unwrap().to_owned()
        };
        for good in [
            "for=1.1.1.1",
            "For=\"[2001:db8::1]:80\" ; proto=https;by=_x , for=unknown",
            "for=\"a\\\"b, c;d\"",
            "for=a,, for=b;",
        ] {
            assert_eq!(forwarded(&[good]), format!("{good}, {ours}"));
        }
        for broken in [
            "for=\"1.1.1.1",
            "for=\"a\\\"",
            "for=1.1.1.1 proto=https",
            "for=2001:db8::1",
            "for=",
            "=a",
            "1.1.1.1",
            "for = a",
            "for=a\"b\"",
        ] {
            assert_eq!(forwarded(&[broken]), ours, "{broken}");
            assert_eq!(forwarded(&["for=1.1.1.1", broken]), ours, "{broken}");
        }
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_added_to() {
        assert_eq!(
            told("3.3.3.3", "3.0.0.0/8", SAID),
            [
                "forwarded: for=1.1.1.1;proto=https, for=3.3.3.3;proto=http",
                "host: a",
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3",
                "x-forwarded-host: b",
                "x-forwarded-port: 443",
                "x-forwarded-proto: https",
                "x-real-ip: 1.1.1.1",
            ]
        );
        assert_eq!(
            told("2001:db8::1", "2001:db8::/32", &[("forwarded", "for=_x")]),
            [
                "forwarded: for=_x, for=\"[2001:db8::1]\";proto=http",
                "x-forwarded-for: 2001:db8::1",
                "x-forwarded-proto: http",
            ]
        );
        // By a Unix socket nobody has an address.
        assert_eq!(
            told(
                "unix",
                "",
                &[("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=_x")]
            ),
            [
                "forwarded: for=_x, for=unknown;proto=http",
                "x-forwarded-for: 1.1.1.1, unknown",
                "x-forwarded-proto: http",
            ]
        );
    }
}
