//! TLS to a collector.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_rustls::builderstates::WantsProtocols1;
use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, InconsistentKeys, RootCertStore};

use super::OtlpError;
use crate::tls::{Roots, provider, signer_of};

/// Whom to trust, and what to show.
#[derive(Debug)]
pub(crate) struct Trust<'a> {
    /// Whether the scheme is `https`: only then the system's certificates are read.
    pub(crate) is_secure: bool,
    /// A PEM file with the certificates to trust instead of the system's.
    pub(crate) certificate: Option<&'a Path>,
    /// A PEM file with the certificate to show.
    pub(crate) client_certificate: Option<&'a Path>,
    /// A PEM file with its key.
    pub(crate) client_key: Option<&'a Path>,
}

/// A connector for both schemes, for HTTP versions to be added.
pub(crate) fn connector(
    trust: &Trust<'_>,
) -> Result<HttpsConnectorBuilder<WantsProtocols1>, OtlpError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| OtlpError::Tls(error.to_string()))?;
    let config = match trust.certificate {
        Some(path) => config.with_root_certificates(roots(path)?),
        None if trust.is_secure => config.with_root_certificates(system_roots()?),
        None => config.with_root_certificates(RootCertStore::empty()),
    };
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(identify(config, trust)?)
        .https_or_http())
}

fn system_roots() -> Result<RootCertStore, OtlpError> {
    // The setting that names others is called otherwise here.
    let rule = "the system has no root certificates: set SSL_CERT_FILE, or certificate";
    let roots = Roots::System.load();
    roots.map_err(|_none| OtlpError::Tls(rule.to_owned()))
}

fn roots(path: &Path) -> Result<RootCertStore, OtlpError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| file(path, error.to_string()))?;
    }
    Ok(roots)
}

fn identify(
    config: ConfigBuilder<ClientConfig, WantsClientCert>,
    trust: &Trust<'_>,
) -> Result<ClientConfig, OtlpError> {
    match (trust.client_certificate, trust.client_key) {
        (Some(chain), Some(key_file)) => {
            let key = signer_of(key_file);
            let key = key.map_err(|error| file(key_file, error.to_string()))?;
            let shown = CertifiedKey::new(certificates(chain)?, key);
            match shown.keys_match() {
                // Some keys can't tell their public half.
                Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                    Ok(config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))))
                }
                Err(error) => Err(file(chain, error.to_string())),
            }
        }
        (None, None) => Ok(config.with_no_client_auth()),
        _ => Err(OtlpError::Tls(
            "a client certificate and its key must be set together".to_owned(),
        )),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OtlpError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file(path, error.to_string()))?;
    if certificates.is_empty() {
        return Err(file(path, "no certificate in it".to_owned()));
    }
    Ok(certificates)
}

fn file(path: &Path, problem: String) -> OtlpError {
    OtlpError::File {
        path: path.to_owned(),
        problem,
    }
}
