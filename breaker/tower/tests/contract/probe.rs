//! Probes come back, whatever becomes of them.

use breaker_tower::State;
use tokio::time::advance;
use tower::{Service, ServiceExt};

use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_a_thousand_times_never_wedges_the_breaker() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    for _ in 0..1000 {
        let call = service.ready().await.unwrap().call(request());
        let _answer = accept(&mut upstream).await;
        drop(call);
        // Its slot is free again when its lease ends, not before: a dead upstream is asked no
        // oftener.
        assert!(breaker.would_reject());
        advance(PROBE_TIMEOUT).await;
    }
    assert_eq!(
        (breaker.state(), breaker.snapshot().in_flight),
        (State::HalfOpen, 0)
    );
    let answer = exchange(&mut service, &mut upstream, response(200, empty())).await;
    assert_eq!(
        (answer.status().as_u16(), breaker.state()),
        (200, State::Closed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_body_is_dropped_has_succeeded_by_its_head() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    let (_sender, body) = streamed();
    drop(exchange(&mut service, &mut upstream, response(200, body)).await);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_has_failed_when_its_lease_ends() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    trip(&mut service, &mut upstream).await;
    advance(OPEN_FOR).await;
    let call = service.ready().await.unwrap().call(request());
    let answer = accept(&mut upstream).await;
    tokio::time::sleep(PROBE_TIMEOUT).await;
    let snapshot = breaker.snapshot();
    assert_eq!(
        (snapshot.state, snapshot.failed_recoveries),
        (State::Open, 1)
    );
    answer.send_response(response(200, empty()));
    assert_eq!(call.await.unwrap().status(), 200);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn outcomes_of_before_the_trip_decide_nothing_half_open() {
    for status in [500, 200] {
        let (mut service, mut upstream, breaker) = behind(touchy());
        let mut late = Vec::new();
        for _ in 0..50 {
            let call = service.ready().await.unwrap().call(request());
            late.push((call, accept(&mut upstream).await));
        }
        trip(&mut service, &mut upstream).await;
        advance(OPEN_FOR).await;
        assert_eq!(breaker.snapshot().state, State::HalfOpen);
        for (call, answer) in late {
            answer.send_response(response(status, empty()));
            drop(call.await.unwrap());
        }
        assert_eq!(breaker.state(), State::HalfOpen);
    }
}

#[tokio::test(start_paused = true)]
async fn who_only_asks_is_told_and_holds_nothing_for_longer_than_a_probe_may_take() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    assert!(breaker.check().is_ok());
    trip(&mut service, &mut upstream).await;
    assert_eq!(breaker.check().unwrap_err().retry_after, OPEN_FOR);
    advance(OPEN_FOR).await;
    assert!(breaker.check().is_ok());
    assert!(breaker.check().is_err());
    advance(PROBE_TIMEOUT).await;
    assert!(breaker.check().is_ok());
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.in_flight), (State::HalfOpen, 0));
}
