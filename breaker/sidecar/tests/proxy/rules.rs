//! What an attacker finds where RFC 9110 to 9113 are read loosely: each is a rule, and what goes
//! out.

use std::sync::{Arc, Mutex};

use breaker_sidecar::upstream::{Protocol, Upstream};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{GET, OK, Origin, PATIENCE, Sidecar, header, status};
use crate::http2::connect;

/// An upstream of HTTP/2 that notes the requests, and answers 200.
async fn http2_origin() -> (std::net::SocketAddr, Arc<Mutex<Vec<Request<()>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<Request<()>>>>::default();
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = log.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (parts, body) = request.into_parts();
                let log = log.clone();
                async move {
                    let trailers = body.collect().await?.trailers().cloned();
                    let mut request = Request::from_parts(parts, ());
                    request
                        .extensions_mut()
                        .insert(trailers.unwrap_or_default());
                    log.lock().unwrap().push(request);
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("ok"))))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, seen)
}

fn h2c(upstream: Upstream) -> Upstream {
    Upstream {
        protocol: Protocol::H2c,
        ..upstream
    }
}

/// The status of a request over HTTP/2, by its method, target and header fields; `None` if its
/// stream is reset.
async fn over_http2(sidecar: &Sidecar, fields: &[(&str, &str)]) -> Option<u16> {
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder();
    for (name, value) in fields {
        request = match *name {
            ":method" => request.method(*value),
            ":path" => {
                let uri = Uri::builder().scheme("http").authority("a");
                request.uri(uri.path_and_query(*value).build().unwrap())
            }
            name => request.header(name, *value),
        };
    }
    let request = request.body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let response = timeout(PATIENCE, response).await.expect("an answer");
    response.ok().map(|response| response.status().as_u16())
}

#[tokio::test]
async fn options_of_the_server_has_an_asterisk_however_it_came() {
    // RFC 9112, 3.2.4; RFC 9113, 8.3.1.
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(status(&sidecar.ask(request).await), "200");
    let options = [(":method", "OPTIONS"), (":path", "*")];
    assert_eq!(over_http2(&sidecar, &options).await, Some(200));
    for head in origin.heads() {
        assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
        assert!(header(&head, "host").unwrap().starts_with('a'), "{head}");
    }
    assert_eq!(origin.heads().len(), 2);
    // Others are of what they name.
    for (request, line) in [
        ("OPTIONS http://a/", "OPTIONS / HTTP/1.1\r\n"),
        ("OPTIONS http://a?x", "OPTIONS /?x HTTP/1.1\r\n"),
        ("GET http://a", "GET / HTTP/1.1\r\n"),
    ] {
        sidecar
            .ask(&format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let heads = origin.heads();
        let head = heads.last().unwrap();
        assert!(head.starts_with(line), "{request}: {head}");
    }
}

#[tokio::test]
async fn options_of_the_server_has_an_asterisk_over_http_2() {
    let (address, seen) = http2_origin().await;
    let sidecar = Sidecar::with(address, |options| options.upstream = h2c);
    let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(status(&sidecar.ask(request).await), "200");
    let options = [(":method", "OPTIONS"), (":path", "*")];
    assert_eq!(over_http2(&sidecar, &options).await, Some(200));
    for request in &*seen.lock().unwrap() {
        assert_eq!(request.method(), Method::OPTIONS);
        assert_eq!(request.uri().path(), "*", "{request:?}");
        assert_eq!(request.uri().host(), Some("a"));
    }
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn equal_lengths_become_one_and_others_are_refused() {
    // RFC 9110, 8.6.
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    let mut sender = connect(&sidecar).await;
    for (lengths, expected) in [
        (&["2"][..], 200),
        (&["2", "2"], 200),
        (&["2", "2", "2"], 200),
        (&["2", "3"], 400),
    ] {
        let mut request = Request::post("http://a/");
        for length in lengths {
            request = request.header("content-length", *length);
        }
        let request = request.body(Full::new(Bytes::from("hi"))).unwrap();
        let before = origin.heads().len();
        let status = match timeout(PATIENCE, sender.send_request(request))
            .await
            .unwrap()
        {
            Ok(response) => response.status().as_u16(),
            // The protocol refuses it before we do.
            Err(_) => 400,
        };
        assert_eq!(status, expected, "{lengths:?}");
        if expected == 200 {
            let heads = origin.heads();
            let head = heads.last().unwrap().to_ascii_lowercase();
            assert_eq!(head.matches("content-length").count(), 1, "{head}");
            assert_eq!(header(&head, "content-length"), Some("2"));
        } else {
            assert_eq!(origin.heads().len(), before, "{lengths:?}");
            sender = connect(&sidecar).await;
        }
    }
}

#[tokio::test]
async fn equal_lengths_of_a_response_become_one() {
    let origin = Origin::answering(|_, _| {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok".to_owned()
    })
    .await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    let answer = sidecar.ask(GET).await.to_ascii_lowercase();
    assert_eq!(answer.matches("content-length").count(), 1, "{answer}");
    let mut sender = connect::<Empty<Bytes>>(&sidecar).await;
    let request = Request::get("http://a/").body(Empty::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let lengths = response.headers().get_all("content-length");
    assert_eq!(lengths.iter().count(), 1);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "ok"
    );
}

/// A response in chunks whose trailers have fields that end at this hop.
const TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n\
    2\r\nok\r\n0\r\nConnection: close, x-hop\r\nx-hop: 1\r\nKeep-Alive: timeout=5\r\n\
    Transfer-Encoding: gzip\r\nContent-Length: 3\r\nUpgrade: x\r\nTE: gzip\r\nx-end: 1\r\n\r\n";

#[tokio::test]
async fn what_ends_at_this_hop_does_so_in_trailers_too() {
    // RFC 9110, 6.5.1 and 7.6.1; over HTTP/2 the fields of connections are an error (RFC 9113,
    // 8.2.2).
    let origin = Origin::answering(|_, _| TRAILERS.to_owned()).await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    let mut sender = connect::<Empty<Bytes>>(&sidecar).await;
    let request = Request::get("http://a/").header("te", "trailers");
    let response = sender
        .send_request(request.body(Empty::new()).unwrap())
        .await
        .unwrap();
    let body = response.into_body().collect().await.expect("it is whole");
    let names: Vec<_> = body
        .trailers()
        .unwrap()
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["x-end"]);
    assert_eq!(body.to_bytes(), "ok");
    crate::harness::eventually("counted", || sidecar.totals() == (1, 0, 0)).await;
}

#[tokio::test]
async fn what_ends_at_this_hop_does_so_in_trailers_of_requests_too() {
    let (address, seen) = http2_origin().await;
    let sidecar = Sidecar::with(address, |options| options.upstream = h2c);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n\
        2\r\nok\r\n0\r\nConnection: close\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\nx-end: 1\r\n\r\n";
    assert_eq!(status(&sidecar.ask(request).await), "200");
    let seen = seen.lock().unwrap();
    let trailers: &HeaderMap = seen[0].extensions().get().unwrap();
    let names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-end"]);
}

#[tokio::test]
async fn trailers_that_have_nothing_left_are_none() {
    let answer = TRAILERS.replace("x-end: 1\r\n", "");
    let origin = Origin::answering(move |_, _| answer.clone()).await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    let mut sender = connect::<Empty<Bytes>>(&sidecar).await;
    let request = Request::get("http://a/").body(Empty::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.expect("it is whole");
    assert!(body.trailers().is_none_or(HeaderMap::is_empty));
    assert_eq!(body.to_bytes(), "ok");
}

#[tokio::test]
async fn a_loop_is_seen_however_those_between_write_via() {
    // RFC 9110, 7.6.3: the protocol's name, comments and the case of letters are free.
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    sidecar.ask(GET).await;
    let heads = origin.heads();
    let ours = header(&heads[0], "via").unwrap();
    let name = ours.strip_prefix("1.1 ").unwrap();
    for via in [
        ours.to_owned(),
        format!("{ours} (breaker)"),
        format!("1.0 x (a, b), {ours} (c (d), \\) e), 1.1 y"),
        format!("HTTP/1.1 {name}"),
        format!("2 {}", name.to_uppercase()),
        format!("1.1\t{name}"),
        format!("1.0 x,,{ours},"),
    ] {
        let request = GET.replace("Host: a", &format!("Host: a\r\nVia: {via}"));
        let answer = sidecar.ask(&request).await;
        assert_eq!(status(&answer), "508", "{via}");
        assert!(answer.contains("error=proxy_loop_detected"), "{answer}");
    }
    for via in [
        format!("1.1 x ({ours})"),
        format!("1.1 x{name}"),
        format!("1.1 {name}x"),
        name.to_owned(),
    ] {
        let request = GET.replace("Host: a", &format!("Host: a\r\nVia: {via}"));
        assert_eq!(status(&sidecar.ask(&request).await), "200", "{via}");
    }
}

#[tokio::test]
async fn what_is_said_with_underscores_does_not_reach_the_upstream() {
    // Applications of CGI and WSGI can't tell them from those with hyphens.
    let origin = Origin::ok().await;
    let sidecar = Sidecar::with(origin.address, |_| ());
    let said = "Host: a\r\nX_Forwarded_For: 1.1.1.1\r\nX-Forwarded_Proto: https\r\n\
        x_forwarded-host: b\r\nX_Forwarded_Port: 443\r\nX_Real_IP: 1.1.1.1\r\nX_Other: kept";
    sidecar.ask(&GET.replace("Host: a", said)).await;
    let heads = origin.heads();
    let head = heads[0].to_ascii_lowercase();
    assert!(
        !head.contains("1.1.1.1") && !head.contains("https"),
        "{head}"
    );
    // Not anywhere: the name in `Via` is of random digits.
    for value in ["443", "b"] {
        assert!(!head.contains(&format!(": {value}\r\n")), "{head}");
    }
    assert_eq!(header(&head, "x_other"), Some("kept"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn only_a_protocol_that_was_offered_is_switched_to() {
    // RFC 9110, 7.8.
    for (offered, chosen, expected) in [
        ("websocket", "Upgrade: websocket\r\n", "101"),
        ("WebSocket", "Upgrade: websocket\r\n", "101"),
        ("a/1, b", "Upgrade: b\r\n", "101"),
        ("a/1, b", "Upgrade: a/1, b\r\n", "101"),
        ("websocket", "Upgrade: h2c\r\n", "502"),
        ("a/1", "Upgrade: a/2\r\n", "502"),
        ("websocket", "Upgrade: websocket, other\r\n", "502"),
        ("websocket", "", "502"),
    ] {
        let answer = format!("HTTP/1.1 101 Yes\r\nConnection: upgrade\r\n{chosen}\r\n");
        let origin = Origin::answering(move |_, _| answer.clone()).await;
        let sidecar = Sidecar::with(origin.address, |_| ());
        let mut client = sidecar.connect().await;
        let upgrade = format!("Host: a\r\nConnection: upgrade\r\nUpgrade: {offered}");
        client.send(GET.replace("Host: a", &upgrade)).await;
        let head = client.head().await;
        assert_eq!(status(&head), expected, "{offered}, {chosen}");
        let failures = u64::from(expected == "502");
        crate::harness::eventually("counted", || {
            sidecar.totals() == (1 - failures, failures, 0)
        })
        .await;
    }
}

#[tokio::test]
async fn the_loop_that_the_next_hop_sees_is_no_failure_of_the_upstream() {
    let loops = "HTTP/1.1 508 Loop Detected\r\nProxy-Status: x; error=proxy_loop_detected\r\n\
        Content-Length: 0\r\n\r\n";
    for (answer, expected) in [
        (loops.to_owned(), (0, 0, 1)),
        (loops.replace("proxy_loop_detected", "dns_error"), (0, 1, 0)),
        (OK.to_owned(), (1, 0, 0)),
    ] {
        let origin = Origin::answering(move |_, _| answer.clone()).await;
        let sidecar = Sidecar::with(origin.address, |_| ());
        sidecar.ask(GET).await;
        crate::harness::eventually("counted", || sidecar.totals() == expected).await;
    }
}

#[tokio::test]
async fn what_an_upstream_says_it_does_not_take_is_not_sent() {
    // RFC 9113, 10.5.1: it may reset the stream or the connection for it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = h2::server::Builder::new();
                server.max_header_list_size(1000);
                let mut connection = server.handshake::<_, Bytes>(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let _ = respond.send_response(Response::new(()), true);
                }
            });
        }
    });
    let sidecar = Sidecar::with(address, |options| options.upstream = h2c);
    for (long, expected) in [(1, "200"), (400, "200"), (2000, "431"), (400, "200")] {
        let long = "x".repeat(long);
        let get = GET.replace("Host: a", &format!("Host: a\r\nX-Long: {long}"));
        let answer = sidecar.ask(&get).await;
        assert_eq!(status(&answer), expected, "{answer}");
        let is_ours = answer.contains("error=http_request_denied");
        assert_eq!(is_ours, expected == "431", "{answer}");
    }
    crate::harness::eventually("counted", || sidecar.totals() == (3, 0, 1)).await;
}
