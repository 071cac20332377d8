//! `unready_while_open`: the breaker under a balancer.

use std::time::Duration;

use breaker_tower::{BreakerHandle, BreakerLayer, State, rejection};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::harness::*;

fn gated() -> (
    breaker_tower::BreakerService<Inner>,
    Upstream,
    BreakerHandle,
) {
    let breaker = BreakerHandle::new("test", touchy());
    let (inner, upstream) = mock::pair();
    let layer = BreakerLayer::new(breaker.clone()).unready_while_open();
    (layer.layer(inner), upstream, breaker)
}

#[tokio::test(start_paused = true)]
async fn it_pends_while_open_and_wakes_at_half_open() {
    let (mut service, mut upstream, breaker) = gated();
    trip(&mut service, &mut upstream).await;
    let tripped = Instant::now();
    let mut ready = task::spawn(service.ready());
    assert_pending!(ready.poll());
    tokio::time::sleep(OPEN_FOR / 2).await;
    assert!(!ready.is_woken());
    ready.await.unwrap();
    assert_eq!(tripped.elapsed(), OPEN_FOR);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn it_pends_while_the_trial_has_no_room_and_wakes_when_a_lease_ends() {
    let (mut service, mut upstream, _) = gated();
    let mut other = service.clone();
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    let probe = service.ready().await.unwrap().call(request());
    let _answer = accept(&mut upstream).await;
    let mut ready = task::spawn(other.ready());
    assert_pending!(ready.poll());
    assert!(!ready.is_woken(), "a look at a full trial wakes nobody");
    drop(probe);
    assert_pending!(ready.poll(), "an abandoned probe keeps its slot");
    tokio::time::sleep(PROBE_TIMEOUT + Duration::from_millis(1)).await;
    assert!(ready.is_woken());
    assert_ready_ok!(ready.poll());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_another_took_in_between_is_a_rejection_in_call() {
    let (mut service, mut upstream, _) = gated();
    let mut other = service.clone();
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    let other = other.ready().await.unwrap();
    let _probe = service.ready().await.unwrap().call(request());
    let error = other.call(request()).await.unwrap_err();
    assert!(rejection(&*error).is_some());
}
