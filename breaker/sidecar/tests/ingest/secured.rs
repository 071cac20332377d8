//! Senders behind TLS: real clients, those that show no certificate, and those that are none.

#![expect(
    clippy::disallowed_methods,
    reason = "certificates expire by the wall clock"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use breaker_sidecar::ingest::{Limits, ReceiverSettings, Signal};
use breaker_sidecar::tls::{Clients, Forwarding, Pair, Roots, Server, ServerSettings, handshakes};
use bytes::Bytes;
use http::{StatusCode, Version};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;

use crate::client::{Answer, http_path, request, send_on};
use crate::harness::{PATIENCE, Running, eventually, settings};

/// An authority, its certificate and that of the receiver as files, and that of a sender.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let files = tempfile::tempdir().unwrap();
        // No two have one name.
        let name = files.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, files };
        authority.write("ca.crt", &authority.issuer.pem());
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &authority.issuer).unwrap();
        authority.write("tls.crt", &signed.pem());
        authority.write("tls.key", &key.serialize_pem());
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A receiver that asks for certificates of these senders, if of any.
    fn receiver(&self, clients: Option<Clients>, limits: Limits, patience: Duration) -> Running {
        let pair = Pair {
            cert: self.path("tls.crt"),
            key: self.path("tls.key"),
        };
        let tls = Server::new(ServerSettings {
            certificates: vec![pair.into()],
            min: Default::default(),
            handshake_timeout: patience,
            clients,
        });
        Running::start(ReceiverSettings {
            tls: Some(tls.unwrap()),
            limits,
            ..settings()
        })
    }

    fn asking(&self) -> Clients {
        Clients {
            roots: Roots::File(self.path("ca.crt")),
            require: true,
            allow: vec!["spiffe://example.org/ns/shop/sa/*".parse().unwrap()],
            forward: Forwarding::None,
        }
    }

    /// A sender that shows what `signer` has signed for this SPIFFE ID, if that is said.
    async fn connect(
        &self,
        receiver: &Running,
        alpn: &[&str],
        shown: Option<(&Self, &str)>,
    ) -> TlsStream<TcpStream> {
        self.connect_until(receiver, alpn, shown, None).await
    }

    /// The same with a certificate that is valid until then.
    async fn connect_until(
        &self,
        receiver: &Running,
        alpn: &[&str],
        shown: Option<(&Self, &str)>,
        until: Option<SystemTime>,
    ) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some((signer, id)) => {
                let key = KeyPair::generate().unwrap();
                let mut params = CertificateParams::default();
                params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
                if let Some(until) = until {
                    let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                    let since = Duration::from_secs(since.as_secs());
                    params.not_after = date_time_ymd(1970, 1, 1) + since;
                }
                let leaf = params.signed_by(&key, &signer.issuer).unwrap();
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                let chain = vec![leaf.der().clone()];
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(receiver.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let connected = timeout(PATIENCE, connecting).await;
        connected.expect("a handshake in time").unwrap()
    }
}

const ID: &str = "spiffe://example.org/ns/shop/sa/checkout";
const USUAL: Duration = Duration::from_secs(5);

/// Sends a batch of logs by OTLP/HTTP over HTTP/1.1.
async fn send(stream: TlsStream<TcpStream>) -> hyper::Result<Answer> {
    let fields = [("content-type", "application/x-protobuf")];
    let body = Full::new(Bytes::from_static(b"batch"));
    let path = http_path(Signal::Logs);
    send_on(stream, request(Version::HTTP_11, path, &fields, body)).await
}

/// Exports by tonic, as SDKs do.
async fn export(stream: TlsStream<TcpStream>) -> Result<(), tonic::Status> {
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = once.take().ok_or_else(|| std::io::Error::other("again"));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let mut client = LogsServiceClient::new(channel);
    let request = ExportLogsServiceRequest::default();
    let exported = timeout(PATIENCE, client.export(request)).await;
    exported.expect("an answer in time").map(drop)
}

#[tokio::test]
async fn senders_of_both_protocols_are_taken_in_tls() {
    let authority = Authority::new();
    let receiver = authority.receiver(None, Limits::default(), USUAL);
    export(authority.connect(&receiver, &["h2"], None).await)
        .await
        .unwrap();
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = authority.connect(&receiver, alpn, None).await;
        assert_eq!(send(stream).await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(receiver.kept.take().len(), 3);
    assert_eq!(handshakes("success"), Some(3));
}

#[tokio::test]
async fn senders_show_certificates_where_they_must() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver = authority.receiver(Some(authority.asking()), Limits::default(), USUAL);
    let other = "spiffe://example.org/ns/other/sa/checkout";
    for (shown, word) in [
        (None, "no_certificate"),
        (Some((&stranger, ID)), "unknown_ca"),
        (Some((&authority, other)), "not_allowed"),
    ] {
        // In TLS 1.3 the sender's handshake is done before it is refused.
        let stream = authority.connect(&receiver, &["http/1.1"], shown).await;
        send(stream).await.expect_err(word);
        eventually(word, || handshakes(word) == Some(1)).await;
    }
    let shown = Some((&authority, ID));
    export(authority.connect(&receiver, &["h2"], shown).await)
        .await
        .unwrap();
    let stream = authority.connect(&receiver, &["http/1.1"], shown).await;
    assert_eq!(send(stream).await.unwrap().status, StatusCode::OK);
    assert_eq!(receiver.kept.take().len(), 2);
}

#[tokio::test]
async fn a_sender_goes_when_its_certificate_expires() {
    let authority = Authority::new();
    let receiver = authority.receiver(Some(authority.asking()), Limits::default(), USUAL);
    let until = SystemTime::now() + Duration::from_secs(3);
    let mut stream = authority
        .connect_until(
            &receiver,
            &["http/1.1"],
            Some((&authority, ID)),
            Some(until),
        )
        .await;
    let request = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{}") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let end = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    end.expect("an end in time").expect("the end is said");
    assert!(SystemTime::now() >= until - Duration::from_secs(1));
}

#[tokio::test]
async fn a_sender_without_tls_is_told_so() {
    let authority = Authority::new();
    let receiver = authority.receiver(None, Limits::default(), USUAL);
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    let request = "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("speaks TLS (https://)"), "{answer}");
    eventually("no TLS", || handshakes("not_tls") == Some(1)).await;
    assert_eq!(receiver.kept.take(), []);
}

/// Half a handshake each.
async fn halves(receiver: &Running, count: usize) -> Vec<TcpStream> {
    let mut halves = Vec::new();
    for _ in 0..count {
        let mut half = TcpStream::connect(receiver.address).await.unwrap();
        half.write_all(&[22, 3, 1]).await.unwrap();
        halves.push(half);
    }
    halves
}

#[tokio::test]
async fn senders_that_do_not_go_on_keep_nobody_out() {
    let authority = Authority::new();
    let limits = Limits {
        connections: 400,
        ..Limits::default()
    };
    let receiver = authority.receiver(None, limits, Duration::from_secs(60));
    let _halves = halves(&receiver, 500).await;
    eventually("more than there is room for", || {
        handshakes("crowded") == Some(244)
    })
    .await;
    let stream = authority.connect(&receiver, &[], None).await;
    assert_eq!(send(stream).await.unwrap().status, StatusCode::OK);
    // It ends at once, whatever is under way.
    receiver.stop().await;
}

#[tokio::test]
async fn the_places_of_senders_that_do_not_go_on_come_back() {
    let authority = Authority::new();
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let receiver = authority.receiver(None, limits, Duration::from_millis(300));
    let _halves = halves(&receiver, 20).await;
    let mut silent = TcpStream::connect(receiver.address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(handshakes("timeout"), Some(20));
    let stream = authority.connect(&receiver, &[], None).await;
    assert_eq!(send(stream).await.unwrap().status, StatusCode::OK);
}
