//! `await_upload`: the upstream's time begins when the request's body is sent.

use std::time::Duration;

use breaker_tower::{BreakerHandle, BreakerLayer, BreakerService, State, Upload};
use http::Request;
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::harness::*;

fn awaiting_upload() -> (BreakerService<Inner>, Upstream, BreakerHandle) {
    let breaker = BreakerHandle::new("test", sensitive());
    let (inner, upstream) = mock::pair();
    let layer = BreakerLayer::new(breaker.clone()).await_upload();
    (layer.layer(inner), upstream, breaker)
}

/// One that is half-open, with one slot for a probe.
async fn trying() -> (BreakerService<Inner>, Upstream, BreakerHandle) {
    let breaker = BreakerHandle::new("test", touchy());
    let (inner, mut upstream) = mock::pair();
    let layer = BreakerLayer::new(breaker.clone()).await_upload();
    let mut service = layer.layer(inner);
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    (service, upstream, breaker)
}

fn post() -> Request<Body> {
    Request::new(full("much to send"))
}

async fn receive(upstream: &mut Upstream) -> (Option<Upload>, Answer) {
    let (mut request, answer) = upstream.next_request().await.unwrap();
    (request.extensions_mut().remove(), answer)
}

#[tokio::test(start_paused = true)]
async fn the_latency_begins_at_the_end_of_the_upload() {
    let (mut service, mut upstream, breaker) = awaiting_upload();
    let call = service.ready().await.unwrap().call(post());
    let (upload, answer) = receive(&mut upstream).await;
    advance(Duration::from_secs(30)).await;
    drop(upload.unwrap());
    advance(Duration::from_millis(50)).await;
    answer.send_response(response(200, empty()));
    drop(call.await.unwrap());
    let latency = breaker.snapshot().sources[0].latency.unwrap();
    assert_eq!(latency.max.as_millis(), 50);
}

#[tokio::test(start_paused = true)]
async fn slow_uploads_do_not_trip() {
    let (mut service, mut upstream, breaker) = awaiting_upload();
    let mut uploading = Vec::new();
    for _ in 0..40 {
        let call = service.ready().await.unwrap().call(post());
        uploading.push((call, receive(&mut upstream).await));
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        (breaker.state(), breaker.snapshot().in_flight),
        (State::Closed, 40)
    );
    // Sent at last, and never answered: now it is the upstream that hangs.
    for (_, (upload, _)) in &mut uploading {
        drop(upload.take());
    }
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn uploads_that_the_upstream_does_not_take_hang() {
    let (mut service, mut upstream, breaker) = awaiting_upload();
    let mut blocked = Vec::new();
    for _ in 0..40 {
        let call = service.ready().await.unwrap().call(post());
        blocked.push((call, receive(&mut upstream).await));
    }
    let tell = |act: fn(&Upload)| {
        let uploads = blocked
            .iter()
            .filter_map(|(_, (upload, _))| upload.as_ref());
        uploads.for_each(act);
    };
    for _ in 0..3 {
        tell(Upload::blocks);
        sleep(Duration::from_millis(900)).await;
        tell(Upload::goes_on);
        sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(breaker.state(), State::Closed);
    tell(Upload::blocks);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_has_nothing_to_upload() {
    let (mut service, mut upstream, _) = awaiting_upload();
    let _call = service.ready().await.unwrap().call(request());
    let (upload, _) = receive(&mut upstream).await;
    assert!(upload.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_upload_counts() {
    let (mut service, mut upstream, breaker) = awaiting_upload();
    let call = service.ready().await.unwrap().call(post());
    let (upload, answer) = receive(&mut upstream).await;
    answer.send_response(response(500, empty()));
    drop(call.await.unwrap());
    assert_eq!(counted(&breaker), (0, 1, 0));
    drop(upload);
    assert_eq!(
        (counted(&breaker), breaker.snapshot().in_flight),
        ((0, 1, 0), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_in_mid_upload_is_ignored() {
    let (mut service, mut upstream, breaker) = awaiting_upload();
    let call = service.ready().await.unwrap().call(post());
    let (upload, _answer) = receive(&mut upstream).await;
    drop(call);
    drop(upload);
    assert_eq!(
        (counted(&breaker), breaker.snapshot().in_flight),
        ((0, 0, 1), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_in_mid_upload_frees_the_slot_of_its_probe() {
    let (mut service, mut upstream, breaker) = trying().await;
    for _ in 0..100 {
        let call = service.ready().await.unwrap().call(post());
        let (mut request, _answer) = upstream.next_request().await.unwrap();
        let upload: Upload = request.extensions_mut().remove().unwrap();
        assert!(breaker.would_reject());
        // The service works on it still, and holds what it got.
        drop(call);
        drop(upload);
        assert!(!breaker.would_reject());
    }
    assert_eq!(
        (breaker.state(), counted(&breaker)),
        (State::HalfOpen, (0, 1, 100))
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cut_off_frees_the_slot_of_its_probe_when_it_ends() {
    let (mut service, mut upstream, breaker) = trying().await;
    let call = service.ready().await.unwrap().call(post());
    let (upload, answer) = receive(&mut upstream).await;
    upload.unwrap().cut();
    advance(Duration::from_millis(999)).await;
    assert!(breaker.would_reject());
    drop(call);
    assert!(!breaker.would_reject());
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_uploads_gives_its_slot_back_after_a_second() {
    let (mut service, mut upstream, breaker) = trying().await;
    let call = service.ready().await.unwrap().call(post());
    let (upload, answer) = receive(&mut upstream).await;
    assert!(breaker.would_reject());
    sleep(Duration::from_millis(1001)).await;
    assert!(!breaker.would_reject());
    drop(upload);
    assert!(breaker.would_reject());
    answer.send_response(response(200, empty()));
    drop(call.await.unwrap());
    assert_eq!(breaker.state(), State::Closed);
}
