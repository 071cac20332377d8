//! Limits over HTTP/2: what docs/limits.md says. Those of HTTP/1 are in `bounds`.

use std::time::Duration;

use breaker_sidecar::proxy::{Limits, Route};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::harness::{Options, Origin, PATIENCE, Sidecar, eventually, read_head};

/// A connection, and its end.
async fn connect(sidecar: &Sidecar) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(async move {
        let _ = connection.await;
    });
    (sender.ready().await.unwrap(), ended)
}

fn post() -> Request<()> {
    Request::post("http://a/").body(()).unwrap()
}

/// An upstream that never answers.
async fn hanging() -> Origin {
    Origin::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let bounds: [fn(Route) -> Route; 2] = [
        |mut route| {
            route.body.idle = Some(Duration::from_millis(200));
            route
        },
        |mut route| {
            route.body.request_total = Some(Duration::from_millis(200));
            route
        },
    ];
    for (route, trickles) in bounds.into_iter().zip([false, true]) {
        let origin = hanging().await;
        let options = Options {
            route,
            ..Options::default()
        };
        let sidecar = Sidecar::start(origin.address, options);
        let (mut sender, _ended) = connect(&sidecar).await;
        let (response, mut upload) = sender.send_request(post(), false).unwrap();
        let trickle = async {
            if !trickles {
                std::future::pending::<()>().await;
            }
            loop {
                let _ = upload.send_data(Bytes::from_static(b"a"), false);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let response = tokio::select! {
            never = trickle => never,
            response = timeout(PATIENCE, response) => response.expect("an answer").unwrap(),
        };
        assert_eq!(response.status(), 408, "trickles: {trickles}");
        eventually("counted", || sidecar.totals() == (0, 0, 1)).await;
    }
}

#[tokio::test]
async fn a_header_section_over_its_limit_is_431() {
    let origin = Origin::ok().await;
    let limits = Limits {
        header_bytes: 8192,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    let (mut sender, _ended) = connect(&sidecar).await;
    for (length, status) in [(7_000, 200), (9_000, 431), (7_000, 200)] {
        let request = Request::get("http://a/").header("x-long", "x".repeat(length));
        let (response, _) = sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        let response = timeout(PATIENCE, response)
            .await
            .expect("an answer")
            .unwrap();
        assert_eq!(response.status(), status, "{length}");
        sender = sender.ready().await.unwrap();
    }
    assert_eq!(origin.heads().len(), 2);
}

#[tokio::test]
async fn requests_over_a_routes_limit_are_429() {
    let origin = hanging().await;
    let options = Options {
        route: |route| Route {
            max_in_flight: Some(1),
            ..route
        },
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    let (mut sender, _ended) = connect(&sidecar).await;
    let (_first, _) = sender.send_request(post(), true).unwrap();
    eventually("in flight", || origin.connections() == 1).await;
    let mut sender = sender.ready().await.unwrap();
    let (second, _) = sender.send_request(post(), true).unwrap();
    let second = timeout(PATIENCE, second).await.expect("an answer").unwrap();
    assert_eq!(second.status(), 429);
}

#[tokio::test]
async fn a_client_may_have_so_many_streams_and_is_told_so() {
    let origin = hanging().await;
    let limits = Limits {
        streams: 3,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    let (mut sender, _ended) = connect(&sidecar).await;
    let (_first, _) = sender.send_request(post(), true).unwrap();
    eventually("in flight", || origin.connections() == 1).await;
    // The settings came before anything else.
    assert_eq!(sender.current_max_send_streams(), 3);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::ok().await;
    let limits = Limits {
        keep_alive: Duration::from_millis(100),
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let sidecar = Sidecar::start(origin.address, options);
    let (mut sender, ended) = connect(&sidecar).await;
    let (response, _) = sender.send_request(post(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    timeout(PATIENCE, ended)
        .await
        .expect("it is closed")
        .unwrap();
}
