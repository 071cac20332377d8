//! What an agent says: who we are, and whom to trust, checked before any of it is used.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::api::{X509Svid, X509SvidResponse};
use crate::tls::dates::Validity;
use crate::tls::error::TlsError;
use crate::tls::files::Loaded;
use crate::tls::identity::Named;
use crate::tls::provider::provider;
use crate::tls::spiffe::{SpiffeId, TrustDomain};

/// An X.509-SVID, and the roots of each trust domain.
pub(crate) struct Svid {
    pub(crate) id: SpiffeId,
    pub(crate) shown: Loaded,
    pub(crate) bundles: BTreeMap<TrustDomain, Arc<RootCertStore>>,
    /// Tells it from others.
    mark: u64,
}

/// What is wrong with what an agent says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SvidError {
    #[error("svids: must have an entry")]
    Empty,
    #[error("svids[0].spiffe_id: {0}")]
    Id(&'static str),
    #[error("svids[0].x509_svid: must be certificates in DER form, at least one")]
    NoCertificate,
    #[error("svids[0].x509_svid: {0}")]
    Certificate(#[source] TlsError),
    #[error("svids[0].x509_svid: must be the X.509-SVID of {0}")]
    Foreign(SpiffeId),
    #[error("svids[0].x509_svid_key: must be a private key in PKCS#8 form that can sign")]
    Key,
    #[error("svids[0].x509_svid_key: must be the key of the first certificate")]
    Mismatch,
    #[error("svids[{0}].bundle: must be the certificates of authorities in DER form, at least one")]
    Bundle(usize),
    #[error("federated_bundles: {0}")]
    Domain(&'static str),
    #[error("federated_bundles: {0}: must be the certificates of authorities in DER form")]
    Federated(TrustDomain),
}

impl Svid {
    /// Checks what was said. The first SVID is ours; the others only say whom to trust.
    pub(super) fn of(said: &X509SvidResponse) -> Result<Self, SvidError> {
        let first = said.svids.first().ok_or(SvidError::Empty)?;
        let (id, shown) = own(first)?;
        let mut bundles = BTreeMap::new();
        for (domain, bundle) in &said.federated_bundles {
            let domain: TrustDomain = domain.parse().map_err(SvidError::Domain)?;
            // Of one that has no roots now, nobody is trusted.
            let roots = roots(bundle).ok_or_else(|| SvidError::Federated(domain.clone()))?;
            bundles.insert(domain, Arc::new(roots));
        }
        for (index, svid) in said.svids.iter().enumerate() {
            let id: SpiffeId = svid.spiffe_id.parse().map_err(SvidError::Id)?;
            let roots = roots(&svid.bundle).filter(|roots| !roots.is_empty());
            let roots = roots.ok_or(SvidError::Bundle(index))?;
            bundles.insert(id.trust_domain(), Arc::new(roots));
        }
        Ok(Self {
            id,
            shown,
            bundles,
            mark: mark(said),
        })
    }

    /// Whether it is what another one is.
    pub(super) const fn is(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

fn own(said: &X509Svid) -> Result<(SpiffeId, Loaded), SvidError> {
    let id: SpiffeId = said.spiffe_id.parse().map_err(SvidError::Id)?;
    let chain = certificates(&said.x509_svid).unwrap_or_default();
    let leaf = chain.first().ok_or(SvidError::NoCertificate)?;
    let named = Named::of(leaf).ok().and_then(|named| named.spiffe);
    if named.as_ref() != Some(&id) {
        return Err(SvidError::Foreign(id));
    }
    let validity = Validity::of_chain(&chain).map_err(SvidError::Certificate)?;
    validity.check_now().map_err(SvidError::Certificate)?;
    let key = PrivatePkcs8KeyDer::from(said.x509_svid_key.clone());
    let key = provider().key_provider.load_private_key(key.into());
    let certified = CertifiedKey::new(chain, key.map_err(|_error| SvidError::Key)?);
    if certified.keys_match().is_err() {
        return Err(SvidError::Mismatch);
    }
    let shown = Loaded {
        certified: Arc::new(certified),
        validity,
    };
    Ok((id, shown))
}

/// The certificates that stand one after the other.
fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, _) = X509Certificate::from_der(der).ok()?;
        let (one, rest) = der.split_at(der.len() - rest.len());
        found.push(CertificateDer::from(one.to_vec()));
        der = rest;
    }
    Some(found)
}

fn roots(der: &[u8]) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(der)? {
        roots.add(certificate).ok()?;
    }
    Some(roots)
}

fn mark(said: &X509SvidResponse) -> u64 {
    let mut hasher = DefaultHasher::new();
    for svid in &said.svids {
        svid.spiffe_id.hash(&mut hasher);
        svid.x509_svid.hash(&mut hasher);
        svid.x509_svid_key.hash(&mut hasher);
        svid.bundle.hash(&mut hasher);
    }
    said.federated_bundles.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::workload::agent::Domain;

    #[test]
    fn all_that_an_agent_says_is_checked_before_it_is_used() {
        let (domain, other) = (Domain::new("example.org"), Domain::new("other.org"));
        let ours = domain.sign("ns/pay", 1);
        let good = domain.federated(&ours, &other);
        let svid = Svid::of(&good).unwrap();
        assert_eq!(svid.id.as_str(), "spiffe://example.org/ns/pay");
        let trusted: Vec<_> = svid.bundles.keys().map(ToString::to_string).collect();
        assert_eq!(trusted, ["example.org", "other.org"]);
        assert!(svid.is(&Svid::of(&good).unwrap()));
        assert!(!svid.is(&Svid::of(&domain.svid(&ours)).unwrap()));

        let garbage = || b"garbage".to_vec();
        let key = domain.svid(&domain.sign("ns/pay", 2)).svids[0]
            .x509_svid_key
            .clone();
        let expired = domain.svid(&domain.expired("ns/pay", 3)).svids[0]
            .x509_svid
            .clone();
        let foreign = domain.svid(&domain.sign("ns/x", 4)).svids[0]
            .x509_svid
            .clone();
        type Change<'a> = &'a dyn Fn(&mut X509SvidResponse);
        let cases: [(Change<'_>, &str); 14] = [
            (&|said| said.svids.clear(), "svids: must have an entry"),
            (
                &|said| said.svids[0].spiffe_id = "pay".to_owned(),
                "svids[0].spiffe_id: must be spiffe://",
            ),
            (
                &|said| said.svids[0].x509_svid = garbage(),
                "svids[0].x509_svid: must be certificates in DER form",
            ),
            (
                &|said| said.svids[0].x509_svid.clear(),
                "svids[0].x509_svid: must be certificates in DER form",
            ),
            (
                &|said| said.svids[0].x509_svid.truncate(200),
                "svids[0].x509_svid: must be certificates in DER form",
            ),
            (
                &|said| said.svids[0].x509_svid = foreign.clone(),
                "svids[0].x509_svid: must be the X.509-SVID of spiffe://example.org/ns/pay",
            ),
            (
                &|said| said.svids[0].x509_svid = expired.clone(),
                "svids[0].x509_svid: must be valid now: it expired on",
            ),
            (
                &|said| said.svids[0].x509_svid_key = garbage(),
                "svids[0].x509_svid_key: must be a private key in PKCS#8 form",
            ),
            (
                &|said| said.svids[0].x509_svid_key = key.clone(),
                "svids[0].x509_svid_key: must be the key of",
            ),
            (
                &|said| said.svids[0].bundle.clear(),
                "svids[0].bundle: must be the certificates of authorities",
            ),
            (
                &|said| said.svids[0].bundle = garbage(),
                "svids[0].bundle: must be the certificates of authorities",
            ),
            (
                &|said| {
                    let mut second = said.svids[0].clone();
                    second.bundle = garbage();
                    said.svids.push(second);
                },
                "svids[1].bundle: must be the certificates of authorities",
            ),
            (
                &|said| {
                    let domain = "spiffe://A/b".to_owned();
                    said.federated_bundles.insert(domain, garbage());
                },
                "federated_bundles: must have a trust domain",
            ),
            (
                &|said| {
                    let domain = "spiffe://other.org".to_owned();
                    said.federated_bundles.insert(domain, garbage());
                },
                "federated_bundles: other.org: must be the certificates",
            ),
        ];
        for (change, rule) in cases {
            let mut said = good.clone();
            change(&mut said);
            let error = Svid::of(&said).err().expect(rule).to_string();
            assert!(error.starts_with(rule), "{error} is not {rule}");
        }
        let mut empty = good;
        let domain = "spiffe://other.org".to_owned();
        empty.federated_bundles.insert(domain, Vec::new());
        assert!(Svid::of(&empty).is_ok(), "nobody of it is trusted");
    }
}
