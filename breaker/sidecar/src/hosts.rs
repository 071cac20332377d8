//! Whom a request was meant for, by its own words.

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// The host and port that a request names; `None` where it names none.
pub(crate) fn named(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => headers.get(header::HOST)?.to_str().ok()?.parse().ok(),
    }
}

/// The plain host, and its port, or `usual` where it names none; `None` if its port is no port.
pub(crate) fn parts(authority: &Authority, usual: u16) -> Option<(&str, u16)> {
    // Of a port that is too large, `Authority` says nothing.
    let port = match authority.as_str().ends_with(authority.host()) {
        true => usual,
        false => authority.port_u16().filter(|port| *port != 0)?,
    };
    Some((plain(authority.host()), port))
}

/// A host without the brackets of IPv6.
pub(crate) fn plain(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether this machine calls itself so.
pub(crate) fn is_local(host: &str) -> bool {
    match plain(host).parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_a_plain_host_and_a_port() {
        let parts = |text: &str| {
            let authority: Authority = text.parse().unwrap();
            parts(&authority, 7).map(|(host, port)| format!("{host} {port}"))
        };
        assert_eq!(parts("u@a.b:80").as_deref(), Some("a.b 80"));
        assert_eq!(parts("[::1]").as_deref(), Some("::1 7"));
        for bad in ["a:0", "a:65536", "[::1]:99999"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_local() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
