//! Certificates that are replaced while the sidecar runs.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::bench::{Bench, eventually, serve};
use crate::tls::provider;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate with this serial number, and its key.
    fn sign(&self, serial: u64, is_expired: bool) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        if is_expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.0).unwrap();
        (signed.pem(), key.serialize_pem())
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Arc::new(config).into()
    }
}

fn write(folder: &Path, (cert, key): &(String, String)) {
    fs::write(folder.join("tls.crt"), cert).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
}

async fn start(authority: &Authority, watch: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let service = serve().await;
    write(folder.path(), &authority.sign(1, false));
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nwatch: {watch}\n\
         tls: {{ cert: tls.crt, key: tls.key }}\n\
         upstreams: {{ app: {{ endpoints: ['http://{}'] }} }}\n\
         routes:\n  - {{ name: pay, upstream: app }}\n",
        service.0
    );
    fs::write(folder.path().join("breaker.yaml"), text).unwrap();
    Bench::of(folder, String::new(), service)
}

async fn connect(authority: &Authority, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    authority.connector().connect(name, stream).await.unwrap()
}

/// Asks for something, and returns the serial number of the certificate that the connection has.
async fn ask(stream: &mut TlsStream<TcpStream>) -> u64 {
    let request = "GET /pay HTTP/1.1\r\nHost: localhost\r\n\r\n";
    ask_by(stream, request, b"done").await
}

/// The same by this request, whose answer ends so.
async fn ask_by(stream: &mut TlsStream<TcpStream>, request: &str, end: &[u8]) -> u64 {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(end) {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    let (_, shown) = X509Certificate::from_der(&shown[0]).unwrap();
    shown.serial.to_string().parse().unwrap()
}

async fn serial(authority: &Authority, bench: &Bench) -> u64 {
    ask(&mut connect(authority, bench.address).await).await
}

#[tokio::test]
async fn changed_files_are_taken_over_and_connections_go_on() {
    let authority = Authority::new();
    let bench = start(&authority, true).await;
    let mut before = connect(&authority, bench.address).await;
    assert_eq!(ask(&mut before).await, 1);
    write(bench.folder.path(), &authority.sign(2, false));
    eventually("rotation", || bench.reloader.certificates().applied == 1).await;
    assert_eq!(serial(&authority, &bench).await, 2);
    assert_eq!(ask(&mut before).await, 1);
    assert_eq!(bench.results(), [0, 0, 0], "it is no reload");
    let metrics = bench.metrics().await;
    for line in [
        "breaker_tls_reloads_total{breaker_tls_result=\"applied\"} 1",
        "breaker_tls_reloads_total{breaker_tls_result=\"refused\"} 0",
        "breaker_tls_certificate_expiry_seconds{breaker_tls_use=\"listener\"} ",
        "breaker_tls_handshakes_total{breaker_tls_result=\"success\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn half_a_pair_is_waited_for_and_what_is_bad_leaves_the_one_before() {
    let authority = Authority::new();
    let bench = start(&authority, false).await;
    let folder = bench.folder.path();
    let rotate = || bench.reloader.0.rotate();
    let counts = || {
        let told = bench.reloader.certificates();
        (told.applied, told.refused)
    };
    assert!(!rotate());
    let second = authority.sign(2, false);
    fs::write(folder.join("tls.crt"), &second.0).unwrap();
    assert!(rotate(), "the key may come");
    assert_eq!((counts(), serial(&authority, &bench).await), ((0, 0), 1));
    fs::write(folder.join("tls.key"), &second.1).unwrap();
    assert!(!rotate());
    assert_eq!((counts(), serial(&authority, &bench).await), ((1, 0), 2));

    write(folder, &authority.sign(3, true));
    assert!(rotate());
    assert!(!rotate(), "it is told now");
    assert!(!rotate(), "and not again");
    assert_eq!((counts(), serial(&authority, &bench).await), ((1, 1), 2));
    fs::remove_file(folder.join("tls.key")).unwrap();
    assert!(rotate());
    assert_eq!((counts(), serial(&authority, &bench).await), ((1, 1), 2));
    write(folder, &authority.sign(4, false));
    assert!(!rotate());
    assert_eq!((counts(), serial(&authority, &bench).await), ((2, 1), 4));
    // A reload that was asked for looks at the files too.
    write(folder, &authority.sign(5, false));
    bench.reload().await;
    assert_eq!((counts(), serial(&authority, &bench).await), ((3, 1), 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rotations_under_load_lose_no_request() {
    let authority = Arc::new(Authority::new());
    let bench = start(&authority, false).await;
    let over = Arc::<AtomicBool>::default();
    let clients = [false, true].map(|keeps| {
        let (authority, over, address) = (authority.clone(), over.clone(), bench.address);
        tokio::spawn(async move {
            let (mut stream, mut asked, mut seen) = (None, 0_u64, 0);
            while !over.load(Ordering::Relaxed) {
                let mut open = match stream.take() {
                    Some(open) if keeps => open,
                    _ => connect(&authority, address).await,
                };
                seen = seen.max(ask(&mut open).await);
                asked += 1;
                stream = Some(open);
            }
            (asked, seen)
        })
    });
    for version in 2..=1001 {
        write(bench.folder.path(), &authority.sign(version, false));
        let reloader = bench.reloader.clone();
        let rotated = tokio::task::spawn_blocking(move || reloader.0.rotate());
        assert!(!rotated.await.unwrap());
    }
    over.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for client in clients {
        asked += client.await.expect("a client without an error").0;
    }
    assert_eq!(serial(&authority, &bench).await, 1001);
    assert_eq!(bench.reloader.certificates().applied, 1000);
    let totals = bench.breaker("pay").snapshot().totals;
    assert_eq!((totals.success, totals.failure), (asked + 1, 0));
    bench.stop().await;
}

/// A sidecar that receives telemetry in TLS.
async fn receiving(authority: &Authority) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let service = serve().await;
    write(folder.path(), &authority.sign(1, false));
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nwatch: false\n\
         telemetry: {{ receive: {{ http: 127.0.0.1:0, tls: {{ cert: tls.crt, key: tls.key }} }} }}\n\
         upstreams: {{ app: {{ endpoints: ['http://{}'] }} }}\n\
         routes:\n  - {{ name: pay, upstream: app, feeds: [{{ name: ledger }}] }}\n",
        service.0
    );
    fs::write(folder.path().join("breaker.yaml"), text).unwrap();
    Bench::of(folder, String::new(), service)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receivers_certificates_are_replaced_without_a_lost_batch() {
    const BATCH: &str = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\n\
                         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let authority = Arc::new(Authority::new());
    let bench = receiving(&authority).await;
    let over = Arc::<AtomicBool>::default();
    let address = bench.receives.unwrap();
    let senders = [false, true].map(|keeps| {
        let (authority, over) = (authority.clone(), over.clone());
        tokio::spawn(async move {
            let (mut stream, mut sent) = (None, 0_u64);
            while !over.load(Ordering::Relaxed) {
                let mut open = match stream.take() {
                    Some(open) if keeps => open,
                    _ => connect(&authority, address).await,
                };
                ask_by(&mut open, BATCH, b"{}").await;
                sent += 1;
                stream = Some(open);
            }
            sent
        })
    });
    for version in 2..=101 {
        write(bench.folder.path(), &authority.sign(version, false));
        let reloader = bench.reloader.clone();
        let rotated = tokio::task::spawn_blocking(move || reloader.0.rotate());
        assert!(!rotated.await.unwrap());
    }
    over.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.expect("a sender without an error");
    }
    let mut last = connect(&authority, address).await;
    assert_eq!(ask_by(&mut last, BATCH, b"{}").await, 101);
    assert_eq!(bench.reloader.certificates().applied, 100);
    let metrics = bench.metrics().await;
    for line in [
        "breaker_tls_certificate_expiry_seconds{breaker_tls_use=\"receiver\"} ".to_owned(),
        format!(
            "breaker_receiver_batches_total{{breaker_telemetry_signal=\"traces\"}} {}",
            sent + 1
        ),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    // A reload leaves the receiver as it is: its files are followed, not its configuration.
    let text = fs::read_to_string(bench.file()).unwrap();
    bench.write_text(&text.replace("ledger", "cash"));
    assert_eq!(bench.reload().await.updated, ["pay"]);
    write(bench.folder.path(), &authority.sign(102, false));
    bench.reload().await;
    let mut last = connect(&authority, address).await;
    assert_eq!(ask_by(&mut last, BATCH, b"{}").await, 102);
}

/// As Kubernetes replaces the files of a secret: they are links through `..data`, a link to a
/// directory that is another one from one moment to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_that_are_swapped_while_they_are_read_refuse_nothing() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::create_dir(&secret).unwrap();
    let swap = |secret: &Path, version: u64| {
        let name = format!("..{version}");
        fs::create_dir(secret.join(&name)).unwrap();
        write(&secret.join(&name), &authority.sign(version, false));
        symlink(&name, secret.join("..data_tmp")).unwrap();
        fs::rename(secret.join("..data_tmp"), secret.join("..data")).unwrap();
        if version > 1 {
            fs::remove_dir_all(secret.join(format!("..{}", version - 1))).unwrap();
        }
    };
    swap(&secret, 1);
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), secret.join(name)).unwrap();
    }
    let service = serve().await;
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nwatch: false\n\
         tls: {{ cert: secret/tls.crt, key: secret/tls.key }}\n\
         upstreams: {{ app: {{ endpoints: ['http://{}'] }} }}\n\
         routes:\n  - {{ name: pay, upstream: app }}\n",
        service.0
    );
    fs::write(folder.path().join("breaker.yaml"), text).unwrap();
    let bench = Bench::of(folder, String::new(), service);
    let over = Arc::<AtomicBool>::default();
    let reading = {
        let (reloader, over) = (bench.reloader.clone(), over.clone());
        tokio::task::spawn_blocking(move || {
            let mut torn = 0;
            while !over.load(Ordering::Relaxed) {
                torn += u32::from(reloader.0.rotate());
            }
            torn
        })
    };
    for version in 2..=200 {
        swap(&secret, version);
    }
    over.store(true, Ordering::Relaxed);
    reading.await.unwrap();
    bench.reload().await;
    assert_eq!(bench.reloader.certificates().refused, 0);
    assert_eq!(serial(&authority, &bench).await, 200);
}
