//! What is wrong with certificates, keys and roots, as rules that their files break.

use std::path::PathBuf;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("must be a file that can be read: {}: {why}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// A file has no certificate, or one that is broken off.
    #[error("must have certificates in PEM form: {}", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate can't be read.
    #[error("must have certificates that can be read: {0}")]
    BadCertificate(String),
    /// A file has no key.
    #[error("must have a private key in PEM form, without a password: {}", .0.display())]
    NoKey(PathBuf),
    /// A key is of no kind that can sign.
    #[error("must have a key that can sign: {}: {source}", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A key belongs to another certificate.
    #[error("must be the key of the first certificate in {}", .0.display())]
    Mismatch(PathBuf),
    /// A chain is not in order.
    #[error("must have the leaf first, and after each certificate the one that signed it")]
    Order,
    /// A certificate is over.
    #[error("must be valid now: it expired on {0}")]
    Expired(String),
    /// A certificate is for later.
    #[error("must be valid now: it is valid from {0} on")]
    NotYet(String),
    /// A certificate can't be trusted.
    #[error("must have certificates that can be trusted: {}: {source}", file.display())]
    BadRoot {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The system has no roots.
    #[error(
        "the system has no root certificates: set SSL_CERT_FILE, or say in roots: which file has some"
    )]
    NoSystemRoots,
    /// No certificate can name a host.
    #[error("must have a host that a certificate can name")]
    Nameless,
    /// rustls refuses the settings.
    #[error("can't be used: {0}")]
    Refused(String),
}

/// What is wrong, and with which field of a section.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {error}")]
pub struct Fault {
    /// The field.
    pub field: &'static str,
    /// What is wrong.
    #[source]
    pub error: TlsError,
}

impl Fault {
    pub(crate) const fn new(field: &'static str, error: TlsError) -> Self {
        Self { field, error }
    }

    /// The error of a field.
    pub(crate) fn at(field: &'static str) -> impl Fn(TlsError) -> Self {
        move |error| Self::new(field, error)
    }
}
