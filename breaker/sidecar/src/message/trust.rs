//! The proxies before us whose word on where a request came from is taken.

use std::sync::Arc;

use ipnet::IpNet;

use crate::sockets::Peer;

/// Networks of proxies. Default none: what anybody else says of itself is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Arc<[IpNet]>,
    by_unix: bool,
}

impl Trusted {
    /// Those of the networks, and of a Unix socket whoever may use it.
    #[must_use]
    pub fn and_by_unix(self, by_unix: bool) -> Self {
        Self { by_unix, ..self }
    }

    /// Whether a peer is such a proxy.
    pub fn has(&self, peer: Peer) -> bool {
        match peer.ip() {
            Some(ip) => self.networks.iter().any(|network| network.contains(&ip)),
            None => self.by_unix,
        }
    }
}

impl FromIterator<IpNet> for Trusted {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self {
            networks: networks.into_iter().collect(),
            by_unix: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn address(text: &str) -> Peer {
        Peer::Tcp((text.parse::<IpAddr>().unwrap(), 1).into())
    }

    #[test]
    fn a_peer_is_trusted_by_its_network() {
        let networks = ["10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32"];
        let trusted: Trusted = networks.iter().map(|text| text.parse().unwrap()).collect();
        for (peer, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::1", false),
        ] {
            assert_eq!(trusted.has(address(peer)), expected, "{peer}");
        }
        assert!(!Trusted::default().has(address("127.0.0.1")));
        assert!(!trusted.has(Peer::Unix) && trusted.and_by_unix(true).has(Peer::Unix));
    }
}
