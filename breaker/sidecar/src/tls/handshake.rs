//! How handshakes of clients ended, on all listeners: a matter of theirs, and of no breaker.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{CertificateError, Error};

use super::failure::{Failure, Kind};

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Handshake {
    Success,
    NoCertificate,
    Expired,
    UnknownCa,
    NotAllowed,
    BadCertificate,
    Alpn,
    NotTls,
    Alert,
    Protocol,
    Closed,
    Timeout,
    Crowded,
    NoIdentity,
}

static COUNTS: [AtomicU64; Handshake::ALL.len()] =
    [const { AtomicU64::new(0) }; Handshake::ALL.len()];

impl Handshake {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 14] = [
        Self::Success,
        Self::NoCertificate,
        Self::Expired,
        Self::UnknownCa,
        Self::NotAllowed,
        Self::BadCertificate,
        Self::Alpn,
        Self::NotTls,
        Self::Alert,
        Self::Protocol,
        Self::Closed,
        Self::Timeout,
        Self::Crowded,
        Self::NoIdentity,
    ];

    /// Its word in metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NoCertificate => "no_certificate",
            Self::Expired => "expired",
            Self::UnknownCa => "unknown_ca",
            Self::NotAllowed => "not_allowed",
            Self::BadCertificate => "bad_certificate",
            Self::Alpn => "alpn",
            Self::NotTls => "not_tls",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Crowded => "crowded",
            Self::NoIdentity => "no_identity",
        }
    }

    pub(super) fn of(failure: &Failure) -> Self {
        match (failure.kind, failure.of_rustls()) {
            (_, Some(Error::NoCertificatesPresented)) => Self::NoCertificate,
            (_, Some(Error::NoApplicationProtocol)) => Self::Alpn,
            (_, Some(Error::InvalidCertificate(error))) => match error {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::UnknownIssuer => Self::UnknownCa,
                CertificateError::ApplicationVerificationFailure => Self::NotAllowed,
                _ => Self::BadCertificate,
            },
            (Kind::Alert(_), _) => Self::Alert,
            (Kind::Closed, _) => Self::Closed,
            _ => Self::Protocol,
        }
    }

    /// Counts one that ended so.
    pub(crate) fn counts(self) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many have ended so since the process began.
    pub(crate) fn count(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

/// How many handshakes of clients have ended with that word since the process began; `None` if none
/// is called so.
pub fn handshakes(word: &str) -> Option<u64> {
    let mut all = Handshake::ALL.into_iter();
    all.find(|it| it.word() == word).map(Handshake::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_in_the_list() {
        for (place, handshake) in Handshake::ALL.into_iter().enumerate() {
            assert_eq!(handshake as usize, place, "{}", handshake.word());
        }
    }
}
