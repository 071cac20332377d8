//! What time alone does: the driver's task.

use std::time::Duration;

use breaker_tower::breaker_core::{Event, Reason};
use breaker_tower::{BreakerHandle, BreakerLayer, BreakerSet, Mode, OnDrop, State};
use tokio::time::{Instant, advance, sleep};
use tower::{Service, ServiceExt};

use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn a_hang_opens_after_about_one_threshold_though_nothing_completed() {
    let (mut service, mut upstream, breaker) = behind(sensitive());
    let mut events = breaker.subscribe();
    let mut hanging = Vec::new();
    for _ in 0..20 {
        let call = service.ready().await.unwrap().call(request());
        hanging.push((call, accept(&mut upstream).await));
    }
    let began = Instant::now();
    let transition = loop {
        if let Event::Transition(transition) = events.recv().await.unwrap() {
            break transition;
        }
    };
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(1) && waited <= Duration::from_millis(1100),
        "{waited:?}"
    );
    assert_eq!(
        (transition.to, transition.reason.label()),
        (State::Open, "slow_rate")
    );
    assert_eq!(counted(&breaker), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_driver_alone_goes_from_open_to_half_open_and_from_ramp_to_closed() {
    let (mut service, mut upstream, breaker) = behind(sensitive());
    let mut events = breaker.subscribe();
    for _ in 0..20 {
        drop(exchange(&mut service, &mut upstream, response(500, empty())).await);
    }
    let began = Instant::now();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, state)| *state != "closed") {
        match events.recv().await.unwrap() {
            Event::Transition(transition) => {
                seen.push((began.elapsed().as_secs(), transition.to.name()));
                if transition.to == State::HalfOpen {
                    for _ in 0..5 {
                        drop(exchange(&mut service, &mut upstream, response(200, empty())).await);
                    }
                }
            }
            Event::RampStarted { .. } => seen.push((began.elapsed().as_secs(), "ramp")),
            _ => {}
        }
    }
    assert_eq!(
        seen,
        [(0, "open"), (10, "half_open"), (10, "ramp"), (20, "closed")]
    );
}

#[test]
fn the_driver_survives_the_runtime_that_started_it() {
    let breaker = BreakerHandle::new("test", touchy());
    let first = paused_runtime();
    first.block_on(async { fail_once(&breaker) });
    drop(first);
    assert_eq!(breaker.state(), State::Open);
    paused_runtime().block_on(async {
        let mut events = breaker.subscribe();
        // Any use of the breaker starts a driver here.
        assert_eq!(breaker.state(), State::Open);
        let event = events.recv().await;
        assert!(matches!(event, Some(Event::Transition(t)) if t.to == State::HalfOpen));
    });
}

/// A runtime that nobody drives any more, as a static one does after its only `block_on`.
fn undriven(breaker: &BreakerHandle) -> tokio::runtime::Runtime {
    let runtime = paused_runtime();
    runtime.block_on(async { fail_once(breaker) });
    runtime
}

#[test]
fn the_driver_moves_to_whoever_subscribes() {
    let breaker = BreakerHandle::new("test", touchy());
    let _undriven = undriven(&breaker);
    paused_runtime().block_on(async {
        let mut events = breaker.subscribe();
        let event = events.recv().await;
        assert!(matches!(event, Some(Event::Transition(t)) if t.to == State::HalfOpen));
    });
}

#[test]
fn the_driver_moves_to_whoever_finds_it_late() {
    let breaker = BreakerHandle::new("test", touchy());
    let mut events = breaker.subscribe();
    let _undriven = undriven(&breaker);
    paused_runtime().block_on(async {
        sleep(OPEN_FOR + Duration::from_secs(1)).await;
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.force_for(Mode::ForcedClosed, Duration::from_secs(5));
        let began = Instant::now();
        let mut modes = Vec::new();
        while modes.last() != Some(&Mode::Auto) {
            if let Event::ModeChanged { to, .. } = events.recv().await.unwrap() {
                modes.push(to);
            }
        }
        assert_eq!(modes, [Mode::ForcedClosed, Mode::Auto]);
        assert_eq!(began.elapsed().as_secs(), 5);
    });
}

#[test]
fn a_service_that_waits_for_an_open_breaker_brings_the_driver() {
    let breaker = BreakerHandle::new("test", touchy());
    let _undriven = undriven(&breaker);
    paused_runtime().block_on(async {
        let (inner, _upstream) =
            tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let layer = BreakerLayer::new(breaker.clone()).unready_while_open();
        let mut service = tower::Layer::layer(&layer, inner);
        let began = Instant::now();
        service.ready().await.unwrap();
        assert_eq!(began.elapsed(), OPEN_FOR);
    });
}

#[test]
fn the_state_is_that_of_now_though_no_driver_runs() {
    let breaker = BreakerHandle::new("test", touchy());
    let _undriven = undriven(&breaker);
    assert_eq!(breaker.state(), State::Open);
    paused_runtime().block_on(async {
        sleep(OPEN_FOR).await;
        assert_eq!(breaker.state(), State::HalfOpen);
    });
}

#[test]
fn a_breaker_that_was_first_used_outside_of_a_runtime_gets_its_driver_inside() {
    let breaker = BreakerHandle::new("test", touchy());
    fail_once(&breaker);
    paused_runtime().block_on(async {
        let mut events = breaker.subscribe();
        assert_eq!(breaker.state(), State::Open);
        assert!(matches!(events.recv().await, Some(Event::Transition(_))));
    });
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_clone() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let breaker = BreakerHandle::new("test", touchy());
    let clone = breaker.clone();
    fail_once(&breaker);
    drop(breaker);
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before + 1);
    drop(clone);
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn subscribers_see_the_end_when_the_breaker_is_gone() {
    let breaker = BreakerHandle::new("test", touchy());
    let mut events = breaker.subscribe();
    breaker.force(Mode::ForcedOpen);
    drop(breaker);
    assert!(matches!(
        events.recv().await,
        Some(Event::ModeChanged { .. })
    ));
    assert!(matches!(events.recv().await, Some(Event::Transition(_))));
    assert_eq!(events.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_operator_forces_and_releases() {
    let (mut service, mut upstream, breaker) = behind(sensitive());
    breaker.force(Mode::ForcedOpen);
    service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap_err();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(breaker.state(), State::Open);
    breaker.force(Mode::Auto);
    let snapshot = breaker.snapshot();
    assert_eq!(
        (snapshot.state, &*snapshot.reason),
        (State::HalfOpen, &Reason::Forced(Mode::Auto))
    );
    drop(exchange(&mut service, &mut upstream, response(200, empty())).await);
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_after_a_long_idle_time_does_not_trip() {
    let (mut service, mut upstream, breaker) = behind(sensitive());
    for _ in 0..100 {
        drop(exchange(&mut service, &mut upstream, response(200, empty())).await);
    }
    sleep(Duration::from_secs(60)).await;
    let call = service.ready().await.unwrap().call(request());
    let answer = accept(&mut upstream).await;
    advance(Duration::from_secs(5)).await;
    answer.send_response(response(200, empty()));
    drop(call.await.unwrap());
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().sources[0].requests(), 1);
}

fn fail_once(breaker: &BreakerHandle) {
    let request = breaker.try_acquire(OnDrop::Ignored).unwrap();
    request.finish(breaker_core::Classification::Failure);
}

fn paused_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn all_breakers_of_a_set_have_one_task_which_ends_with_them() {
    let runtime = paused_runtime();
    let tasks = || runtime.metrics().num_alive_tasks();
    runtime.block_on(async {
        let set = BreakerSet::new(touchy(), 1000);
        let breakers: Vec<_> = (0..100).map(|key| set.get(key)).collect();
        breakers.iter().for_each(fail_once);
        assert_eq!(tasks(), 1);
        let mut events = set.subscribe();
        for _ in 0..100 {
            let event = events.recv().await.unwrap();
            assert!(matches!(event.event, Event::Transition(t) if t.to == State::HalfOpen));
        }
        drop((set, breakers, events));
        while tasks() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn the_task_of_a_set_goes_on_when_a_breaker_is_gone_and_when_its_runtime_is() {
    let set = BreakerSet::new(touchy(), 1000);
    let first = paused_runtime();
    first.block_on(async {
        fail_once(&set.get("gone"));
        fail_once(&set.get("stays"));
        set.remove("gone");
        sleep(Duration::from_millis(1)).await;
    });
    drop(first);
    paused_runtime().block_on(async {
        let mut events = set.subscribe();
        // Any use of the breaker starts a task here.
        assert_eq!(set.get("stays").state(), State::Open);
        let event = events.recv().await.unwrap();
        assert_eq!(&*event.name, "stays");
        assert!(matches!(event.event, Event::Transition(t) if t.to == State::HalfOpen));
    });
}
