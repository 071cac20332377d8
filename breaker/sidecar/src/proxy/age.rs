//! How long a client's connection may live: by the configuration, and by the client's certificate.
//! Nobody looks at a certificate again after the handshake, so a connection could outlive it.

use tokio::time::Instant;

use super::limits::Limits;
use crate::message::client::Ends;
use crate::message::limited::Limit;
use crate::random;
use crate::tls;

/// When a connection that begins now takes no more requests: what comes first.
pub(crate) fn ends(limits: &Limits, certificate: Option<&tls::Peer>) -> Option<Ends> {
    let of_age = limits.age.map(|age| Ends {
        at: Instant::now() + random::jittered(age, JITTER),
        by: Limit::MaxConnectionAge,
    });
    let of_certificate = expiry(certificate).map(|at| Ends {
        at,
        by: Limit::CertificateExpiry,
    });
    let both = of_age.into_iter().chain(of_certificate);
    both.min_by_key(|ends| ends.at)
}

/// Until when a connection is served at most, whatever is under way.
pub(crate) fn latest(limits: &Limits, certificate: Option<&tls::Peer>) -> Option<Instant> {
    expiry(certificate).map(|expiry| expiry + limits.expired)
}

fn expiry(certificate: Option<&tls::Peer>) -> Option<Instant> {
    certificate.and_then(tls::Peer::expires)
}

/// Connections that began together do not end together.
const JITTER: f64 = 0.1;
