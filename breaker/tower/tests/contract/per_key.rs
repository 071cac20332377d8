//! A breaker for each key.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use breaker_tower::breaker_core::{Classification, Event, Feed, Sample};
use breaker_tower::{BreakerHandle, BreakerLayer, BreakerSet, Mode, OnDrop, State, rejection};
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
    request.finish(Classification::Failure);
    assert_eq!(first.state(), State::Open);
    assert_eq!(set.get("first").state(), State::Closed);
}

fn hosts() -> BreakerSet<String> {
    BreakerSet::new(touchy(), 8)
}

fn fail(breaker: &BreakerHandle) {
    let request = breaker.try_acquire(OnDrop::Ignored).unwrap();
    request.finish(Classification::Failure);
}

#[tokio::test(start_paused = true)]
async fn to_peek_makes_no_breaker_and_keeps_none() {
    let hosts = BreakerSet::with_idle(touchy(), 8, Duration::from_secs(60));
    assert!(hosts.peek("a").is_none() && hosts.is_empty());
    let id = hosts.get("a".to_owned()).id();
    for _ in 0..3 {
        advance(Duration::from_secs(40)).await;
        assert_eq!(hosts.peek("a").unwrap().id(), id);
    }
    hosts.get("b".to_owned());
    assert!(hosts.peek("a").is_none());
    assert_eq!(hosts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_back_has_another_breaker_of_the_same_name() {
    let hosts = hosts();
    let first = hosts.get("a".to_owned());
    fail(&first);
    let removed = hosts.remove("a").unwrap();
    assert_eq!((removed.id(), removed.state()), (first.id(), State::Open));
    assert!(hosts.remove("a").is_none());
    let second = hosts.get("a".to_owned());
    assert_eq!(
        (second.name(), second.state()),
        (first.name(), State::Closed)
    );
    assert_ne!(second.id(), first.id());
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_for_all_keys_or_for_each_its_own() {
    let hosts = hosts();
    let name = |key: &str| hosts.get(key.to_owned()).policy().name().to_string();
    assert_eq!(name("a"), "touchy");
    hosts.set_policy(sensitive());
    assert_eq!(
        (name("a"), name("b")),
        ("sensitive".into(), "sensitive".into())
    );
    let (usual, special) = (Arc::new(sensitive()), Arc::new(touchy()));
    hosts.set_policies(move |key| {
        if key == "b" {
            special.clone()
        } else {
            usual.clone()
        }
    });
    assert_eq!(
        (name("a"), name("b"), name("c")),
        ("sensitive".into(), "touchy".into(), "sensitive".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_hears_of_all_breakers_and_of_those_to_come() {
    let hosts = hosts();
    let first = hosts.get("a".to_owned());
    let mut events = hosts.subscribe();
    fail(&first);
    let second = hosts.get("b".to_owned());
    fail(&second);
    for breaker in [&first, &second] {
        let told = events.recv().await.unwrap();
        assert_eq!((&told.name, told.id), (breaker.name(), breaker.id()));
        assert!(matches!(told.event, Event::Transition(t) if t.to == State::Open));
    }
    // Nobody uses them: the time alone does it.
    let told = events.recv().await.unwrap();
    assert!(matches!(told.event, Event::Transition(t) if t.to == State::HalfOpen));
    assert_eq!(events.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_reads_are_skipped_and_counted() {
    let hosts = hosts();
    let mut events = hosts.subscribe();
    let breaker = hosts.get("a".to_owned());
    for round in 0..1100 {
        breaker.force([Mode::ForcedOpen, Mode::ForcedClosed][round % 2]);
    }
    events.recv().await.unwrap();
    assert!(events.missed() > 1000);
}

#[tokio::test(start_paused = true)]
async fn a_mode_is_for_all_breakers_until_it_is_another() {
    let hosts = hosts();
    let first = hosts.get("a".to_owned());
    hosts.force_all(Mode::ForcedOpen);
    assert_eq!(first.state(), State::Open);
    assert_eq!(hosts.get("b".to_owned()).state(), State::Open);
    hosts.force_all(Mode::Auto);
    assert_eq!(first.mode(), Mode::Auto);
    assert_eq!(hosts.get("c".to_owned()).state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn to_make_room_takes_no_breakers_lock() {
    let hosts = BreakerSet::with_idle(touchy(), 2, Duration::from_secs(1));
    let locked = hosts.get(0);
    let feed = locked.add_feed(Feed::new("app"));
    let sample = Sample::new(Classification::Success, None, locked.now());
    advance(Duration::from_secs(2)).await;
    // What is told is told under the breaker's lock.
    locked.observe(feed, [sample], |_| {
        for key in 1..10 {
            hosts.get(key);
        }
    });
    assert!(hosts.peek(&0).is_none());
}
