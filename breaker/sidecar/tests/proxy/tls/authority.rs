//! A certificate authority, and what it has signed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::tls::{Credentials, Pair};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

/// A certificate authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

/// What a certificate says.
pub(crate) struct Leaf(CertificateParams);

impl Leaf {
    fn of(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Self(params)
    }

    /// Of a server at loopback.
    pub(crate) fn server() -> Self {
        Self::of(&["127.0.0.1", "localhost"])
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::of(&[name])
    }

    pub(crate) fn client() -> Self {
        Self::of(&["client"])
    }

    pub(crate) fn spiffe(id: &str) -> Self {
        Self::of(&[]).and_uri(id)
    }

    pub(crate) fn and_uri(mut self, uri: &str) -> Self {
        let uri = SanType::URI(uri.try_into().unwrap());
        self.0.subject_alt_names.push(uri);
        self
    }

    pub(crate) fn expired() -> Self {
        Self::server().until_2020()
    }

    pub(crate) fn until_2020(mut self) -> Self {
        self.0.not_after = date_time_ymd(2020, 1, 1);
        self
    }

    /// Until then, in seconds since 1970.
    pub(crate) fn until(mut self, seconds: u64) -> Self {
        self.0.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        self
    }

    pub(crate) fn for_servers_alone(mut self) -> Self {
        self.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self
    }

    pub(crate) fn that_signs(mut self) -> Self {
        self.0.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let files = tempfile::tempdir().unwrap();
        // No two have one name.
        let name = files.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(files.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, files }
    }

    /// The file with its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// Its own certificate.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// Signs what a leaf says, as files.
    pub(crate) fn pair(&self, name: &str, leaf: &Leaf) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let signed = leaf.0.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            cert: self.files.path().join(name).with_extension("crt"),
            key: self.files.path().join(name).with_extension("key"),
        };
        std::fs::write(&pair.cert, signed.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair.into()
    }

    pub(crate) fn signed(
        &self,
        leaf: &Leaf,
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let signed = leaf.0.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![signed.der().clone()], key)
    }

    /// A server that shows `leaf`, and asks for certificates of `clients`.
    pub(crate) fn server(
        &self,
        leaf: &Leaf,
        alpn: &[&str],
        clients: Option<&Self>,
    ) -> ServerConfig {
        self.server_of(rustls::DEFAULT_VERSIONS, leaf, alpn, clients)
    }

    pub(crate) fn only_tls12(&self, leaf: &Leaf) -> ServerConfig {
        self.server_of(&[&rustls::version::TLS12], leaf, &[], None)
    }

    fn server_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        leaf: &Leaf,
        alpn: &[&str],
        clients: Option<&Self>,
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone());
        let config = config.with_protocol_versions(versions).unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let roots = clients.roots();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (chain, key) = self.signed(leaf);
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}
