//! TLS to the engine: with Redis from the first byte, with NATS after its greeting.

use std::fs;
use std::path::Path;
use std::process::Command;

use breaker_tests::{Setup, Sidecar, Upstream, eventually, get};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use super::{aggregates, is_connected};
use crate::tools::{free_ports, installed, serve};

/// An authority, and a pair that it signed for localhost.
fn authority() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    for (name, text) in [
        ("ca.crt", issuer.pem()),
        ("tls.crt", leaf.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A member that trusts the authority in `folder`.
async fn member(upstream: &Upstream, engine: &str, folder: &Path) -> Sidecar {
    let fleet = format!("fleet: {{ name: pay, engine: '{engine}' }}");
    let roots = folder.join("ca.crt").to_str().unwrap().to_owned();
    let setup = Setup::of(upstream.address()).policy("adaptive");
    setup.more(&fleet).env("SSL_CERT_FILE", roots).start().await
}

async fn only_who_trusts_it_is_in_the_fleet(engine: &str, good: &Path) {
    let upstream = Upstream::start().await;
    let member_of = async |folder: &Path| member(&upstream, engine, folder).await;
    let trusting = member_of(good).await;
    eventually!(aggregates(&trusting).await);
    let other = authority();
    let mut distrusting = member_of(other.path()).await;
    let log = distrusting
        .process()
        .wait_for("a warning", |log| {
            let warned = log.contains("the fleet's engine is gone");
            warned.then(|| log.to_lowercase())
        })
        .await;
    assert!(
        log.contains("certificate") || log.contains("issuer"),
        "{log}"
    );
    assert!(!is_connected(&distrusting).await);
    assert_eq!(get(distrusting.url("/")).await.status, 200);
}

#[tokio::test]
async fn redis_is_spoken_to_by_tls_if_its_certificate_is_good() {
    let ([port], files) = (free_ports(), authority());
    let file = |name: &str| files.path().join(name);
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", "0", "--save", ""]);
    command.args(["--tls-auth-clients", "no", "--tls-port", &port.to_string()]);
    command.arg("--tls-cert-file").arg(file("tls.crt"));
    command.arg("--tls-key-file").arg(file("tls.key"));
    command.arg("--tls-ca-cert-file").arg(file("ca.crt"));
    let _redis = serve(command, port).await;
    let engine = format!("rediss://localhost:{port}");
    only_who_trusts_it_is_in_the_fleet(&engine, files.path()).await;
}

#[tokio::test]
async fn nats_is_spoken_to_by_tls_if_its_certificate_is_good() {
    let ([port], files) = (free_ports(), authority());
    let mut command = Command::new(installed("venv/bin/nats-server"));
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "-js"]);
    command.arg("--store_dir").arg(files.path().join("store"));
    command.arg("--tls");
    command.arg("--tlscert").arg(files.path().join("tls.crt"));
    command.arg("--tlskey").arg(files.path().join("tls.key"));
    let _nats = serve(command, port).await;
    let engine = format!("tls://localhost:{port}");
    only_who_trusts_it_is_in_the_fleet(&engine, files.path()).await;
}
