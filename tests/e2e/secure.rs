//! TLS for tests: an authority, the files that a sidecar has of it, and clients that trust it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority, with `ca.crt`, `tls.crt` and `tls.key` as files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

/// A client of the sidecar.
pub(crate) struct Connector(TlsConnector);

impl Connector {
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(address).await?;
        self.0.connect(name, stream).await
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "ca");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let files = tempfile::tempdir().expect("a directory");
        let authority = Self { issuer, files };
        let (chain, key) = authority.sign("localhost");
        for (name, text) in [
            ("ca.crt", authority.issuer.pem()),
            ("tls.crt", chain),
            ("tls.key", key),
        ] {
            fs::write(authority.path().join(name), text).expect("a file");
        }
        authority
    }

    /// A certificate of that name and its key, as PEM.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let (chain, _) = self.signed(name, &key);
        (chain, key.serialize_pem())
    }

    pub(crate) fn signed(&self, name: &str, key: &KeyPair) -> (String, rcgen::Certificate) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let signed = params.signed_by(key, &self.issuer).expect("a certificate");
        (signed.pem(), signed)
    }

    pub(crate) fn path(&self) -> &Path {
        self.files.path()
    }

    /// The fields `cert` and `key` of a section.
    pub(crate) fn pair(&self) -> String {
        let folder = self.path().display();
        format!("cert: {folder}/tls.crt, key: {folder}/tls.key")
    }

    /// A client, which shows a certificate of that name if there is one.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        shown: Option<&str>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector(shown).connect(address).await
    }

    /// Connects a client as often as it is wanted.
    pub(crate) fn connector(&self, shown: Option<&str>) -> Connector {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&rustls::version::TLS13]);
        let config = config.expect("TLS 1.3").with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(name) => {
                let key = KeyPair::generate().expect("a key");
                let (_, leaf) = self.signed(name, &key);
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
                let config = config.with_client_auth_cert(vec![leaf.der().clone()], key);
                config.expect("a pair")
            }
        };
        Connector(Arc::new(config).into())
    }

    /// What a request that ends its connection is answered; empty if it is not.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        shown: Option<&str>,
        request: &str,
    ) -> String {
        let mut answer = Vec::new();
        if let Ok(mut stream) = self.connect(address, shown).await {
            // Whoever is refused has nothing to read.
            let _ = stream.write_all(request.as_bytes()).await;
            let _ = stream.read_to_end(&mut answer).await;
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}
