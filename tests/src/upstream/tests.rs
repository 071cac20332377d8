use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{Empty, Full, StreamBody};
use hyper::body::Frame;
use tokio::time;

use super::{Script, Upstream};
use crate::{Answer, eventually, get, send};

fn url(upstream: &Upstream) -> http::Uri {
    format!("http://{}/x", upstream.address()).parse().unwrap()
}

async fn try_get(upstream: &Upstream) -> Result<Answer, String> {
    let request = Request::get(url(upstream))
        .body(Empty::<Bytes>::new())
        .unwrap();
    send(request).await.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn answers_with_the_status_of_the_moment() {
    let upstream = Upstream::start().await;
    assert_eq!(get(url(&upstream)).await.status, 200);
    upstream.play(Script::Status(503));
    assert_eq!(get(url(&upstream)).await.status, 503);
    upstream.play(Script::answer(|seen| {
        Response::new(seen.uri.path().to_owned().into())
    }));
    assert_eq!(get(url(&upstream)).await.text(), "/x");
    assert_eq!(upstream.count(), 3);
}

#[tokio::test]
async fn fails_below_http() {
    let upstream = Upstream::start().await;
    for (script, cause) in [
        (Script::Reset, "ConnectionReset"),
        (Script::Garbage, "Parse"),
        (Script::CloseMidBody, "IncompleteBody"),
    ] {
        upstream.play(script.clone());
        let error = try_get(&upstream).await.expect_err("it fails");
        assert!(error.contains(cause), "{script:?}: {error}");
    }
}

#[tokio::test]
async fn counts_a_cancelled_request_as_no_longer_in_flight() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Hang);
    let hanging = time::timeout(Duration::from_millis(100), try_get(&upstream)).await;
    assert!(hanging.is_err());
    assert_eq!(upstream.count(), 1);
    eventually!(upstream.in_flight() == 0);
}

#[tokio::test]
async fn echoes_bodies_and_trailers_over_http2() {
    let upstream = Upstream::start().await;
    upstream.play(Script::Echo);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    let frames = [
        Ok::<_, std::io::Error>(Frame::data(Bytes::from("some"))),
        Ok(Frame::trailers(trailers)),
    ];
    let request = Request::post(url(&upstream))
        .version(Version::HTTP_2)
        .body(Box::pin(StreamBody::new(futures_util::stream::iter(
            frames,
        ))))
        .unwrap();
    let answer = send(request).await.unwrap();
    assert_eq!(answer.text(), "some");
    assert_eq!(answer.trailers["x-sum"], "7");
}

#[tokio::test]
async fn a_dropped_upstream_refuses_and_another_takes_its_place() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    drop(upstream);
    eventually!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "it still listens"
    );
    let back = Upstream::start_at(address).await;
    let request = Request::post(url(&back)).body(Full::from("again")).unwrap();
    send(request).await.unwrap();
    assert_eq!(back.seen()[0].body, "again");
}
