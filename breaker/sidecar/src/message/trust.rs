//! The proxies before us whose word on where a request came from is taken.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// Networks of proxies. Default none: what anybody else says of itself is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted(Arc<[IpNet]>);

impl Trusted {
    /// Whether a peer is such a proxy.
    pub fn has(&self, peer: IpAddr) -> bool {
        // A socket for both families tells IPv4 as a part of IPv6.
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }
}

impl FromIterator<IpNet> for Trusted {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(trusted.has(peer.parse().unwrap()), expected, "{peer}");
        }
        assert!(!Trusted::default().has("127.0.0.1".parse().unwrap()));
    }
}
