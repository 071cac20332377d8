//! `BreakerLayer::timeout`: what it ends is the service's failure, unless the caller was waited
//! for.

use std::time::Duration;

use breaker_tower::{
    BreakerHandle, BreakerLayer, BreakerService, CallerDeadline, State, TimedOut, UploadBody,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

fn limited() -> (BreakerService<Inner>, Upstream, BreakerHandle) {
    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, upstream) = mock::pair();
    let layer = BreakerLayer::new(breaker.clone()).timeout(SECOND);
    (layer.layer(inner), upstream, breaker)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_fails_in_time_and_counts_as_a_failure() {
    let (mut service, mut upstream, breaker) = limited();
    let call = service.ready().await.unwrap().call(request());
    let _answer = accept(&mut upstream).await;
    let began = Instant::now();
    let error = call.await.unwrap_err();
    assert_eq!(began.elapsed(), SECOND);
    assert!(error.is::<TimedOut>());
    assert_eq!(counted(&breaker), (0, 1, 0));
    assert_eq!(breaker.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_not_cut_while_its_body_takes_longer() {
    let (mut service, mut upstream, breaker) = limited();
    let (mut sender, body) = streamed();
    let call = service.ready().await.unwrap().call(request());
    accept(&mut upstream)
        .await
        .send_response(response(200, body));
    let mut answer = call.await.unwrap();
    sleep(2 * SECOND).await;
    sender.send_data("late".into()).await.unwrap();
    drop(sender);
    let text = answer.body_mut().collect().await.unwrap().to_bytes();
    assert_eq!((&*text, counted(&breaker)), (&b"late"[..], (1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_caller_that_has_passed_is_what_ended_it() {
    let (mut service, mut upstream, breaker) = limited();
    let mut request = request();
    let deadline = CallerDeadline::after(SECOND / 2);
    request.extensions_mut().insert(deadline);
    let call = service.ready().await.unwrap().call(request);
    let _answer = accept(&mut upstream).await;
    call.await.unwrap_err();
    assert_eq!(counted(&breaker), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_does_not_time_out() {
    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, mut upstream) = mock::pair::<Request<UploadBody<Body>>, _>();
    let layer = BreakerLayer::new(breaker.clone()).timeout(SECOND);
    let mut service = layer.wrap_uploads().layer(inner);
    let (mut sender, body) = streamed();
    let call = service.ready().await.unwrap().call(Request::new(body));
    let call = tokio::spawn(call);
    let (request, _answer) = upstream.next_request().await.unwrap();
    let read = tokio::spawn(request.into_body().collect());
    for _ in 0..10 {
        sleep(SECOND).await;
        sender.send_data("more".into()).await.unwrap();
    }
    drop(sender);
    read.await.unwrap().unwrap();
    let sent = Instant::now();
    let ended: Result<http::Response<_>, _> = call.await.unwrap();
    let _: http::Response<breaker_tower::BreakerBody<Body>> = match ended {
        Err(error) => {
            assert!(error.is::<TimedOut>());
            assert_eq!((sent.elapsed(), counted(&breaker)), (SECOND, (0, 1, 0)));
            return;
        }
        Ok(answer) => answer,
    };
    panic!("there was no answer");
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_504_or_deadline_exceeded_and_the_breaker_opens() {
    let breaker = BreakerHandle::new("test", touchy());
    let (inner, mut upstream) = mock::pair::<Request<Body>, http::Response<Body>>();
    let layer = BreakerLayer::new(breaker.clone()).timeout(SECOND).answer();
    let mut service = layer.layer(inner);
    let call = service.ready().await.unwrap().call(request());
    let _answer = accept(&mut upstream).await;
    let answer = call.await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let value = answer.headers()["proxy-status"].to_str().unwrap();
    assert!(value.starts_with("breaker; error=http_response_timeout"));
    assert_eq!(breaker.state(), State::Open);

    advance(OPEN_FOR).await;
    let mut request = request();
    let media_type = "application/grpc".parse().unwrap();
    request.headers_mut().insert("content-type", media_type);
    let call = service.ready().await.unwrap().call(request);
    let _answer = accept(&mut upstream).await;
    let answer = call.await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert_eq!(counted(&breaker), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outer_breaker_counts_the_timeout_of_an_inner_one_as_a_timeout() {
    let error: breaker_tower::BoxError = TimedOut::default().into();
    assert!(error.source().is_none());
    let ending = breaker_tower::Ending::of_error(&error);
    assert!(ending.timed_out);
    assert_eq!(ending, breaker_tower::Ending::TIMED_OUT);
}
