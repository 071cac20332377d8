//! Certificates and keys, as PEM files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;

use super::anchors::Anchors;
use super::dates::Validity;
use super::error::{Fault, TlsError};
use super::keys::{self, KeyError};
use super::workload::Workload;
use crate::sandbox::explained;

/// A certificate with the chain that leads to it, leaf first, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The chain.
    pub cert: PathBuf,
    /// The key of the leaf.
    pub key: PathBuf,
}

/// What we show of ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "made by the configuration")]
pub enum Credentials {
    /// A certificate and its key, in files.
    Files(Pair),
    /// What the Workload API says that we are.
    Spiffe(Workload),
}

/// A pair as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) validity: Validity,
}

/// Which certificates are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system.
    #[default]
    System,
    /// Those of a file.
    File(PathBuf),
    /// Those that the Workload API says, each for its own trust domain.
    Spiffe(Workload),
}

// === impl Credentials ===

impl Credentials {
    /// Reads files, and checks that they can be used now; or takes what the Workload API has said,
    /// which may be nothing yet.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, Fault> {
        match self {
            Self::Files(pair) => pair.load().map(Some),
            Self::Spiffe(workload) => Ok(workload.svid().map(|svid| svid.shown.clone())),
        }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let pair = match self {
            Self::Files(pair) => Some(pair),
            Self::Spiffe(_) => None,
        };
        pair.into_iter().flat_map(Pair::files)
    }

    pub(crate) const fn workload(&self) -> Option<&Workload> {
        match self {
            Self::Files(_) => None,
            Self::Spiffe(workload) => Some(workload),
        }
    }
}

impl From<Pair> for Credentials {
    fn from(pair: Pair) -> Self {
        Self::Files(pair)
    }
}

// === impl Pair ===

impl Pair {
    /// Reads it, and checks that it can be used now.
    pub(crate) fn load(&self) -> Result<Loaded, Fault> {
        let in_cert = |error| Fault::new("cert", error);
        let in_key = |error| Fault::new("key", error);
        let chain = certificates(&self.cert).map_err(in_cert)?;
        let validity = Validity::of_chain(&chain).map_err(in_cert)?;
        validity.check_now().map_err(in_cert)?;
        let key = keys::signer_of(&self.key);
        let key = key.map_err(|error| in_key(error.of(&self.key)))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(in_key(TlsError::Mismatch(self.cert.clone())))
            }
            // A key that can't tell its public half is found out by the first handshake.
            _ => Ok(Loaded {
                certified: Arc::new(certified),
                validity,
            }),
        }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert, &self.key].into_iter()
    }
}

// === impl Roots ===

impl Roots {
    /// Reads them; of the Workload API, takes what was heard, for each trust domain.
    pub(super) fn anchors(&self) -> Result<Anchors, TlsError> {
        Ok(match self {
            Self::Spiffe(workload) => {
                let svid = workload.svid();
                Anchors::ByDomain(svid.map(|svid| svid.bundles.clone()).unwrap_or_default())
            }
            others => Anchors::All(Arc::new(others.load()?)),
        })
    }

    /// Reads them, where they are for all.
    pub(crate) fn load(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "a root certificate of the system can't be read");
                }
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(TlsError::NoSystemRoots);
                }
            }
            Self::File(file) => {
                for certificate in certificates(file)? {
                    let added = roots.add(certificate);
                    added.map_err(|source| TlsError::BadRoot {
                        file: file.clone(),
                        source,
                    })?;
                }
            }
            // Nobody is trusted for all.
            Self::Spiffe(_) => {}
        }
        Ok(roots)
    }

    pub(crate) const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::System | Self::Spiffe(_) => None,
            Self::File(file) => Some(file),
        }
    }

    pub(crate) const fn workload(&self) -> Option<&Workload> {
        match self {
            Self::System | Self::File(_) => None,
            Self::Spiffe(workload) => Some(workload),
        }
    }
}

/// The certificates of a file, at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = fs::read(file).map_err(|error| unreadable(file, error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate(file.to_owned())),
    }
}

fn unreadable(file: &Path, error: io::Error) -> TlsError {
    TlsError::Unreadable {
        file: file.to_owned(),
        why: explained(file, error).to_string(),
    }
}

impl KeyError {
    fn of(self, file: &Path) -> TlsError {
        match self {
            Self::Unreadable(error) => unreadable(file, error),
            Self::NoKey => TlsError::NoKey(file.to_owned()),
            Self::BadKey(source) => TlsError::BadKey {
                file: file.to_owned(),
                source,
            },
        }
    }
}
