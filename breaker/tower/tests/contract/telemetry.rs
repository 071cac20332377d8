//! Telemetry: feeds of a shared breaker, and the traces that a trip names.

use std::time::Duration;

use breaker_tower::breaker_core::{Classification, Event, Feed, Observed, Sample, TraceId};
use breaker_tower::{BreakerHandle, Policy, State};
use tokio::time::advance;
use tower::{Service, ServiceExt};

use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn a_trip_names_the_trace_of_the_request_that_failed() {
    let (mut service, mut upstream, breaker) = behind(touchy());
    let mut events = breaker.subscribe();
    let mut traced = request();
    *traced.headers_mut() = headers(&[(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
    )]);
    let call = service.ready().await.unwrap().call(traced);
    accept(&mut upstream)
        .await
        .send_response(response(500, empty()));
    drop(call.await.unwrap());
    let Some(Event::Transition(trip)) = events.recv().await else {
        panic!("no transition");
    };
    let id = TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!(trip.traces, [id.unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn a_feed_trips_and_says_what_became_of_its_samples() {
    let breaker = BreakerHandle::telemetry_only("orders", Policy::sensitive());
    let feed = breaker.add_feed(Feed::new("ledger-db"));
    advance(Duration::from_secs(100)).await;
    let now = breaker.now();
    let failed = Sample::new(Classification::Failure, None, now);
    let old = Sample::new(
        Classification::Failure,
        None,
        breaker_core::Timestamp::from_millis(50_000),
    );
    let mut told = Vec::new();
    breaker.observe(feed, [failed.times(19), old, failed], |what| {
        told.push(what);
    });
    assert_eq!(told, [Observed::Counted, Observed::Late, Observed::Counted]);
    assert_eq!(breaker.state(), State::Open);
}
