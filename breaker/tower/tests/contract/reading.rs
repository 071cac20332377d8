//! Callers that do not read: the upstream's time does not run meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_tower::breaker_core::policy::{Builder, Condition, LatencyMeasure, TripEntry};
use breaker_tower::{BreakerHandle, BreakerLayer, Decision, Observer, Policy, State, Witness};
use http::Request;
use http_body_util::BodyExt;
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use crate::harness::*;

fn to_the_end() -> Policy {
    let builder: Builder = sensitive().into();
    builder.latency(LatencyMeasure::Complete).build().unwrap()
}

/// The decision on the last request.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Option<Decision>>>);

impl Observer<Body> for Told {
    type Witness = Self;

    fn begin(&self, _: &Request<Body>) -> Self {
        self.clone()
    }
}

impl Witness for Told {
    fn decided(&mut self, decision: Decision) {
        *self.0.lock().unwrap() = Some(decision);
    }
}

#[tokio::test(start_paused = true)]
async fn the_latency_to_the_end_is_without_the_pauses_of_the_caller() {
    let breaker = BreakerHandle::new("test", to_the_end());
    let (inner, mut upstream) = mock::pair();
    let told = Told::default();
    let layer = BreakerLayer::new(breaker.clone()).with_observer(told.clone());
    let mut service = layer.layer(inner);
    let call = service.ready().await.unwrap().call(request());
    let (_, answer) = upstream.next_request().await.unwrap();
    advance(Duration::from_millis(100)).await;
    let (mut sender, body) = streamed();
    answer.send_response(response(200, body));
    let mut body = call.await.unwrap().into_body();
    // It does not read.
    advance(Duration::from_secs(30)).await;
    for _ in 0..2 {
        let sends = async {
            sleep(Duration::from_millis(50)).await;
            sender.send_data("piece".into()).await.unwrap();
        };
        let (frame, ()) = tokio::join!(body.frame(), sends);
        assert!(frame.unwrap().is_ok());
        advance(Duration::from_secs(30)).await;
    }
    drop(sender);
    assert!(body.frame().await.is_none());
    let latency = breaker.snapshot().sources[0].latency.unwrap();
    let millis = latency.max.as_millis();
    assert!((198..=204).contains(&millis), "{millis} ms, of 200");
    let decision = told.0.lock().unwrap().take().unwrap();
    assert_eq!(decision.latency, Duration::from_millis(200));
    assert_eq!(
        decision.waited,
        Duration::from_millis(90_200),
        "with the pauses"
    );
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_read_neither_hang_nor_count_as_concurrency() {
    let builder: Builder = to_the_end().into();
    let mut entries = sensitive().trip().to_vec();
    entries.push(TripEntry::open([Condition::Concurrency(5)]));
    let (mut service, mut upstream, breaker) = behind(builder.trip(entries).build().unwrap());
    let mut unread = Vec::new();
    for _ in 0..40 {
        let call = service.ready().await.unwrap().call(request());
        let (_, answer) = upstream.next_request().await.unwrap();
        let (sender, body) = streamed();
        answer.send_response(response(200, body));
        unread.push((call.await.unwrap(), sender));
    }
    sleep(Duration::from_secs(30)).await;
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.in_flight), (State::Closed, 40));
}
