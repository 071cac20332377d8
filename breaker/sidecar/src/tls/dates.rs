//! When certificates are valid.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::TlsError;
use crate::clock::unix_now;

/// When a chain is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Validity {
    /// While all of a chain is valid, which must be in order.
    pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Result<Self, TlsError> {
        let mut whole = Self {
            from: i64::MIN,
            until: i64::MAX,
        };
        let mut issuer: Option<Vec<u8>> = None;
        for der in chain {
            let parsed = X509Certificate::from_der(der);
            let (_, parsed) =
                parsed.map_err(|error| TlsError::BadCertificate(error.to_string()))?;
            if issuer.is_some_and(|issuer| issuer != parsed.subject().as_raw()) {
                return Err(TlsError::Order);
            }
            issuer = Some(parsed.issuer().as_raw().to_vec());
            let validity = parsed.validity();
            whole.from = whole.from.max(validity.not_before.timestamp());
            whole.until = whole.until.min(validity.not_after.timestamp());
        }
        Ok(whole)
    }

    /// That it is valid now.
    pub(crate) fn check_now(self) -> Result<(), TlsError> {
        let now = unix_now() as i64;
        if now > self.until {
            return Err(TlsError::Expired(date(self.until)));
        }
        if now < self.from {
            return Err(TlsError::NotYet(date(self.from)));
        }
        Ok(())
    }
}

/// A time as people write it.
pub(crate) fn date(seconds: i64) -> String {
    match x509_parser::time::ASN1Time::from_timestamp(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{seconds} s since 1970"),
    }
}
