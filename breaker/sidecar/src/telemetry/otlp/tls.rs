//! TLS to the collector, by rustls with ring.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::OtlpError;
use crate::telemetry::settings::Export;

/// A connector for the endpoint's scheme, for HTTP versions to be added.
pub(super) fn connector(
    export: &Export,
) -> Result<HttpsConnectorBuilder<WantsProtocols1>, OtlpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OtlpError::Tls(error.to_string()))?;
    let config = match &export.certificate {
        Some(path) => config.with_root_certificates(roots(path)?),
        None if export.endpoint.scheme_str() == Some("https") => config
            .with_native_roots()
            .map_err(|error| OtlpError::Tls(error.to_string()))?,
        None => config.with_root_certificates(RootCertStore::empty()),
    };
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(identify(config, export)?)
        .https_or_http())
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
    export: &Export,
) -> Result<ClientConfig, OtlpError> {
    match (&export.client_certificate, &export.client_key) {
        (Some(chain), Some(key_file)) => {
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|error| file(key_file, error.to_string()))?;
            config
                .with_client_auth_cert(certificates(chain)?, key)
                .map_err(|error| file(chain, error.to_string()))
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
