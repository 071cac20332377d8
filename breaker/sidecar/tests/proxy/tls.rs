//! TLS to upstreams, which show what they like, and are shown what they ask for; from clients it is
//! in `listener`.

mod age;
mod alert;
mod authority;
mod hostile;
mod listener;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use breaker_sidecar::tls::{Client, ClientSettings, MinVersion, Roots};
use breaker_sidecar::upstream::{Endpoint, Protocol, Upstream};
use breaker_tower::breaker_core::Balance;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::authority::{Authority, Leaf};
use crate::harness::{
    GET, OK, Options, Origin, Sidecar, eventually, header, nobody, patient, status,
};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// An upstream that speaks TLS; what it got, request by request.
struct Secure {
    origin: Origin,
    requests: Arc<AtomicUsize>,
}

/// Answers each request by its version and scheme, in the protocol that ALPN chose.
async fn serve(stream: TlsStream<TcpStream>, requests: Arc<AtomicUsize>) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        requests.fetch_add(1, Ordering::SeqCst);
        async move {
            let (head, body) = request.into_parts();
            let scheme = head.uri.scheme_str().unwrap_or("-").to_owned();
            let host = head.headers.get("host").or(head.headers.get("x"));
            let host = host.map_or("-".to_owned(), |host| host.to_str().unwrap().to_owned());
            let body = body.collect().await?.to_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            let text = format!("{:?} {scheme} {host} {body}", head.version);
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(text))))
        }
    });
    let io = TokioIo::new(stream);
    // Its end is the test's.
    let _ = match is_http2 {
        true => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await
        }
        false => {
            hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await
        }
    };
}

impl Secure {
    async fn start(config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let requests = Arc::<AtomicUsize>::default();
        let count = requests.clone();
        let origin = Origin::raw(move |stream| {
            let (acceptor, count) = (acceptor.clone(), count.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, count).await;
                }
            }
        })
        .await;
        Self { origin, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn trusting(authority: &Authority) -> ClientSettings {
    ClientSettings {
        roots: Roots::File(authority.file()),
        ..ClientSettings::default()
    }
}

/// A sidecar before these endpoints.
fn sidecar(
    endpoints: &[&Secure],
    settings: ClientSettings,
    set: impl FnOnce(&mut Upstream),
) -> Sidecar {
    let client = Client::new(settings).unwrap();
    let endpoints = endpoints
        .iter()
        .map(|it| Endpoint::Address(it.origin.address));
    let mut upstream = patient(endpoints.collect());
    upstream.tls = Some(client);
    set(&mut upstream);
    Sidecar::to(upstream, Options::default())
}

fn error(response: &str) -> String {
    let found = header(response, "proxy-status").unwrap_or_default();
    let error = found.split("error=").nth(1).unwrap_or_default();
    let error = error.split(';').next().unwrap();
    format!("{} {error}", status(response))
}

#[tokio::test]
async fn what_the_upstream_chooses_by_alpn_is_spoken_and_its_connections_are_used_again() {
    let authority = Authority::new();
    for (alpn, said) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0 https"),
        (&["http/1.1"], "HTTP/1.1 -"),
        (&[], "HTTP/1.1 -"),
    ] {
        let server = Secure::start(authority.server(&Leaf::server(), alpn, None)).await;
        let sidecar = sidecar(&[&server], trusting(&authority), |_| ());
        for request in [GET, POST, GET] {
            let answer = sidecar.ask(request).await;
            assert_eq!(status(&answer), "200", "{answer}");
            assert!(answer.contains(said), "{alpn:?}: {answer}");
        }
        assert!(sidecar.ask(POST).await.ends_with("hi"));
        let made = server.origin.connections();
        assert_eq!(made, 1, "{alpn:?}");
        assert_eq!(sidecar.totals(), (4, 0, 0));
    }
}

#[tokio::test]
async fn the_protocol_can_be_said_and_the_host_is_the_callers() {
    let authority = Authority::new();
    for (protocol, said) in [
        (Protocol::H2c, "HTTP/2.0"),
        (Protocol::Http1, "HTTP/1.1 - a"),
    ] {
        let server = authority.server(&Leaf::server(), &["h2", "http/1.1"], None);
        let server = Secure::start(server).await;
        let sidecar = sidecar(&[&server], trusting(&authority), |upstream| {
            upstream.protocol = protocol;
        });
        let answer = sidecar.ask(GET).await;
        assert!(answer.contains(said), "{answer}");
    }
}

#[tokio::test]
async fn each_failure_of_a_handshake_has_its_error_and_is_the_upstreams() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let trusting = || trusting(&authority);
    let server = |leaf: Leaf| authority.server(&leaf, &["http/1.1"], None);
    let allowing = |id: &str| ClientSettings {
        allow: vec![id.parse().unwrap()],
        ..trusting()
    };
    let spiffe = || Leaf::spiffe("spiffe://example.org/pay");
    let named = ClientSettings {
        name: Some("pay.shop".try_into().unwrap()),
        ..trusting()
    };
    let certificate = "502 tls_certificate_error";
    for (what, server, settings, gets) in [
        ("good", server(Leaf::server()), trusting(), "200 "),
        (
            "its name is said",
            server(Leaf::named("pay.shop")),
            named,
            "200 ",
        ),
        (
            "foreign",
            stranger.server(&Leaf::server(), &[], None),
            trusting(),
            certificate,
        ),
        ("expired", server(Leaf::expired()), trusting(), certificate),
        (
            "of another",
            server(Leaf::named("other")),
            trusting(),
            certificate,
        ),
        (
            "no client certificate, which is asked for",
            authority.server(&Leaf::server(), &[], Some(&authority)),
            trusting(),
            "502 tls_alert_received",
        ),
        (
            "of a foreign authority",
            authority.server(&Leaf::server(), &[], Some(&authority)),
            ClientSettings {
                present: Some(stranger.pair("client", &Leaf::client())),
                ..trusting()
            },
            "502 tls_alert_received",
        ),
        (
            "the client's certificate",
            authority.server(&Leaf::server(), &[], Some(&authority)),
            ClientSettings {
                present: Some(authority.pair("client", &Leaf::client())),
                ..trusting()
            },
            "200 ",
        ),
        (
            "no protocol in common",
            authority.server(&Leaf::server(), &["spdy"], None),
            trusting(),
            "502 tls_alert_received",
        ),
        (
            "its SPIFFE ID, and not its name",
            server(spiffe()),
            allowing("spiffe://example.org/*"),
            "200 ",
        ),
        (
            "another SPIFFE ID",
            server(spiffe()),
            allowing("spiffe://example.org/other"),
            certificate,
        ),
        (
            "no SPIFFE ID",
            server(Leaf::server()),
            allowing("spiffe://example.org/*"),
            certificate,
        ),
        (
            "two URIs",
            server(spiffe().and_uri("spiffe://example.org/other")),
            allowing("spiffe://example.org/*"),
            certificate,
        ),
        (
            "TLS 1.2",
            authority.only_tls12(&Leaf::server()),
            trusting(),
            "502 tls_alert_received",
        ),
        (
            "TLS 1.2, which is allowed",
            authority.only_tls12(&Leaf::server()),
            ClientSettings {
                min: MinVersion::Tls12,
                ..trusting()
            },
            "200 ",
        ),
    ] {
        let server = Secure::start(server).await;
        let sidecar = sidecar(&[&server], settings, |_| ());
        let answer = sidecar.ask(POST).await;
        assert_eq!(error(&answer), gets, "{what}");
        let good = u64::from(gets == "200 ");
        assert_eq!(sidecar.totals(), (good, 1 - good, 0), "{what}");
        assert_eq!(server.requests() as u64, good, "{what}");
    }
}

#[tokio::test]
async fn a_handshake_without_an_end_is_a_connection_timeout_and_no_tls_is_its_error() {
    let authority = Authority::new();
    let silent = Secure {
        origin: Origin::raw(|mut stream| async move {
            let mut scratch = [0; 4096];
            while let Ok(1..) = stream.read(&mut scratch).await {}
        })
        .await,
        requests: Arc::default(),
    };
    let quick = |upstream: &mut Upstream| upstream.connect_timeout = Duration::from_millis(200);
    let before = sidecar(&[&silent], trusting(&authority), quick);
    assert_eq!(error(&before.ask(GET).await), "504 connection_timeout");
    let plain = Secure {
        origin: Origin::raw(|mut stream| async move {
            let _ = stream.write_all(OK.as_bytes()).await;
        })
        .await,
        requests: Arc::default(),
    };
    let before = sidecar(&[&plain], trusting(&authority), quick);
    assert_eq!(error(&before.ask(GET).await), "502 tls_protocol_error");
    let closing = Secure {
        origin: Origin::raw(|stream| async move { drop(stream) }).await,
        requests: Arc::default(),
    };
    let before = sidecar(&[&closing], trusting(&authority), quick);
    assert_eq!(error(&before.ask(GET).await), "502 connection_terminated");
}

/// In TLS 1.3 the refusal of a certificate comes after the client's handshake, perhaps after its
/// request.
#[tokio::test]
async fn an_endpoint_that_refuses_our_certificate_gets_the_request_never_and_another_one_does() {
    let authority = Authority::new();
    let stranger = Authority::new();
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let refusing = authority.server(&Leaf::server(), alpn, Some(&stranger));
        let refusing = Secure::start(refusing).await;
        let taking = Secure::start(authority.server(&Leaf::server(), alpn, None)).await;
        let settings = ClientSettings {
            present: Some(authority.pair("client", &Leaf::client())),
            ..trusting(&authority)
        };
        let sidecar = sidecar(&[&refusing, &taking], settings, |upstream| {
            upstream.balancing.balance = Balance::RoundRobin;
        });
        for _ in 0..20 {
            let answer = sidecar.ask(POST).await;
            assert_eq!(status(&answer), "200", "{answer}");
            assert!(answer.ends_with("hi"), "{answer}");
        }
        assert_eq!((refusing.requests(), taking.requests()), (0, 20));
        assert_eq!(sidecar.totals(), (20, 0, 0));
        let refused = || {
            let sent = sidecar.sent.lock().unwrap();
            sent.iter().any(|line| line.contains("TlsAlert"))
        };
        eventually("an attempt that was refused", refused).await;
    }
}

#[tokio::test]
async fn what_an_endpoint_that_closes_in_the_handshake_never_got_goes_to_another_one() {
    let authority = Authority::new();
    for (protocol, alpn) in [(Protocol::H2c, "h2"), (Protocol::Http1, "http/1.1")] {
        let closing = Secure {
            origin: Origin::raw(|stream| async move { drop(stream) }).await,
            requests: Arc::default(),
        };
        let taking = Secure::start(authority.server(&Leaf::server(), &[alpn], None)).await;
        let sidecar = sidecar(&[&closing, &taking], trusting(&authority), |upstream| {
            upstream.protocol = protocol;
            upstream.balancing.balance = Balance::RoundRobin;
        });
        for _ in 0..10 {
            let answer = sidecar.ask(POST).await;
            assert_eq!(status(&answer), "200", "{protocol:?}: {answer}");
        }
        assert_eq!(taking.requests(), 10);
        assert_eq!(sidecar.totals(), (10, 0, 0));
    }
}

#[tokio::test]
async fn a_protocol_switch_goes_by_http1_whatever_the_upstream_chooses() {
    let authority = Authority::new();
    let config = authority.server(&Leaf::server(), &["h2", "http/1.1"], None);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let origin = Origin::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let switch =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
            stream.write_all(switch.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            let (mut from, mut to) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    })
    .await;
    let server = Secure {
        origin,
        requests: Arc::default(),
    };
    let sidecar = sidecar(&[&server], trusting(&authority), |_| ());
    let mut client = sidecar.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(status(&client.head().await), "101");
    client.send("hello").await;
    let mut echoed = [0; 5];
    client.0.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let authority = Authority::new();
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let server = Secure::start(authority.server(&Leaf::server(), alpn, None)).await;
        let sidecar = sidecar(&[&server], trusting(&authority), |_| ());
        let body = "x".repeat(3 << 20);
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = sidecar.ask(&(head + &body)).await;
        assert!(answer.ends_with(&body), "{alpn:?}");
    }
}

/// Without a listener nobody is there.
#[tokio::test]
async fn a_client_of_ours_can_be_refused_by_nobody() {
    let address = nobody();
    let authority = Authority::new();
    let nobody = Secure {
        origin: Origin {
            address,
            connections: Arc::default(),
            heads: Arc::default(),
        },
        requests: Arc::default(),
    };
    let sidecar = sidecar(&[&nobody], trusting(&authority), |_| ());
    assert_eq!(error(&sidecar.ask(GET).await), "502 connection_refused");
}
