//! How long a client's connection may live: by the configuration, and by the client's certificate.
//! Nobody looks at a certificate again after the handshake, so a connection could outlive it.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;
use crate::message::client::Ends;
use crate::message::limited::Limit;
use crate::random;
use crate::tls;

/// When a connection that begins now takes no more requests: what comes first.
pub(crate) fn ends(limits: &Limits, certificate: Option<&tls::Peer>) -> Option<Ends> {
    let of_age = limits.age.map(|age| Ends {
        at: Instant::now() + jittered(age),
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

/// ± 10 %: connections that began together do not end together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * random::unit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_within_a_tenth_and_differ() {
        let age = Duration::from_secs(100);
        let ages: Vec<_> = (0..200).map(|_| jittered(age).as_secs_f64()).collect();
        assert!(ages.iter().all(|age| (90.0..=110.0).contains(age)));
        let (least, most) = ages
            .iter()
            .fold((200.0_f64, 0.0_f64), |(least, most), age| {
                (least.min(*age), most.max(*age))
            });
        assert!(least < 95.0 && most > 105.0, "{least} to {most}");
    }
}
