//! A breaker for each key.

use std::convert::Infallible;
use std::time::Duration;

use breaker_tower::{BreakerLayer, BreakerSet, Mode, OnDrop, State, rejection};
use http::{Request, Response};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::harness::*;

const IDLE: Duration = Duration::from_secs(60);

fn names<K: Eq + std::hash::Hash + Clone + std::fmt::Display>(set: &BreakerSet<K>) -> Vec<String> {
    let mut names: Vec<_> = set
        .breakers()
        .iter()
        .map(|b| b.name().to_string())
        .collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn keys_trip_apart() {
    let set = BreakerSet::new(touchy(), 100);
    let layer = BreakerLayer::per_key(set.clone(), |request: &Request<Body>| {
        request.uri().path().to_owned()
    });
    let mut service = layer.layer(service_fn(async |request: Request<Body>| {
        let status = if request.uri().path() == "/bad" {
            500
        } else {
            200
        };
        Ok::<_, Infallible>(response(status, empty()))
    }));
    let mut get = async |path: &'static str| {
        let mut request = request();
        *request.uri_mut() = path.parse().unwrap();
        let answer: Result<Response<_>, _> = service.ready().await.unwrap().call(request).await;
        answer.map(|response| response.status().as_u16())
    };
    assert_eq!(get("/good").await.unwrap(), 200);
    assert_eq!(get("/bad").await.unwrap(), 500);
    assert!(rejection(&*get("/bad").await.unwrap_err()).is_some());
    assert_eq!(get("/good").await.unwrap(), 200);
    assert_eq!(names(&set), ["/bad", "/good"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_one_breaker() {
    let set = BreakerSet::new(touchy(), 100);
    set.get("a").force(Mode::ForcedOpen);
    assert_eq!(set.get("a").state(), State::Open);
    assert_eq!(set.get("b").state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn idle_keys_are_forgotten_unless_open_or_forced() {
    let set = BreakerSet::with_idle(touchy(), 100, IDLE);
    set.get("idle");
    set.get("forced").force(Mode::ForcedClosed);
    set.get("open").force(Mode::ForcedOpen);
    advance(IDLE - Duration::from_secs(1)).await;
    set.get("busy");
    advance(Duration::from_secs(2)).await;
    set.get("new");
    assert_eq!(names(&set), ["busy", "forced", "new", "open"]);
}

#[tokio::test(start_paused = true)]
async fn the_capacity_is_hard_and_the_oldest_closed_breaker_goes_first() {
    let set = BreakerSet::new(touchy(), 3);
    set.get(1).force(Mode::ForcedOpen);
    for key in 2..=3 {
        advance(Duration::from_secs(1)).await;
        set.get(key);
    }
    advance(Duration::from_secs(1)).await;
    set.get(2);
    set.get(4);
    assert_eq!(names(&set), ["1", "2", "4"]);
    for key in 0..10_000 {
        set.get(key);
        assert!(set.breakers().len() <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_ends_on_the_breaker_that_admitted_it() {
    let set = BreakerSet::new(touchy(), 1);
    let first = set.get("first");
    let request = first.try_acquire(OnDrop::Ignored).unwrap();
    set.get("second");
    request.finish(breaker_tower::core::Verdict::Failure);
    assert_eq!(first.state(), State::Open);
    assert_eq!(set.get("first").state(), State::Closed);
}
