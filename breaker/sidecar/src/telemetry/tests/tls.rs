//! Exports by TLS, to collectors of both protocols behind one that terminates it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::collector::Collector;
use super::export::{ANY, FAILED_TWICE, after_traffic, assert_complete, traffic};
use super::{breakers, tripped};
use crate::collector::OtlpError;
use crate::telemetry::{Environment, ExportSettings, Exporting, Exposition, Telemetry};

const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];
const CA: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CHAIN: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

/// A certificate authority, and what it has signed, as PEM files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("ca.pem"), issuer.pem()).unwrap();
        let authority = Self { issuer, files };
        authority.sign("server", "127.0.0.1");
        authority.sign("client", "breaker");
        authority
    }

    fn sign(&self, file: &str, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(file), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{file}-key")), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> String {
        let path = self.files.path().join(name).with_extension("pem");
        path.to_str().unwrap().to_owned()
    }

    /// Terminates TLS before `collector`; returns where.
    async fn in_front_of(&self, collector: SocketAddr, asks_for_certificate: bool) -> SocketAddr {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = CertificateDer::from_pem_file(Path::new(&self.path("server"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(Path::new(&self.path("server-key"))).unwrap();
        let mut config = builder.with_single_cert(vec![chain], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outside = acceptor.accept(stream).await?;
                    let mut inside = TcpStream::connect(collector).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        address
    }
}

async fn collector(protocol: &str) -> Collector {
    match protocol {
        "grpc" => Collector::grpc(ANY).await,
        _ => Collector::http(ANY).await,
    }
}

fn start(
    address: SocketAddr,
    protocol: &str,
    files: &[(&str, String)],
) -> Result<(Telemetry, Exporting), OtlpError> {
    let endpoint = format!("https://{address}");
    let environment: Environment = files
        .iter()
        .map(|(name, path)| (*name, &**path))
        .chain([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
            ("OTEL_SERVICE_NAME", "shop"),
        ])
        .collect();
    let settings = ExportSettings::resolve(None, &environment).unwrap();
    Telemetry::start(settings, breakers([("pay", tripped())]))
}

/// What is recorded is told on the admin port all the same, and the failures with it.
async fn assert_nothing_arrives(telemetry: &Telemetry, exporting: Exporting, collector: Collector) {
    traffic(telemetry);
    let mut text = String::new();
    let failed = async {
        while !text.contains(FAILED_TWICE) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            text = telemetry.exposition(Exposition::Prometheus).1;
        }
    };
    let failed = tokio::time::timeout(Duration::from_secs(20), failed).await;
    failed.expect("two exports fail");
    assert!(text.contains("http_server_request_duration_seconds_count"));
    assert!(collector.is_untouched());
    // Its last export fails too, after repetitions.
    exporting.shutdown(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_collector_is_trusted_by_the_certificate_that_is_set() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let mut collector = collector(protocol).await;
        let address = authority.in_front_of(collector.address, false).await;
        let files = [(CA, authority.path("ca"))];
        let (telemetry, exporting) = start(address, protocol, &files).unwrap();
        traffic(&telemetry);
        assert_complete(&after_traffic(&mut collector).await);
        exporting.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_collector_that_another_authority_vouches_for_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    for protocol in PROTOCOLS {
        let collector = collector(protocol).await;
        let address = authority.in_front_of(collector.address, false).await;
        let files = [(CA, other.path("ca"))];
        let (telemetry, exporting) = start(address, protocol, &files).unwrap();
        assert_nothing_arrives(&telemetry, exporting, collector).await;
    }
}

#[tokio::test]
async fn without_a_certificate_the_systems_decide() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let collector = collector(protocol).await;
        let address = authority.in_front_of(collector.address, false).await;
        match start(address, protocol, &[]) {
            Ok((telemetry, exporting)) => {
                assert_nothing_arrives(&telemetry, exporting, collector).await;
            }
            // A machine without certificates is told so at the start.
            Err(error) => assert!(matches!(error, OtlpError::Tls(_)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_collector_that_asks_for_a_certificate_gets_the_one_that_is_set() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let mut collector = collector(protocol).await;
        let address = authority.in_front_of(collector.address, true).await;
        let files = [
            (CA, authority.path("ca")),
            (CLIENT_CHAIN, authority.path("client")),
            (CLIENT_KEY, authority.path("client-key")),
        ];
        let (telemetry, exporting) = start(address, protocol, &files).unwrap();
        traffic(&telemetry);
        assert_complete(&after_traffic(&mut collector).await);
        exporting.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_collector_that_asks_for_a_certificate_and_gets_none_refuses() {
    let authority = Authority::new();
    for protocol in PROTOCOLS {
        let collector = collector(protocol).await;
        let address = authority.in_front_of(collector.address, true).await;
        let files = [(CA, authority.path("ca"))];
        let (telemetry, exporting) = start(address, protocol, &files).unwrap();
        assert_nothing_arrives(&telemetry, exporting, collector).await;
    }
}

#[tokio::test]
async fn files_that_can_not_be_used_are_told_by_name() {
    let authority = Authority::new();
    let no_file = authority.path("no-such");
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let no_key = [(CA, authority.path("ca-key"))];
    fs::write(authority.path("ca-key"), "no certificate\n").unwrap();
    for files in [
        &[(CA, no_file.clone())][..],
        &no_key,
        &[
            (CA, authority.path("ca")),
            (CLIENT_CHAIN, authority.path("client")),
            (CLIENT_KEY, no_file),
        ],
    ] {
        let path = &files.last().unwrap().1;
        let error = start(address, "grpc", files).unwrap_err().to_string();
        assert!(error.starts_with(path), "{error}");
    }
}
