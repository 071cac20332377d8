//! TLS from clients, which show what they like.

use std::sync::Arc;
use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Match, Route};
use breaker_sidecar::tls::{Clients, Forwarding, Roots, Server, ServerSettings, handshakes};
use breaker_tower::{BreakerHandle, Policy};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Leaf};
use crate::harness::{GET, OK, Options, Origin, PATIENCE, Sidecar, eventually, header, status};

pub(super) fn settings(authority: &Authority) -> ServerSettings {
    ServerSettings {
        certificates: vec![authority.pair("server", &Leaf::server())],
        min: Default::default(),
        handshake_timeout: Duration::from_secs(5),
        clients: None,
    }
}

pub(super) fn asking(authority: &Authority) -> Clients {
    Clients {
        roots: Roots::File(authority.file()),
        require: true,
        allow: Vec::new(),
        forward: Forwarding::None,
    }
}

pub(super) fn sidecar(origin: &Origin, settings: ServerSettings) -> Sidecar {
    let tls = Some(Server::new(settings).unwrap());
    Sidecar::with(origin.address, |options| options.tls = tls)
}

/// A client that trusts `authority`, and shows what that or another has signed.
pub(super) fn client(
    authority: &Authority,
    alpn: &[&str],
    shown: Option<(&Authority, Leaf)>,
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(authority.roots());
    let mut config = match shown {
        None => config.with_no_client_auth(),
        Some((signer, leaf)) => {
            let (chain, key) = signer.signed(&leaf);
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub(super) async fn connect(
    sidecar: &Sidecar,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let connected = timeout(PATIENCE, connector.connect(name, stream)).await;
    connected.expect("a handshake")
}

/// Sends a request, and reads until the end; the last is an error if the end was not said.
pub(super) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    request: &str,
) -> (String, std::io::Result<usize>) {
    // A peer that has refused us takes nothing.
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let read = read.expect("the end of a connection");
    (String::from_utf8_lossy(&answer).into_owned(), read)
}

fn alert(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref() {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

pub(super) fn count(word: &str) -> u64 {
    handshakes(word).unwrap()
}

pub(super) const CLOSE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn both_protocols_are_spoken_by_alpn_and_without_it_what_comes() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let sidecar = sidecar(&origin, settings(&authority));
    for alpn in [&["http/1.1"][..], &[]] {
        let config = client(&authority, alpn, None);
        let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
        let (answer, end) = exchange(&mut stream, CLOSE).await;
        assert!(answer.ends_with("ok"), "{answer}");
        end.expect("the end is said");
    }
    for alpn in [&["h2"][..], &["h2", "http/1.1"], &[]] {
        let config = client(&authority, alpn, None);
        let stream = connect(&sidecar, config, "localhost").await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let shaken = hyper::client::conn::http2::handshake(executor, io).await;
        let (mut sender, connection) = shaken.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("https://a/")
            .body(String::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, http::Version::HTTP_2)
        );
    }
    let head = &origin.heads()[0];
    assert_eq!(header(head, "x-forwarded-proto"), Some("https"));
    assert_eq!(count("success"), 5);
}

#[tokio::test]
async fn each_refusal_is_an_alert_and_counted_and_no_request_is_read() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let origin = Origin::ok().await;
    let clients = Clients {
        allow: vec!["spiffe://example.org/ns/*/sa/pay".parse().unwrap()],
        ..asking(&authority)
    };
    let sidecar = sidecar(
        &origin,
        ServerSettings {
            clients: Some(clients),
            ..settings(&authority)
        },
    );
    let pay = || Leaf::spiffe("spiffe://example.org/ns/shop/sa/pay");
    let expired = || pay().until_2020();
    let other = || Leaf::spiffe("spiffe://example.org/ns/shop/sa/other");
    let two = || pay().and_uri("spiffe://example.org/ns/shop/sa/other");
    let query = || Leaf::spiffe("spiffe://example.org/ns/shop/sa/pay?x");
    type Shown<'a> = Option<(&'a Authority, Leaf)>;
    let shown: [(Shown<'_>, AlertDescription, &str); 9] = [
        (
            None,
            AlertDescription::CertificateRequired,
            "no_certificate",
        ),
        (
            Some((&authority, expired())),
            AlertDescription::CertificateExpired,
            "expired",
        ),
        (
            Some((&stranger, pay())),
            AlertDescription::UnknownCA,
            "unknown_ca",
        ),
        (
            Some((&authority, other())),
            AlertDescription::AccessDenied,
            "not_allowed",
        ),
        (
            Some((&authority, Leaf::client())),
            AlertDescription::AccessDenied,
            "not_allowed",
        ),
        (
            Some((&authority, two())),
            AlertDescription::AccessDenied,
            "not_allowed",
        ),
        (
            Some((&authority, query())),
            AlertDescription::AccessDenied,
            "not_allowed",
        ),
        (
            Some((&authority, pay().that_signs())),
            AlertDescription::AccessDenied,
            "not_allowed",
        ),
        (
            Some((&authority, pay().for_servers_alone())),
            AlertDescription::UnsupportedCertificate,
            "bad_certificate",
        ),
    ];
    for (shown, expected, word) in shown {
        let before = count(word);
        let config = client(&authority, &["http/1.1"], shown);
        // In TLS 1.3 the client's handshake is done before it is refused.
        let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
        let (answer, end) = exchange(&mut stream, CLOSE).await;
        assert_eq!(answer, "");
        assert_eq!(alert(&end.unwrap_err()), Some(expected), "{word}");
        eventually(word, || count(word) == before + 1).await;
    }
    let config = client(&authority, &[], Some((&authority, pay())));
    let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
    assert!(exchange(&mut stream, CLOSE).await.0.ends_with("ok"));
    let refused = connect(&sidecar, client(&authority, &["spdy"], None), "localhost").await;
    let expected = Some(AlertDescription::NoApplicationProtocol);
    assert_eq!(alert(&refused.unwrap_err()), expected);
    eventually("alpn", || count("alpn") == 1).await;
    assert_eq!(origin.heads().len(), 1);
    // They are no matter of the upstream.
    assert_eq!(sidecar.totals(), (1, 0, 0));
    assert_eq!(sidecar.finished.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn plain_http_is_told_so_and_tls_to_a_plain_port_too() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let secure = sidecar(&origin, settings(&authority));
    let answer = secure.exchange(GET).await;
    assert_eq!(status(&answer), "400");
    assert!(
        answer.ends_with("this port speaks TLS (https://)"),
        "{answer}"
    );
    eventually("one without TLS", || count("not_tls") == 1).await;
    let plain = Sidecar::start(origin.address, Options::default());
    let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    hello.resize(517, 7);
    let mut client = plain.connect().await;
    client.send(&hello).await;
    assert_eq!(status(&client.rest().await), "400");
    assert_eq!(origin.heads().len(), 0);
}

#[tokio::test]
async fn the_certificate_is_that_of_the_name_and_else_the_first() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let sidecar = sidecar(
        &origin,
        ServerSettings {
            certificates: vec![
                authority.pair("server", &Leaf::server()),
                authority.pair("pay", &Leaf::named("pay.shop")),
                authority.pair("any", &Leaf::named("*.any.shop")),
            ],
            ..settings(&authority)
        },
    );
    for name in ["localhost", "127.0.0.1", "pay.shop", "x.any.shop"] {
        let connected = connect(&sidecar, client(&authority, &[], None), name).await;
        connected.expect(name);
    }
    let refused = connect(&sidecar, client(&authority, &[], None), "other.shop").await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("localhost"), "the first one: {refused}");
}

#[tokio::test]
async fn sessions_are_resumed_only_where_clients_show_no_certificates() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    for (clients, expected) in [
        (None, HandshakeKind::Resumed),
        (Some(asking(&authority)), HandshakeKind::Full),
    ] {
        let sidecar = sidecar(
            &origin,
            ServerSettings {
                clients,
                ..settings(&authority)
            },
        );
        let mut config = client(&authority, &[], Some((&authority, Leaf::client())));
        config.resumption = Resumption::in_memory_sessions(4);
        let mut kind = None;
        for _ in 0..2 {
            let mut stream = connect(&sidecar, config.clone(), "localhost")
                .await
                .unwrap();
            assert!(exchange(&mut stream, CLOSE).await.0.ends_with("ok"));
            kind = stream.get_ref().1.handshake_kind();
        }
        assert_eq!(kind, Some(expected));
    }
}

#[tokio::test]
async fn upstreams_are_told_of_the_certificate_by_us_alone() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let spoof = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                 X-Forwarded-Client-Cert: spoof\r\nx_forwarded_client_cert: spoof\r\n\
                 Client-Cert: spoof\r\nClient-Cert-Chain: spoof\r\nl5d-client-id: spoof\r\n\r\n";
    for (forward, name, expected) in [
        (Forwarding::Xfcc, "x-forwarded-client-cert", "Hash="),
        (Forwarding::ClientCert, "client-cert", ":MII"),
        (Forwarding::None, "-", ""),
    ] {
        let sidecar = sidecar(
            &origin,
            ServerSettings {
                clients: Some(Clients {
                    forward,
                    ..asking(&authority)
                }),
                ..settings(&authority)
            },
        );
        let shown = Leaf::spiffe("spiffe://example.org/pay");
        let config = client(&authority, &[], Some((&authority, shown)));
        let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
        let (answer, _) = exchange(&mut stream, spoof).await;
        assert_eq!(status(&answer), "200");
        let head = origin.heads().pop().unwrap();
        assert!(!head.contains("spoof"), "{head}");
        let told = header(&head, name).unwrap_or_default();
        assert!(told.starts_with(expected), "{head}");
        let has_id = told.ends_with(";URI=spiffe://example.org/pay");
        assert_eq!(has_id, forward == Forwarding::Xfcc, "{head}");
    }
    // Without TLS as well.
    let plain = Sidecar::start(origin.address, Options::default());
    plain.exchange(spoof).await;
    assert!(!origin.heads().pop().unwrap().contains("spoof"));
}

#[tokio::test]
async fn a_route_can_be_for_some_clients_alone() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let upstream = breaker_sidecar::upstream::Endpoint::Address(origin.address);
    let upstream = crate::harness::patient(vec![upstream]);
    let breaker = BreakerHandle::new("all", Policy::builtin("sensitive").unwrap());
    let mut route = Route::new(breaker.clone(), Arc::new(upstream));
    route.matches = Match {
        peer: Some("spiffe://example.org/ns/*/sa/pay".parse().unwrap()),
        ..Match::default()
    };
    let mut clients = asking(&authority);
    clients.require = false;
    let tls = Server::new(ServerSettings {
        clients: Some(clients),
        ..settings(&authority)
    });
    let sidecar = Sidecar::with_tls(vec![route], breaker, Limits::default(), tls.unwrap());
    let of = |id: &str| Some((&authority, Leaf::spiffe(id)));
    for (shown, gets) in [
        (of("spiffe://example.org/ns/shop/sa/pay"), "200"),
        (of("spiffe://example.org/ns/shop/sa/other"), "404"),
        (Some((&authority, Leaf::client())), "404"),
        (None, "404"),
    ] {
        let config = client(&authority, &[], shown);
        let mut stream = connect(&sidecar, config, "localhost").await.unwrap();
        assert_eq!(status(&exchange(&mut stream, CLOSE).await.0), gets);
    }
}

#[tokio::test]
async fn handshakes_that_do_not_go_on_keep_nobody_out() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let sidecar = sidecar(
        &origin,
        ServerSettings {
            handshake_timeout: Duration::from_secs(60),
            ..settings(&authority)
        },
    );
    let mut halves = Vec::new();
    for _ in 0..300 {
        let mut half = sidecar.connect().await;
        half.send([22, 3, 1]).await;
        halves.push(half);
    }
    eventually("more than there is room for", || count("crowded") == 44).await;
    let mut stream = connect(&sidecar, client(&authority, &[], None), "localhost")
        .await
        .unwrap();
    assert!(exchange(&mut stream, CLOSE).await.0.ends_with("ok"));
    eventually("the oldest", || count("crowded") == 45).await;
    // Those in the queue go on; the oldest are closed.
    assert_eq!(halves[0].rest().await, "");
}

#[tokio::test]
async fn a_handshake_has_a_time_and_a_size_and_a_sense() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let sidecar = sidecar(
        &origin,
        ServerSettings {
            handshake_timeout: Duration::from_millis(200),
            ..settings(&authority)
        },
    );
    let mut silent = sidecar.connect().await;
    silent.send([22, 3, 1, 2, 0]).await;
    assert_eq!(silent.rest().await, "");
    // It is counted when the connection has ended on our side too.
    eventually("a late one", || count("timeout") == 1).await;
    let mut large = sidecar.connect().await;
    // Of 16 MiB, in records of 16 KiB.
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    large.send(&record).await;
    large.rest().await;
    let mut senseless = sidecar.connect().await;
    senseless.send([22, 3, 1, 0, 4, 9, 9, 9, 9]).await;
    senseless.rest().await;
    eventually("two senseless ones", || count("protocol") == 2).await;
    drop(sidecar.connect().await);
    let mut gone = sidecar.connect().await;
    gone.send([22, 3, 1]).await;
    gone.0.set_zero_linger().unwrap();
    drop(gone);
    eventually("an end", || count("closed") == 1).await;
}

#[tokio::test]
async fn a_connection_is_parked_between_requests_and_goes_on() {
    let authority = Authority::new();
    let origin = Origin::ok().await;
    let tls = Server::new(settings(&authority)).unwrap();
    let sidecar = Sidecar::with(origin.address, |options| {
        options.tls = Some(tls);
        options.limits.park_after = Duration::from_millis(5);
        options.limits.keep_alive = Duration::from_millis(500);
    });
    let mut stream = connect(&sidecar, client(&authority, &[], None), "localhost")
        .await
        .unwrap();
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            answer.push(stream.read_u8().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .unwrap();
    end.expect("an idle connection's end is said");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_cut_answer_is_not_taken_for_its_end() {
    let authority = Authority::new();
    let origin = Origin::answering(|_, _| OK.replace("2\r\n", "9\r\n")).await;
    let until_close = Origin::raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall").await;
    })
    .await;
    let tls = || Some(Server::new(settings(&authority)).unwrap());
    let cut = Sidecar::with(origin.address, |options| {
        options.tls = tls();
        options.route = |mut route| {
            route.body.response_idle = Some(Duration::from_millis(50));
            route
        };
    });
    let config = || client(&authority, &[], None);
    let mut stream = connect(&cut, config(), "localhost").await.unwrap();
    let (_, end) = exchange(&mut stream, "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    end.expect_err("no end is said");
    let whole = Sidecar::with(until_close.address, |options| options.tls = tls());
    let mut stream = connect(&whole, config(), "localhost").await.unwrap();
    let (answer, end) = exchange(&mut stream, "GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("all"), "{answer}");
    end.expect("the end is said");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_its_request_is_under_way() {
    let authority = Authority::new();
    let origin = Origin::raw(|mut stream| async move {
        let mut scratch = [0; 4096];
        while let Ok(1..) = stream.read(&mut scratch).await {}
    })
    .await;
    let tls = Some(Server::new(settings(&authority)).unwrap());
    let sidecar = Sidecar::with(origin.address, |options| {
        options.tls = tls;
        options.limits.half_closed = Duration::from_millis(50);
    });
    let mut stream = connect(&sidecar, client(&authority, &[], None), "localhost")
        .await
        .unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    eventually("the request is sent on", || origin.connections() == 1).await;
    stream.shutdown().await.unwrap();
    drop(stream);
    let is_over = || {
        let finished = sidecar.finished.lock().unwrap();
        finished.iter().any(|line| line.contains("ClientGone"))
    };
    eventually("its end", is_over).await;
}

#[tokio::test]
async fn large_bodies_pass_to_slow_readers_too() {
    let authority = Authority::new();
    let origin = Origin::answering(|_, body| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let sidecar = sidecar(&origin, settings(&authority));
    let body = "x".repeat(5 << 20);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let stream = connect(&sidecar, client(&authority, &[], None), "localhost")
        .await
        .unwrap();
    let (mut from, mut to) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        to.write_all(request.as_bytes()).await.unwrap();
        to.flush().await.unwrap();
        to
    });
    let _to = sending.await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answer = Vec::new();
    timeout(PATIENCE, from.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.ends_with(body.as_bytes()), "{}", answer.len());
}
