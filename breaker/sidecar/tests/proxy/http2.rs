//! HTTP/2 without TLS, in and out, and gRPC over it.

use std::time::Duration;

use breaker_sidecar::upstream::{Protocol, Upstream};
use breaker_tower::Mode;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{
    GET, OK, Options, Origin, PATIENCE, Sidecar, eventually, header, nobody, read_head, status,
};

pub(crate) async fn connect<B>(sidecar: &Sidecar) -> SendRequest<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn grpc(path: &str) -> http::request::Builder {
    Request::post(format!("http://a{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// A gRPC server that answers with `code` in its trailers, unless the path says to refuse.
pub(crate) async fn grpc_origin(code: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                assert_eq!(request.version(), Version::HTTP_2);
                assert_eq!(request.headers()["te"], "trailers");
                let via = request.headers()["via"].to_str().unwrap();
                assert!(via.starts_with("1.1 breaker-"), "{via}");
                let sent = request.into_body().collect().await?.to_bytes();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", code.parse().unwrap());
                let frames = [
                    Ok::<_, hyper::Error>(Frame::data(sent)),
                    Ok(Frame::trailers(trailers)),
                ];
                let body = StreamBody::new(Frames(frames.into_iter()));
                Ok::<_, hyper::Error>(
                    Response::builder()
                        .header("content-type", "application/grpc")
                        .body(body)
                        .unwrap(),
                )
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[tokio::test]
async fn http_2_is_served_from_an_http_1_upstream() {
    let origin = Origin::answering(|_, body| {
        format!(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut sender = connect(&sidecar).await;
    let request = Request::put("http://b.example/x?y")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    let head = &origin.heads()[0];
    assert!(head.starts_with("PUT /x?y HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(head, "host"), Some("b.example"));
    assert_eq!(header(head, "cookie"), Some("a=1; b=2"));
}

#[tokio::test]
async fn streams_of_one_connection_go_on_side_by_side() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let sender = connect::<Empty<Bytes>>(&sidecar).await;
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let mut sender = sender.clone();
            let request = Request::get("http://a/").body(Empty::new()).unwrap();
            tokio::spawn(async move { sender.send_request(request).await.unwrap().status() })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn grpc_goes_by_http_2_and_its_status_is_read_from_the_trailers() {
    let sidecar = Sidecar::start(grpc_origin("0").await, Options::default());
    let mut sender = connect(&sidecar).await;
    for _ in 0..3 {
        let request = grpc("/shop.Pay/Do")
            .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    }
    eventually("three successes", || sidecar.totals() == (3, 0, 0)).await;
    let failing = Sidecar::start(grpc_origin("14").await, Options::default());
    let mut sender = connect(&failing).await;
    let request = grpc("/shop.Pay/Do").body(Full::new(Bytes::new())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap();
    eventually("a failure", || failing.totals() == (0, 1, 0)).await;
}

#[tokio::test]
async fn our_own_answers_to_head_have_a_length_and_no_content() {
    let sidecar = Sidecar::start(nobody(), Options::default());
    let mut client = connect(&sidecar).await;
    let mut lengths = Vec::new();
    for (mode, status) in [(Mode::Auto, 502), (Mode::ForcedOpen, 503)] {
        sidecar.breaker.force(mode);
        for method in ["HEAD", "GET"] {
            let request = Request::builder().method(method).uri("http://a/");
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let answer = client.send_request(request).await.unwrap();
            assert_eq!(answer.status(), status);
            let length = answer.headers()["content-length"].to_str().unwrap();
            let length: usize = length.parse().unwrap();
            let content = answer.into_body().collect().await.unwrap().to_bytes();
            let expected = if method == "HEAD" { 0 } else { length };
            assert_eq!(content.len(), expected, "{method} {status}");
            lengths.push(length);
        }
    }
    assert!(lengths.iter().all(|length| *length > 50), "{lengths:?}");
}

#[tokio::test]
async fn a_grpc_caller_is_rejected_in_its_own_words() {
    let sidecar = Sidecar::start(grpc_origin("0").await, Options::default());
    sidecar.breaker.force(Mode::ForcedOpen);
    let mut sender = connect(&sidecar).await;
    let request = grpc("/shop.Pay/Do").body(Full::new(Bytes::new())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(response.headers().contains_key("grpc-retry-pushback-ms"));
    assert!(response.headers().contains_key("grpc-message"));
}

#[tokio::test]
async fn any_request_goes_by_http_2_where_configured() {
    let options = Options {
        upstream: |upstream| Upstream {
            protocol: Protocol::H2c,
            ..upstream
        },
        ..Options::default()
    };
    let sidecar = Sidecar::start(grpc_origin("0").await, options);
    let response = sidecar
        .ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te\r\n\r\n")
        .await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_reset_and_the_others_go_on() {
    let origin = Origin::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let answer = if head.contains("/broken") {
            &OK[..OK.len() - 1]
        } else {
            OK
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut sender = connect::<Empty<Bytes>>(&sidecar).await;
    let get = |path: &str| {
        Request::get(format!("http://a{path}"))
            .body(Empty::new())
            .unwrap()
    };
    // The reset may come in the place of the head.
    if let Ok(broken) = sender.send_request(get("/broken")).await {
        assert!(broken.into_body().collect().await.is_err());
    }
    let whole = sender.send_request(get("/whole")).await.unwrap();
    assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), "ok");
    eventually("one failed", || sidecar.totals() == (1, 1, 0)).await;
}

#[tokio::test]
async fn a_stream_that_the_caller_resets_is_cancelled() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut sender = connect::<Empty<Bytes>>(&sidecar).await;
    let request = Request::get("http://a/").body(Empty::new()).unwrap();
    let hanging =
        tokio::time::timeout(Duration::from_millis(50), sender.send_request(request)).await;
    assert!(hanging.is_err());
    eventually("ignored", || sidecar.totals() == (0, 0, 1)).await;
    assert_eq!(sidecar.breaker.snapshot().in_flight, 0);
}

#[tokio::test]
async fn a_flood_of_control_frames_ends_the_connection() {
    let origin = Origin::ok().await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    for frame in [
        &b"\0\0\x08\x06\0\0\0\0\0pingping"[..],
        b"\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        let (mut read, mut write) = stream.split();
        let flood = async { while write.write_all(&frame.repeat(100)).await.is_ok() {} };
        let answers = async {
            let mut piece = [0; 4096];
            while let Ok(1..) = read.read(&mut piece).await {}
        };
        tokio::time::timeout(PATIENCE, async { tokio::join!(flood, answers) })
            .await
            .expect("it is ended");
    }
}

#[tokio::test]
async fn a_drain_lets_streams_finish() {
    let origin = Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let mut sidecar = Sidecar::start(
        origin.address,
        Options {
            grace: PATIENCE,
            ..Options::default()
        },
    );
    let mut sender = connect::<Empty<Bytes>>(&sidecar).await;
    let request = Request::get("http://a/").body(Empty::new()).unwrap();
    let response = tokio::spawn(sender.send_request(request));
    eventually("in flight", || origin.connections() == 1).await;
    sidecar.begin_shutdown();
    let response = response.await.unwrap().unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "ok"
    );
    sidecar.ended().await;
}

#[tokio::test]
async fn a_callers_grpc_opens_no_service_that_only_speaks_http1() {
    let origin = Origin::answering(|head, _| match head.starts_with("GET") {
        true => OK.to_owned(),
        false => "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let sidecar = Sidecar::start(origin.address, Options::default());
    let mut sender = connect(&sidecar).await;
    for _ in 0..30 {
        let request = grpc("/shop.Pay/Do").body(Full::new(Bytes::new())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "14");
    }
    assert_eq!(status(&sidecar.ask(GET).await), "200");
    assert_eq!(sidecar.breaker.state(), breaker_tower::State::Closed);
    assert_eq!(sidecar.totals(), (1, 0, 30));
}
