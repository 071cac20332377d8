use super::*;

#[test]
fn a_closed_breaker_lets_all_pass_and_holds_nothing_in_flight() {
    let mut bench = Bench::new(sensitive());
    assert_eq!(bench.ask(1000), 1000);
    let snapshot = bench.snapshot();
    assert_eq!(
        (snapshot.in_flight, snapshot.totals),
        (0, crate::Totals::default())
    );
}

#[test]
fn an_open_breaker_refuses_and_counts_that() {
    let mut bench = Bench::open();
    bench.pass_to(4.0);
    let rejected = bench.breaker.check(at(4.0)).unwrap_err();
    assert_eq!(rejected.state, State::Open);
    assert_eq!(rejected.retry_after, Duration::from_secs(6));
    assert_eq!(rejected.reason().label(), "error_rate");
    assert_eq!(bench.snapshot().totals.rejected, 1);
}

#[test]
fn a_trial_lets_as_many_pass_as_it_has_probes_at_once_until_their_time_is_over() {
    let mut bench = Bench::half_open();
    assert_eq!(bench.ask(10), 3);
    bench.pass_to(14.999);
    assert_eq!(bench.ask(10), 0);
    bench.pass_to(15.0);
    assert_eq!(bench.ask(10), 3);
    assert_eq!(bench.snapshot().totals.rejected, 7 + 10 + 7);
}

#[test]
fn what_is_never_heard_of_decides_nothing() {
    let mut bench = Bench::half_open();
    bench.ask(3);
    bench.pass(3600.0);
    assert_eq!(bench.state(), State::HalfOpen);
    let Phase::Probing(probing) = &bench.breaker.phase else {
        panic!("nobody reported anything");
    };
    assert_eq!((probing.succeeded(), probing.failed()), (0, 0));
}

#[test]
fn those_who_ask_do_not_keep_the_probes_waiting() {
    let mut bench = Bench::half_open();
    assert_eq!(bench.ask(10), 3);
    let probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    assert!(bench.acquire().is_err());
    for probe in probes {
        bench.record(probe, Outcome::success(ms(1)));
    }
    assert_eq!(bench.ask(10), 0);
    assert_eq!(bench.run(1, Outcome::success(ms(1))), 1);
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn a_ramp_lets_its_share_pass() {
    let mut bench = Bench::ramping();
    assert_eq!(bench.ask(95), 10, "a tenth, and the first");
    bench.pass(5.0);
    assert!((54..=56).contains(&bench.ask(100)));
}

#[test]
fn shadow_refuses_nobody_and_counts_whom_it_would_have() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::Shadow, at(0.0));
    bench.run(20, Outcome::failure(ms(1)));
    assert_eq!(bench.ask(7), 7);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.would_reject, totals.rejected), (7, 0));
}

#[test]
fn an_operators_word_is_the_verdict() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::ForcedOpen, at(0.0));
    assert_eq!(bench.ask(5), 0);
    bench.breaker.force(Mode::ForcedClosed, at(0.0));
    assert_eq!(bench.ask(5), 5);
}

#[test]
fn what_ended_before_it_asked_is_counted_and_owed_nothing() {
    let mut bench = Bench::half_open();
    let before = bench.snapshot();
    for _ in 0..100 {
        bench.breaker.ignore(Attribution::Caller);
    }
    let after = bench.snapshot();
    assert_eq!(after.totals.ignored, before.totals.ignored + 100);
    assert_eq!(after.totals.ignored_by[Attribution::Caller as usize], 100);
    assert_eq!(after.in_flight, 0);
    let probes = (0..3).filter(|_| bench.acquire().is_ok()).count();
    assert_eq!(probes, 3);
}
