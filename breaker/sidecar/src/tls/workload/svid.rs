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
use crate::tls::keys;
use crate::tls::spiffe::{SpiffeId, TrustDomain};

/// An X.509-SVID, and the roots of each trust domain.
pub(crate) struct Svid {
    pub(crate) id: SpiffeId,
    pub(crate) shown: Loaded,
    pub(crate) bundles: BTreeMap<TrustDomain, Arc<RootCertStore>>,
    /// Why federated domains are not trusted whose roots can't be used.
    pub(super) left_out: Option<String>,
    /// Tells it from others.
    mark: u64,
}

/// What is wrong with what an agent says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SvidError {
    #[error("svids: must have an entry")]
    Empty,
    #[error("svids[{0}].spiffe_id: {1}")]
    Id(usize, &'static str),
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
        let mut left_out = Vec::new();
        // What another domain says is no reason to be without an identity: it is trusted by nobody.
        for (domain, bundle) in &said.federated_bundles {
            match federated(domain, bundle) {
                Ok((domain, roots)) => {
                    bundles.insert(domain, Arc::new(roots));
                }
                Err(error) => left_out.push(error.to_string()),
            }
        }
        for (index, svid) in said.svids.iter().enumerate() {
            let id = svid.spiffe_id.parse();
            let id: SpiffeId = id.map_err(|rule| SvidError::Id(index, rule))?;
            let roots = roots(&svid.bundle).filter(|roots| !roots.is_empty());
            let roots = roots.ok_or(SvidError::Bundle(index))?;
            bundles.insert(id.trust_domain(), Arc::new(roots));
        }
        Ok(Self {
            id,
            shown,
            bundles,
            left_out: (!left_out.is_empty()).then(|| left_out.join("; ")),
            mark: mark(said),
        })
    }

    /// Whether it is what another one is.
    pub(super) const fn is(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

fn own(said: &X509Svid) -> Result<(SpiffeId, Loaded), SvidError> {
    let id = said.spiffe_id.parse();
    let id: SpiffeId = id.map_err(|rule| SvidError::Id(0, rule))?;
    let chain = certificates(&said.x509_svid).unwrap_or_default();
    let leaf = chain.first().ok_or(SvidError::NoCertificate)?;
    let named = Named::of(leaf).ok().and_then(|named| named.spiffe);
    if named.as_ref() != Some(&id) {
        return Err(SvidError::Foreign(id));
    }
    let validity = Validity::of_chain(&chain).map_err(SvidError::Certificate)?;
    validity.check_now().map_err(SvidError::Certificate)?;
    let key = PrivatePkcs8KeyDer::from(&*said.x509_svid_key);
    let key = keys::signer(&key.into()).map_err(|_error| SvidError::Key)?;
    let certified = CertifiedKey::new(chain, key);
    if certified.keys_match().is_err() {
        return Err(SvidError::Mismatch);
    }
    let shown = Loaded {
        certified: Arc::new(certified),
        validity,
    };
    Ok((id, shown))
}

/// A trust domain and its roots. Of one that has none now, nobody is trusted.
fn federated(domain: &str, bundle: &[u8]) -> Result<(TrustDomain, RootCertStore), SvidError> {
    let domain: TrustDomain = domain.parse().map_err(SvidError::Domain)?;
    match roots(bundle) {
        Some(roots) => Ok((domain, roots)),
        None => Err(SvidError::Federated(domain)),
    }
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
        let cases: [(Change<'_>, &str); 13] = [
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
                    let mut second = said.svids[0].clone();
                    second.spiffe_id = "pay".to_owned();
                    said.svids.push(second);
                },
                "svids[1].spiffe_id: must be spiffe://",
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
        let empty = Svid::of(&empty).unwrap();
        assert_eq!(empty.left_out, None, "nobody of it is trusted");
    }

    #[test]
    fn a_federated_domain_with_unusable_roots_is_left_out_alone() {
        let (domain, other) = (Domain::new("example.org"), Domain::new("other.org"));
        let good = domain.federated(&domain.sign("ns/pay", 1), &other);
        for (name, rule) in [
            ("spiffe://A/b", "must have a trust domain"),
            ("spiffe://third.org", "third.org: must be the certificates"),
        ] {
            let mut said = good.clone();
            let garbage = b"garbage".to_vec();
            said.federated_bundles.insert(name.to_owned(), garbage);
            let svid = Svid::of(&said).unwrap();
            let trusted: Vec<_> = svid.bundles.keys().map(ToString::to_string).collect();
            assert_eq!(trusted, ["example.org", "other.org"]);
            let why = svid.left_out.unwrap();
            let begins = format!("federated_bundles: {rule}");
            assert!(why.starts_with(&begins), "{why}");
        }
    }
}
