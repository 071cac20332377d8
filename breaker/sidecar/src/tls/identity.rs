//! Who a certificate says that somebody is.

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::spiffe::{Pattern, SpiffeId};

/// What a leaf says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// The SPIFFE ID, if it has one.
    pub(crate) spiffe: Option<SpiffeId>,
    /// As RFC 4514 writes it, the last part first.
    pub(crate) subject: String,
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    /// Until when it is valid, in seconds since 1970.
    pub(crate) until: i64,
}

impl Named {
    /// Reads a leaf. One with a `spiffe:` URI must be an X.509-SVID (section 4 and 5): with that
    /// URI alone, no authority, and with a key that may sign handshakes.
    pub(crate) fn of(leaf: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let parsed = X509Certificate::from_der(leaf);
        let (_, leaf) = parsed.map_err(|_error| CertificateError::BadEncoding)?;
        let mut named = Self {
            subject: leaf.subject().to_string(),
            until: leaf.validity().not_after.timestamp(),
            ..Self::default()
        };
        let names = leaf.subject_alternative_name();
        let names = names.map_err(|_error| CertificateError::BadEncoding)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => named.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => named.dns.push((*dns).to_owned()),
                _ => {}
            }
        }
        let is_spiffe = |uri: &String| {
            let scheme = uri.get(..7);
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
        };
        if named.uris.iter().any(is_spiffe) {
            let [only] = &*named.uris else {
                return Err(CertificateError::ApplicationVerificationFailure);
            };
            let usage = leaf.key_usage();
            let usage = usage.map_err(|_error| CertificateError::BadEncoding)?;
            let signs = usage.is_none_or(|usage| {
                let usage = usage.value;
                usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
            });
            let id = only.parse().ok().filter(|_| signs && !leaf.is_ca());
            let id = id.ok_or(CertificateError::ApplicationVerificationFailure)?;
            named.spiffe = Some(id);
        }
        Ok(named)
    }
}

/// Whether a certificate is that of an authority, which no peer may show.
pub(super) fn is_authority(leaf: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| leaf.is_ca())
}

/// That a leaf is of somebody who may come: anybody if nobody is named, but for an X.509-SVID that
/// is none.
pub(crate) fn check(leaf: &CertificateDer<'_>, allow: &[Pattern]) -> Result<(), CertificateError> {
    let named = Named::of(leaf)?;
    let is_allowed = |id: &SpiffeId| allow.iter().any(|pattern| pattern.matches(id));
    match allow.is_empty() || named.spiffe.as_ref().is_some_and(is_allowed) {
        true => Ok(()),
        false => Err(CertificateError::ApplicationVerificationFailure),
    }
}
