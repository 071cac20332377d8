//! `testing`, without a runtime and without waiting.

use std::time::Duration;

use breaker_tower::breaker_core::{Classification, Event};
use breaker_tower::testing::TestBreaker;
use breaker_tower::{Mode, OnDrop, Policy, State};

/// Failing calls with `pause` between them, until the breaker opens.
fn failures_to_open(policy: Policy, pause: Duration) -> Option<u32> {
    let test = TestBreaker::new("test", policy);
    (0..5000).find(|_| {
        let admitted = test.handle().try_acquire(OnDrop::Ignored);
        let is_open = admitted.is_err();
        if let Ok(request) = admitted {
            request.finish(Classification::Failure);
        }
        test.advance(pause);
        is_open
    })
}

#[test]
fn adaptive_opens_in_no_loop_without_time() {
    assert_eq!(
        failures_to_open(Policy::sensitive(), Duration::ZERO),
        Some(20)
    );
    assert_eq!(failures_to_open(Policy::adaptive(), Duration::ZERO), None);
    let opened = failures_to_open(Policy::adaptive(), Duration::from_millis(20));
    assert!(opened.is_some_and(|failures| failures < 100), "{opened:?}");
}

#[test]
fn every_builtin_trips_and_comes_back_by_time_and_good_answers() {
    let names = ["conservative", "sensitive", "combined", "adaptive"];
    for policy in names.map(|name| Policy::builtin(name).unwrap()) {
        let test = TestBreaker::new("test", policy.clone());
        let breaker = test.handle();
        test.trip();
        assert_eq!(breaker.state(), State::Open, "{}", policy.name());
        assert_eq!(breaker.policy().name(), policy.name());
        test.advance(Duration::from_secs(60));
        assert_eq!(breaker.state(), State::HalfOpen, "{}", policy.name());
        for _ in 0..50_000 {
            if let Ok(request) = breaker.try_acquire(OnDrop::Ignored) {
                request.finish(Classification::Success);
            }
            test.advance(Duration::from_millis(10));
        }
        assert_eq!(breaker.state(), State::Closed, "{}", policy.name());
        test.trip();
        assert_eq!(breaker.state(), State::Open, "{}", policy.name());
    }
}

#[test]
fn time_stands_still_and_what_is_due_happens_at_its_time() {
    let test = TestBreaker::new("test", Policy::sensitive());
    let mut events = test.handle().subscribe();
    let force = |period| test.handle().force_for(Mode::ForcedOpen, period);
    force(Duration::from_secs(5));
    std::thread::yield_now();
    assert_eq!(test.handle().now().as_nanos(), 0);
    test.advance(Duration::from_secs(3600));
    let mut at = None;
    while let Some(event) = tokio_test::block_on(events.recv()) {
        if let Event::ModeChanged {
            at: when,
            to: Mode::Auto,
            ..
        } = event
        {
            at = Some(when);
            break;
        }
    }
    assert_eq!(at.map(|at| at.as_nanos()), Some(5_000_000_000));
}

#[test]
#[should_panic(expected = "a mode keeps it closed")]
fn a_trip_against_a_mode_is_told() {
    let test = TestBreaker::new("test", Policy::sensitive());
    test.handle().force(Mode::ForcedClosed);
    test.trip();
}
