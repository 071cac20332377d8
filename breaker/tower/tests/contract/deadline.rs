//! What a caller's own deadline forces says nothing of the upstream.

use std::time::Duration;

use breaker_tower::{BreakerHandle, BreakerService, CallerDeadline};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use tokio::time::advance;
use tower::{Service, ServiceExt};

use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

fn call(fields: &[(&'static str, &'static str)]) -> Request<Body> {
    let mut request = request();
    request.headers_mut().extend(headers(fields));
    request
}

/// A gRPC call with a deadline of one second.
fn impatient() -> Request<Body> {
    call(&[("content-type", "application/grpc"), ("grpc-timeout", "1S")])
}

fn trailers_only(code: &'static str) -> Response<Body> {
    let mut response = response(200, empty());
    let fields = [("content-type", "application/grpc"), ("grpc-status", code)];
    response.headers_mut().extend(headers(&fields));
    response
}

/// Sends `request`, which is answered after a time.
async fn ask(
    service: &mut BreakerService<Inner>,
    upstream: &mut Upstream,
    request: Request<Body>,
    after: Duration,
    answer: Response<Body>,
) {
    let call = service.ready().await.unwrap().call(request);
    let sent = accept(upstream).await;
    advance(after).await;
    sent.send_response(answer);
    call.await.unwrap().into_body().collect().await.unwrap();
}

fn by_caller(breaker: &BreakerHandle) -> u64 {
    let totals = breaker.snapshot().totals;
    assert_eq!(totals.ignored_by[1], totals.ignored);
    totals.ignored
}

#[tokio::test(start_paused = true)]
async fn deadline_exceeded_is_the_callers_if_it_had_a_deadline() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let soon = Duration::from_millis(900);
    let answer = trailers_only("4");
    ask(&mut service, &mut upstream, impatient(), soon, answer).await;
    assert_eq!((counted(&breaker), by_caller(&breaker)), ((0, 0, 1), 1));
    // Another code is not the deadline's doing.
    let answer = trailers_only("14");
    ask(&mut service, &mut upstream, impatient(), soon, answer).await;
    assert_eq!(counted(&breaker), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn deadline_exceeded_in_the_trailers_is_the_callers_too() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let call = service.ready().await.unwrap().call(impatient());
    let sent = accept(&mut upstream).await;
    let (mut sender, body) = streamed();
    let mut head = response(200, body);
    let grpc = "application/grpc".parse().unwrap();
    head.headers_mut().insert(header::CONTENT_TYPE, grpc);
    sent.send_response(head);
    let answer = call.await.unwrap();
    let message = Bytes::from_static(b"message");
    sender.send_data(message).await.unwrap();
    let trailers = headers(&[("grpc-status", "4")]);
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);
    answer.into_body().collect().await.unwrap();
    assert_eq!(breaker.snapshot().totals.failure, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_that_counts_it_is_the_upstreams() {
    let long = CallerDeadline::NONE;
    let mut overruled = impatient();
    overruled.extensions_mut().insert(long);
    for request in [
        call(&[("content-type", "application/grpc")]),
        // Malformed, or not gRPC.
        call(&[
            ("content-type", "application/grpc"),
            ("grpc-timeout", "-1S"),
        ]),
        call(&[("content-type", "application/grpc"), ("grpc-timeout", "1")]),
        call(&[("grpc-timeout", "1S")]),
        overruled,
    ] {
        let (mut service, mut upstream, breaker) = behind(touchy());
        let fields = format!("{:?}", request.headers());
        let answer = trailers_only("4");
        ask(&mut service, &mut upstream, request, SECOND, answer).await;
        assert_eq!(counted(&breaker), (0, 1, 0), "{fields}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_504_is_the_callers_only_once_its_deadline_has_nearly_passed() {
    for (after, counts) in [(500, (0, 1, 0)), (950, (0, 0, 1)), (1100, (0, 0, 1))] {
        let (mut service, mut upstream, breaker) = behind(touchy());
        let mut request = request();
        let deadline = CallerDeadline::after(SECOND);
        request.extensions_mut().insert(deadline);
        let after = Duration::from_millis(after);
        let answer = response(504, full("late"));
        ask(&mut service, &mut upstream, request, after, answer).await;
        assert_eq!(counted(&breaker), counts, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_once_the_deadline_has_passed_is_its_doing() {
    for (after, counts) in [(999, (0, 1, 0)), (1000, (0, 0, 1))] {
        let (mut service, mut upstream, breaker) = behind(touchy());
        let call = service.ready().await.unwrap().call(impatient());
        let sent = accept(&mut upstream).await;
        advance(Duration::from_millis(after)).await;
        sent.send_error("reset");
        call.await.unwrap_err();
        assert_eq!(counted(&breaker), counts, "{after}");
    }
}
