//! Identities of the SPIFFE Workload API, which an agent says, renews, takes back and garbles.

use std::fs;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::Status;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::workload::outlast_panics;
use super::bench::{Bench, PATIENCE, eventually, serve};
use crate::sockets::Stream;
use crate::tls::agent::{Agent, Domain, Leaf};
use crate::tls::{
    Alpn, Client, ClientSettings, Clients, Credentials, Forwarding, MinVersion, Roots, Server,
    ServerSettings, Workload, handshakes,
};

const OURS: &str = "ns/shop/sa/pay";
const THEIRS: &str = "ns/shop/sa/checkout";

/// Somebody who calls a sidecar by TLS, and his files.
struct Caller {
    client: Client,
    _folder: TempDir,
}

impl Caller {
    /// Trusts this domain, and shows this.
    fn new(trusts: &Domain, shows: Option<&Leaf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = ClientSettings {
            roots: trusts.write(folder.path()),
            allow: vec![format!("spiffe://example.org/{OURS}").parse().unwrap()],
            present: shows.map(|leaf| leaf.write(folder.path()).into()),
            ..ClientSettings::default()
        };
        Self {
            client: Client::new(settings).unwrap(),
            _folder: folder,
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let stream = Stream::Tcp(TcpStream::connect(address).await?);
        let name = ServerName::try_from("localhost").unwrap();
        let connected = self.client.connect(stream, &name, &[Alpn::Http1]).await;
        connected.map(|it| it.stream).map_err(io::Error::other)
    }

    /// The serial number of the certificate that answers.
    async fn call(&self, address: SocketAddr) -> io::Result<u64> {
        ask(&mut self.connect(address).await?).await
    }
}

/// Asks for something, and returns the serial number of the certificate that the connection has.
async fn ask(stream: &mut Stream) -> io::Result<u64> {
    let request = b"GET /pay HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"done") {
        answer.push(stream.read_u8().await?);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let Stream::Tls(stream) = stream else {
        panic!("no TLS");
    };
    let shown = stream.shown().unwrap();
    let (_, shown) = X509Certificate::from_der(&shown).unwrap();
    Ok(shown.serial.to_string().parse().unwrap())
}

struct Place {
    folder: TempDir,
    socket: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        Self { folder, socket }
    }

    fn identity(&self) -> String {
        format!(
            "identity: {{ spiffe: 'unix://{}' }}\n",
            self.socket.display()
        )
    }

    /// A sidecar that takes clients of two trust domains.
    async fn start(self) -> Bench {
        let identity = self.identity();
        let allow = format!("['spiffe://example.org/{THEIRS}', 'spiffe://other.org/**']");
        let tls = format!("{identity}tls: {{ clients: {{ allow: {allow} }} }}\n");
        let service = serve().await;
        write(
            self.folder.path(),
            &tls,
            &format!("http://{}", service.0),
            "",
        );
        Bench::of(self.folder, String::new(), service)
    }
}

fn write(folder: &Path, more: &str, upstream: &str, tls: &str) {
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: 1\nwatch: false\n{more}\
         upstreams: {{ app: {{ endpoints: ['{upstream}']{tls} }} }}\n\
         routes:\n  - {{ name: pay, upstream: app }}\n"
    );
    fs::write(folder.join("breaker.yaml"), text).unwrap();
}

fn applied(bench: &Bench) -> u64 {
    bench.reloader.certificates().applied
}

fn refused(bench: &Bench) -> u64 {
    bench.reloader.certificates().refused
}

fn problem(bench: &Bench) -> String {
    let identities = bench.reloader.identities();
    identities[0].error.clone().unwrap_or_default()
}

/// Waits for an answer of `/readyz`.
async fn becomes(bench: &Bench, status: &str, word: &str) {
    let head = format!("HTTP/1.1 {status} ");
    let answers = async {
        loop {
            let answer = bench.admin("/readyz").await;
            if answer.starts_with(&head) && answer.trim_end().ends_with(word) {
                return;
            }
        }
    };
    timeout(PATIENCE, answers).await.expect(word);
}

async fn is_ready(bench: &Bench) -> bool {
    bench.admin("/readyz").await.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn before_there_is_an_identity_nobody_is_served_and_then_everybody() {
    let domain = Domain::new("example.org");
    let caller = Caller::new(&domain, Some(&domain.sign(THEIRS, 9)));
    let place = Place::new();
    let socket = place.socket.clone();
    let bench = place.start().await;
    eventually("problem", || problem(&bench).contains("no agent answers")).await;
    assert!(!is_ready(&bench).await);
    caller.call(bench.address).await.unwrap_err();
    eventually("a refusal", || handshakes("no_identity") == Some(1)).await;

    let denied = Status::permission_denied("no identity issued");
    let agent = Agent::start(&socket, Err(denied));
    eventually("denial", || problem(&bench).contains("no identity issued")).await;
    eventually("another try", || agent.asked() > 1).await;
    assert!(!is_ready(&bench).await);

    agent.say(domain.svid(&domain.sign(OURS, 1)));
    eventually("identity", || applied(&bench) == 1).await;
    assert_eq!(caller.call(bench.address).await.unwrap(), 1);
    becomes(&bench, "200", "ready").await;
    assert_eq!(problem(&bench), "");
    let status = bench.admin("/api/v1/status").await;
    for part in [
        r#""id":"spiffe://example.org/ns/shop/sa/pay""#,
        r#""trust_domains":["example.org"]"#,
    ] {
        assert!(status.contains(part), "{part} in {status}");
    }
    let metrics = bench.metrics().await;
    for line in [
        "breaker_tls_reloads_total{breaker_tls_result=\"applied\"} 1",
        "breaker_tls_certificate_expiry_seconds{breaker_tls_use=\"listener\"} ",
        "breaker_tls_handshakes_total{breaker_tls_result=\"no_identity\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn an_agent_that_is_gone_or_garbled_leaves_the_identity_before() {
    let domain = Domain::new("example.org");
    let caller = Caller::new(&domain, Some(&domain.sign(THEIRS, 9)));
    let place = Place::new();
    let socket = place.socket.clone();
    let ours = domain.sign(OURS, 1);
    let agent = Agent::start(&socket, domain.svid(&ours));
    let bench = place.start().await;
    eventually("identity", || applied(&bench) == 1).await;

    let expired = domain.expired(OURS, 3);
    for (what, said) in [
        ("svids: must have an entry", Default::default()),
        ("must be valid now: it expired on", domain.svid(&expired)),
    ] {
        let seen = refused(&bench);
        agent.say(said);
        let is_refused = || refused(&bench) > seen && problem(&bench).contains(what);
        eventually(what, is_refused).await;
        agent.say(domain.svid(&ours));
        eventually("recovery", || problem(&bench).is_empty()).await;
        assert_eq!(caller.call(bench.address).await.unwrap(), 1, "{what}");
    }
    assert_eq!(
        applied(&bench),
        1,
        "what is the same is not put in force again"
    );

    agent.say(Err(Status::unavailable("no more")));
    eventually("failure", || problem(&bench).contains("no more")).await;
    assert_eq!(caller.call(bench.address).await.unwrap(), 1);

    drop(agent);
    fs::remove_file(&socket).unwrap();
    let garbling = UnixListener::bind(&socket).unwrap();
    let garbling = tokio::spawn(async move {
        loop {
            let (mut stream, _) = garbling.accept().await.unwrap();
            let _ = stream
                .write_all(b"\x00\xffgarbage that is no HTTP/2\r\n\r\n")
                .await;
        }
    });
    eventually("garbage", || {
        let problem = problem(&bench);
        !problem.is_empty() && !problem.contains("no more")
    })
    .await;
    assert_eq!(caller.call(bench.address).await.unwrap(), 1);
    garbling.abort();
    assert_eq!(bench.reloader.certificates().applied, 1);
    assert!(is_ready(&bench).await);
}

#[tokio::test]
async fn an_identity_that_is_withdrawn_is_shown_to_nobody() {
    let domain = Domain::new("example.org");
    let caller = Caller::new(&domain, Some(&domain.sign(THEIRS, 9)));
    let place = Place::new();
    let agent = Agent::start(&place.socket, domain.svid(&domain.sign(OURS, 1)));
    let bench = place.start().await;
    eventually("identity", || applied(&bench) == 1).await;
    assert_eq!(caller.call(bench.address).await.unwrap(), 1);
    becomes(&bench, "200", "ready").await;
    agent.say(Err(Status::permission_denied("no registration")));
    eventually("denial", || problem(&bench).contains("no registration")).await;
    eventually("withdrawal", || applied(&bench) == 2).await;
    let before = handshakes("no_identity");
    caller.call(bench.address).await.unwrap_err();
    eventually("a refusal", || handshakes("no_identity") > before).await;
    assert_eq!(bench.reloader.identities()[0].id, None);
    becomes(&bench, "503", "no identity").await;
    agent.say(domain.svid(&domain.sign(OURS, 2)));
    eventually("identity", || applied(&bench) == 3).await;
    assert_eq!(caller.call(bench.address).await.unwrap(), 2);
    becomes(&bench, "200", "ready").await;
}

#[tokio::test]
async fn an_identity_that_is_over_is_shown_to_nobody() {
    let domain = Domain::new("example.org");
    let caller = Caller::new(&domain, Some(&domain.sign(THEIRS, 9)));
    let place = Place::new();
    let id = format!("spiffe://example.org/{OURS}");
    let brief = domain.sign_as(&id, 1, Duration::from_secs(4));
    let agent = Agent::start(&place.socket, domain.svid(&brief));
    let bench = place.start().await;
    eventually("identity", || applied(&bench) == 1).await;
    becomes(&bench, "200", "ready").await;
    let mut before = caller.connect(bench.address).await.unwrap();
    assert_eq!(ask(&mut before).await.unwrap(), 1);
    let refused = async {
        while handshakes("no_identity") == Some(0) {
            let _ = caller.call(bench.address).await;
        }
    };
    timeout(PATIENCE, refused).await.expect("a refusal");
    becomes(&bench, "503", "no identity").await;
    let status = bench.admin("/api/v1/status").await;
    assert!(status.contains(r#""readiness":"no_identity""#), "{status}");
    assert_eq!(ask(&mut before).await.unwrap(), 1, "connections go on");
    agent.say(domain.svid(&domain.sign(OURS, 2)));
    eventually("identity", || applied(&bench) == 2).await;
    assert_eq!(caller.call(bench.address).await.unwrap(), 2);
    becomes(&bench, "200", "ready").await;
}

#[tokio::test]
async fn a_trust_domain_is_trusted_by_its_own_roots_alone() {
    let ours = Domain::new("example.org");
    let other = Domain::new("other.org");
    let stranger = Domain::new("stranger.org");
    let place = Place::new();
    let said = ours.federated(&ours.sign(OURS, 1), &other);
    let agent = Agent::start(&place.socket, said);
    let bench = place.start().await;
    eventually("identity", || applied(&bench) == 1).await;
    let hour = Duration::from_secs(3600);
    for (what, leaf, result) in [
        ("ours", ours.sign(THEIRS, 10), "success"),
        ("of a federated domain", other.sign("x", 11), "success"),
        ("not allowed", ours.sign("ns/x", 12), "not_allowed"),
        (
            "ours, signed by the other",
            other.sign_as(&format!("spiffe://example.org/{THEIRS}"), 13, hour),
            "unknown_ca",
        ),
        (
            "the other's, signed by us",
            ours.sign_as("spiffe://other.org/x", 14, hour),
            "unknown_ca",
        ),
        ("of a stranger", stranger.sign(THEIRS, 15), "unknown_ca"),
        (
            "of no SPIFFE ID",
            ours.sign_as("https://example.org/x", 16, hour),
            "not_allowed",
        ),
    ] {
        let before = handshakes(result);
        let called = Caller::new(&ours, Some(&leaf)).call(bench.address).await;
        assert_eq!(called.is_ok(), result == "success", "{what}: {called:?}");
        let is_counted = || handshakes(result) > before;
        eventually(what, is_counted).await;
    }
    let before = handshakes("no_certificate");
    Caller::new(&ours, None)
        .call(bench.address)
        .await
        .unwrap_err();
    eventually("no certificate", || handshakes("no_certificate") > before).await;

    // Unusable roots of another domain leave ours as they are.
    let refusals = refused(&bench);
    agent.say(ours.garbled(&ours.sign(OURS, 3), &other));
    eventually("identity", || applied(&bench) == 2).await;
    eventually("refusal", || refused(&bench) == refusals + 1).await;
    assert!(problem(&bench).starts_with("federated_bundles: other.org: "));
    let ours_called = Caller::new(&ours, Some(&ours.sign(THEIRS, 18)));
    assert_eq!(ours_called.call(bench.address).await.unwrap(), 3);
    let before = handshakes("unknown_ca");
    let theirs = Caller::new(&ours, Some(&other.sign("x", 19)));
    theirs.call(bench.address).await.unwrap_err();
    eventually("unknown", || handshakes("unknown_ca") > before).await;

    // What is not federated any more is not trusted any more.
    agent.say(ours.svid(&ours.sign(OURS, 2)));
    eventually("identity", || applied(&bench) == 3).await;
    let leaf = other.sign("x", 17);
    let before = handshakes("unknown_ca");
    Caller::new(&ours, Some(&leaf))
        .call(bench.address)
        .await
        .unwrap_err();
    eventually("unknown", || handshakes("unknown_ca") > before).await;
}

/// A service that speaks TLS by an identity, and takes callers that have theirs.
struct Service {
    address: SocketAddr,
    workload: Workload,
    requests: Arc<AtomicU64>,
}

impl Service {
    async fn start(socket: &Path) -> Self {
        let workload = Workload::new(&format!("unix://{}", socket.display())).unwrap();
        let settings = ServerSettings {
            certificates: vec![Credentials::Spiffe(workload.clone())],
            min: MinVersion::Tls13,
            handshake_timeout: Duration::from_secs(5),
            clients: Some(Clients {
                roots: Roots::Spiffe(workload.clone()),
                require: true,
                allow: vec![format!("spiffe://example.org/{THEIRS}").parse().unwrap()],
                forward: Forwarding::None,
            }),
        };
        let server = Server::new(settings).unwrap();
        let rotating = server.rotating();
        tokio::spawn(workload.clone().follow(move |_| {
            rotating.rotate();
            ready(())
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<AtomicU64>::default();
        let counted = requests.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(server.clone(), stream, counted.clone()));
            }
        });
        workload.identified().await;
        Self {
            address,
            workload,
            requests,
        }
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Answers the requests of a connection.
async fn answer(server: Server, stream: TcpStream, counted: Arc<AtomicU64>) {
    let Ok(accepted) = server.accept(Stream::Tcp(stream)).await else {
        return;
    };
    let mut stream = accepted.stream;
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            counted.fetch_add(1, Ordering::Relaxed);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

fn tls(allow: &str) -> String {
    format!(", protocol: http1, tls: {{ allow: ['spiffe://example.org/{allow}'] }}")
}

/// A sidecar that goes to `to` by TLS, with an identity.
async fn before(place: Place, to: SocketAddr) -> Bench {
    let (identity, to) = (place.identity(), format!("https://{to}"));
    write(place.folder.path(), &identity, &to, &tls(OURS));
    Bench::of(place.folder, String::new(), serve().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_rotations_of_both_sides_under_load_lose_no_request() {
    let domain = Domain::new("example.org");
    let (back, front) = (Place::new(), Place::new());
    let pay = Agent::start(&back.socket, domain.svid(&domain.sign(OURS, 1)));
    let checkout = Agent::start(&front.socket, domain.svid(&domain.sign(THEIRS, 1)));
    let service = Service::start(&back.socket).await;
    let front = Arc::new(before(front, service.address).await);
    eventually("identity", || applied(&front) == 1).await;
    let over = Arc::<AtomicBool>::default();
    let callers = [(); 2].map(|()| {
        let (front, over) = (front.clone(), over.clone());
        tokio::spawn(async move {
            let mut served = 0_u64;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(front.get("/pay").await, 200);
                served += 1;
            }
            served
        })
    });
    for serial in 2..=101 {
        let before = service.workload.svid().unwrap();
        pay.say(domain.svid(&domain.sign(OURS, serial)));
        checkout.say(domain.svid(&domain.sign(THEIRS, serial)));
        eventually("rotation", || {
            let now = service.workload.svid().unwrap();
            !Arc::ptr_eq(&now, &before) && applied(&front) == serial
        })
        .await;
    }
    over.store(true, Ordering::Relaxed);
    let mut served = 0;
    for caller in callers {
        served += caller.await.expect("a caller without an error");
    }
    // Connections are made anew with other certificates.
    let before = handshakes("success");
    checkout.say(domain.svid(&domain.sign(THEIRS, 102)));
    let anew = async {
        while handshakes("success") == before {
            assert_eq!(front.get("/pay").await, 200);
            served += 1;
        }
    };
    timeout(PATIENCE, anew).await.expect("another connection");
    let totals = front.breaker("pay").snapshot().totals;
    assert_eq!((totals.success, totals.failure), (served, 0));
    assert_eq!((service.requests(), refused(&front)), (served, 0));
}

#[tokio::test]
async fn without_an_identity_an_upstream_is_not_called_and_not_blamed() {
    let domain = Domain::new("example.org");
    let (back, front) = (Place::new(), Place::new());
    let _pay = Agent::start(&back.socket, domain.svid(&domain.sign(OURS, 1)));
    let service = Service::start(&back.socket).await;
    let socket = front.socket.clone();
    let front = before(front, service.address).await;
    assert_eq!(front.get("/pay").await, 503);
    let totals = front.breaker("pay").snapshot().totals;
    assert_eq!((totals.ignored, totals.failure), (1, 0));
    assert_eq!(handshakes("closed"), Some(0), "nobody has come");

    let id = format!("spiffe://example.org/{THEIRS}");
    let brief = domain.sign_as(&id, 2, Duration::from_secs(8));
    let _checkout = Agent::start(&socket, domain.svid(&brief));
    eventually("identity", || applied(&front) == 1).await;
    assert_eq!(front.get("/pay").await, 200);
    let config = front.reloader.0.running().config.clone();
    let upstream = config.routes()[0].upstream().unwrap();
    let client = upstream.tls.as_ref().unwrap();
    assert!(!client.lacks_identity());
    eventually("expiry", || client.lacks_identity()).await;
    let refuses = front.reloader.refuses_clients();
    assert!(!refuses, "other routes may need no identity");
}

#[tokio::test]
async fn a_server_of_another_trust_domain_is_refused() {
    let (ours, other) = (Domain::new("example.org"), Domain::new("other.org"));
    let (back, front) = (Place::new(), Place::new());
    // It says that it is of our domain, and trusts us.
    let leaf = other.sign_as(
        &format!("spiffe://example.org/{OURS}"),
        1,
        Duration::from_secs(60),
    );
    let said = ours.svid(&leaf);
    let _pay = Agent::start(&back.socket, said);
    let service = Service::start(&back.socket).await;
    let federated = ours.federated(&ours.sign(THEIRS, 1), &other);
    let checkout = Agent::start(&front.socket, federated);
    let front = before(front, service.address).await;
    eventually("identity", || applied(&front) == 1).await;
    assert_eq!(front.get("/pay").await, 502);
    let totals = front.breaker("pay").snapshot().totals;
    assert_eq!((totals.failure, service.requests()), (1, 0));
    drop(checkout);
}

#[tokio::test]
async fn a_reload_waits_for_the_identity_that_it_needs_and_is_refused_without() {
    let domain = Domain::new("example.org");
    let (back, front) = (Place::new(), Place::new());
    let _pay = Agent::start(&back.socket, domain.svid(&domain.sign(OURS, 1)));
    let service = Service::start(&back.socket).await;
    let (identity, socket) = (front.identity(), front.socket.clone());
    let plain = serve().await;
    let url = format!("http://{}", plain.0);
    write(front.folder.path(), "", &url, "");
    let front = Bench::of(front.folder, String::new(), plain);
    assert_eq!(front.get("/pay").await, 200);
    let url = format!("https://{}", service.address);
    write(front.folder.path(), &identity, &url, &tls(OURS));
    let error = front.reloader.reload().await.unwrap_err().to_string();
    let rule = format!(
        "no identity of unix://{}: no agent answers: ",
        socket.display()
    );
    assert!(error.starts_with(&rule), "{error}");
    assert_eq!(front.get("/pay").await, 200);

    let _checkout = Agent::start(&socket, domain.svid(&domain.sign(THEIRS, 1)));
    assert_eq!(front.reload().await.updated, ["pay"]);
    assert_eq!(front.get("/pay").await, 200);
    assert_eq!(service.requests(), 1);
}

#[tokio::test]
async fn routes_are_put_in_force_with_their_identity() {
    let domain = Domain::new("example.org");
    let place = Place::new();
    let _agent = Agent::start(&place.socket, domain.svid(&domain.sign(THEIRS, 1)));
    let (identity, plain) = (place.identity(), serve().await);
    write(place.folder.path(), "", &format!("http://{}", plain.0), "");
    let front = Bench::of(place.folder, String::new(), plain);
    assert!(is_ready(&front).await);
    let tls = tls(OURS);
    write(front.folder.path(), &identity, "https://127.0.0.1:9", &tls);
    let state = front.reloader.0.clone();
    let lacks_identity = spawn_blocking(move || {
        let mut running = state.running();
        state.try_reload(&mut running).unwrap();
        let upstream = running.config.routes()[0].upstream().unwrap();
        upstream.tls.as_ref().unwrap().lacks_identity()
    });
    assert!(!lacks_identity.await.unwrap());
}

#[tokio::test]
async fn who_waits_for_an_identity_does_not_wait_for_a_reload() {
    let domain = Domain::new("example.org");
    let place = Place::new();
    let _agent = Agent::start(&place.socket, domain.svid(&domain.sign(OURS, 1)));
    let bench = place.start().await;
    eventually("identity", || applied(&bench) == 1).await;
    // As a reload does that waits for another agent.
    let _reloading = bench.reloader.0.running();
    let (tell, told) = mpsc::channel();
    let reloader = bench.reloader.clone();
    thread::spawn(move || {
        let mut context = Context::from_waker(Waker::noop());
        let identified = pin!(reloader.identified()).poll(&mut context);
        tell.send(identified.is_ready())
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn who_listens_to_an_agent_begins_again_after_a_panic() {
    let mut begun = 0;
    let begin = || {
        begun += 1;
        let is_first = begun == 1;
        Some(async move { assert!(!is_first, "a bug") })
    };
    outlast_panics("agent", begin).await;
    assert_eq!(begun, 2);
}

#[test]
fn what_an_identity_trusts_is_no_root_for_all() {
    let roots: Roots = Roots::Spiffe(Workload::new("unix:///run/none.sock").unwrap());
    assert!(roots.load().unwrap().is_empty());
}
