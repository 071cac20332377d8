//! Collectors behind TLS: trusted by a certificate, and not otherwise.

use std::path::PathBuf;
use std::sync::Arc;

use breaker_sidecar::ingest::{Forward, Lost, Signal, Tls};
use http::Uri;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::client::export;
use crate::collector::Collector;
use crate::harness::{Running, eventually, quick};

/// A certificate and its key as files, gone with the test.
struct Files(PathBuf);

impl Files {
    fn of(test: &str, certified: &CertifiedKey<KeyPair>) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("certificate.pem"), certified.cert.pem()).unwrap();
        let key = certified.signing_key.serialize_pem();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        Self(folder)
    }

    fn certificate(&self) -> Option<PathBuf> {
        Some(self.0.join("certificate.pem"))
    }

    fn key(&self) -> Option<PathBuf> {
        Some(self.0.join("key.pem"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn certified() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// Shows `server`, and asks for `client` if there is one.
fn acceptor(server: &CertifiedKey<KeyPair>, client: Option<&CertifiedKey<KeyPair>>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
    let chain = vec![server.cert.der().clone()];
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn forward(collector: &Collector, is_grpc: bool, tls: Tls) -> Forward {
    let url = format!("https://localhost:{}", collector.address.port());
    let url: Uri = url.parse().unwrap();
    let (grpc, http) = if is_grpc {
        (Some(url), None)
    } else {
        (None, Some(url))
    };
    Forward {
        grpc,
        http,
        tls,
        ..quick(None, None)
    }
}

#[tokio::test]
async fn a_trusted_collector_is_reached_by_both_protocols() {
    let server = certified();
    let files = Files::of("trusted", &server);
    let mut collector = Collector::secure(acceptor(&server, None)).await;
    for is_grpc in [true, false] {
        let tls = Tls {
            certificate: files.certificate(),
            ..Tls::default()
        };
        let receiver = Running::forwarding(forward(&collector, is_grpc, tls));
        export(receiver.address, Signal::Logs, "zstd", b"secret").await;
        let received = collector.next().await;
        assert_eq!(received.path.starts_with("/v1"), !is_grpc);
    }
}

#[tokio::test]
async fn a_collector_that_asks_for_a_certificate_is_shown_it() {
    let (server, client) = (certified(), certified());
    let (trusted, shown) = (Files::of("asks", &server), Files::of("shown", &client));
    let mut collector = Collector::secure(acceptor(&server, Some(&client))).await;
    let tls = Tls {
        certificate: trusted.certificate(),
        client_certificate: shown.certificate(),
        client_key: shown.key(),
    };
    let receiver = Running::forwarding(forward(&collector, true, tls));
    export(receiver.address, Signal::Logs, "", b"secret").await;
    assert_eq!(&collector.next().await.body[5..], b"secret");
}

#[tokio::test]
async fn a_collector_with_another_certificate_gets_nothing() {
    let files = Files::of("another", &certified());
    let mut collector = Collector::secure(acceptor(&certified(), None)).await;
    let tls = Tls {
        certificate: files.certificate(),
        ..Tls::default()
    };
    let receiver = Running::forwarding(forward(&collector, true, tls));
    export(receiver.address, Signal::Logs, "", b"secret").await;
    eventually("attempts", || {
        receiver.stats().signal(Signal::Logs).retries > 2
    })
    .await;
    assert!(collector.is_quiet());
    assert_eq!(
        receiver.stats().signal(Signal::Logs).dropped(Lost::Refused),
        0
    );
}
