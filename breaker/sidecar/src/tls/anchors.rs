//! The roots that the chains of peers must lead to.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, RootCertStore};

use super::identity::Named;
use super::spiffe::TrustDomain;

/// Roots.
#[derive(Clone, Debug)]
pub(super) enum Anchors {
    /// These, whoever the peer is.
    All(Arc<RootCertStore>),
    /// Those of the trust domain that the peer's SPIFFE ID names: what is trusted for one domain
    /// is not for another.
    ByDomain(BTreeMap<TrustDomain, Arc<RootCertStore>>),
}

impl Anchors {
    /// Whether the Workload API has said none.
    pub(super) fn are_missing(&self) -> bool {
        match self {
            Self::All(_) => false,
            Self::ByDomain(bundles) => bundles.is_empty(),
        }
    }

    /// Those that a leaf must lead to.
    pub(super) fn of(&self, leaf: &CertificateDer<'_>) -> Result<&RootCertStore, CertificateError> {
        match self {
            Self::All(roots) => Ok(roots),
            Self::ByDomain(bundles) => of_domain(bundles, leaf).map(|roots| &**roots),
        }
    }
}

/// What is there for the trust domain of a leaf.
pub(super) fn of_domain<'a, T>(
    bundles: &'a BTreeMap<TrustDomain, T>,
    leaf: &CertificateDer<'_>,
) -> Result<&'a T, CertificateError> {
    let id = Named::of(leaf)?.spiffe;
    let id = id.ok_or(CertificateError::ApplicationVerificationFailure)?;
    let found = bundles.get(&id.trust_domain());
    found.ok_or(CertificateError::UnknownIssuer)
}
