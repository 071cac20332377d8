use super::*;

#[test]
fn shadow_rejects_nothing_and_tells_what_it_would_have_done() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::Shadow, at(0.0));
    assert_eq!(bench.run(20, Outcome::failure(ms(1))), 20);
    assert_eq!(bench.transitions().len(), 1);
    assert_eq!(bench.run(100, Outcome::failure(ms(1))), 100);
    let totals = bench.snapshot().totals;
    assert_eq!(
        (totals.would_reject, totals.rejected, totals.failure),
        (100, 0, 120)
    );
    assert_eq!(bench.state(), State::Open);
}

/// Or a route in shadow mode would look as if its traffic were lost.
#[test]
fn what_shadow_let_through_is_seen_by_its_source() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::Shadow, at(0.0));
    bench.run(20, Outcome::failure(ms(1)));
    bench.run(30, Outcome::failure(ms(1)));
    bench.run(5, Outcome::success(ms(1)));
    bench.run(7, Outcome::ignored(ms(1)));
    let snapshot = bench.snapshot();
    let seen = &snapshot.sources[0].totals;
    assert_eq!((seen.failure, seen.success), (50, 5));
    assert_eq!(
        seen.latency
            .since(&crate::LatencyCounts::EMPTY)
            .map(|(_, count)| count)
            .sum::<u32>(),
        55
    );
    assert_eq!(snapshot.sources[0].requests(), 20, "the window decides");
}

#[test]
fn what_shadow_let_through_decides_nothing() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::Shadow, at(0.0));
    bench.run(20, Outcome::failure(ms(1)));
    let let_through: Vec<_> = (0..50).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(10.0);
    for permit in let_through {
        bench.record(permit, Outcome::success(ms(1)));
    }
    assert_eq!(bench.state(), State::HalfOpen);
    assert_eq!(bench.run(1, Outcome::success(ms(1))), 1);
    let Phase::Probing(probing) = &bench.breaker.phase else {
        panic!("one probe of five decides nothing");
    };
    assert_eq!(probing.succeeded(), 1);
}

#[test]
fn an_operator_who_lets_shadow_decide_gets_what_it_has_decided() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::Shadow, at(0.0));
    bench.run(20, Outcome::failure(ms(1)));
    bench.breaker.force(Mode::Auto, at(1.0));
    bench.now = 1.0;
    assert!(bench.acquire().is_err());
}

#[test]
fn forced_open_rejects_until_the_operator_says_otherwise_and_then_begins_with_probes() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.force(Mode::ForcedOpen, at(0.0));
    bench.pass_to(86_400.0);
    assert!(bench.acquire().is_err());
    assert_eq!(
        bench.transitions(),
        ["closed → open: mode set to forced_open"]
    );
    bench.breaker.force(Mode::Auto, at(86_400.0));
    assert_eq!(bench.transitions(), ["open → half_open: mode set to auto"]);
    assert!(bench.acquire().unwrap().is_probe());
}

#[test]
fn a_mode_with_a_time_ends_by_itself_and_is_an_event() {
    let mut bench = Bench::new(sensitive());
    let half_a_minute = Duration::from_secs(30);
    bench
        .breaker
        .force_for(Mode::ForcedOpen, half_a_minute, at(0.0));
    bench.pass_to(29.9);
    assert!(bench.acquire().is_err());
    assert_eq!(bench.snapshot().mode_remaining, Some(ms(100)));
    bench.events();
    bench.pass_to(30.0);
    assert_eq!(
        bench.events()[0],
        Event::ModeChanged {
            at: at(30.0),
            from: Mode::ForcedOpen,
            to: Mode::Auto
        }
    );
    assert_eq!(bench.snapshot().mode_remaining, None);
    assert!(bench.acquire().unwrap().is_probe());
}

#[test]
fn a_mode_ends_in_time_without_a_driver_too() {
    let mut bench = Bench::new(sensitive());
    bench
        .breaker
        .force_for(Mode::ForcedClosed, Duration::from_secs(5), at(0.0));
    bench.now = 5.0;
    assert_eq!(bench.run(20, Outcome::failure(ms(1))), 20);
    assert!(bench.acquire().is_err(), "the policy decides again");
}

#[test]
fn what_is_said_of_a_mode_later_counts_instead() {
    let mut bench = Bench::new(sensitive());
    let minute = Duration::from_secs(60);
    bench.breaker.force_for(Mode::Shadow, minute, at(0.0));
    bench.breaker.force_for(Mode::Shadow, minute, at(30.0));
    bench.now = 30.0;
    assert_eq!(bench.snapshot().mode_remaining, Some(minute));
    bench.breaker.force(Mode::Shadow, at(40.0));
    bench.pass_to(1000.0);
    assert_eq!(bench.snapshot().mode, Mode::Shadow);
    bench.breaker.force_for(Mode::Auto, minute, at(1000.0));
    assert_eq!(bench.snapshot().mode_remaining, None);
}

#[test]
fn forced_closed_admits_all_whatever_they_become() {
    let mut bench = Bench::open();
    bench.breaker.force(Mode::ForcedClosed, at(0.0));
    assert_eq!(bench.run(1000, Outcome::failure(ms(1))), 1000);
    assert_eq!(bench.state(), State::Closed);
    bench.breaker.force(Mode::Auto, at(0.0));
    bench.run(1, Outcome::failure(ms(1)));
    assert_eq!(
        bench.state(),
        State::Open,
        "what it saw while forced counts"
    );
}

#[test]
fn another_policy_keeps_state_and_remaining_open_time() {
    let mut bench = Bench::open();
    bench.pass_to(4.0);
    bench.breaker.set_policy(Policy::conservative(), at(4.0));
    assert_eq!(
        bench.snapshot().open_remaining,
        Some(Duration::from_secs(6))
    );
    bench.pass_to(10.0);
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn another_policy_limits_the_open_time_to_the_longest_of_its_own() {
    let mut bench = Bench::new(Policy::conservative());
    bench.run(100, Outcome::failure(ms(1)));
    bench.pass_to(1.0);
    let long = bench.snapshot().open_remaining.unwrap();
    bench.breaker.set_policy(Policy::adaptive(), at(1.0));
    let short = bench.snapshot().open_remaining.unwrap();
    let open = Policy::adaptive().open();
    assert!(short < long && short < open.max, "{short:?} of {long:?}");
    bench.breaker.set_policy(Policy::conservative(), at(1.0));
    assert_eq!(bench.snapshot().open_remaining, Some(short), "never longer");
    bench.pass_to(1.0 + short.as_secs_f64());
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn a_rejection_tells_the_reason_and_policy_of_its_own_time() {
    let mut bench = Bench::open();
    let before = bench.acquire().unwrap_err();
    bench.breaker.set_policy(Policy::conservative(), at(0.0));
    let renamed = bench.acquire().unwrap_err();
    bench.breaker.force(Mode::ForcedOpen, at(0.0));
    let forced = bench.acquire().unwrap_err();
    let told = |rejected: &Rejected| {
        let policy = rejected.policy().name().to_owned();
        (policy, rejected.reason().label())
    };
    assert_eq!(told(&before), ("sensitive".into(), "error_rate"));
    assert_eq!(told(&renamed), ("conservative".into(), "error_rate"));
    assert_eq!(told(&forced), ("conservative".into(), "forced"));
}

#[test]
fn another_policy_keeps_windows_that_count_the_same_things() {
    let mut bench = Bench::new(sensitive());
    bench.run(19, Outcome::failure(ms(1)));
    let stricter = policy::Builder::from(sensitive())
        .min_requests(10)
        .build()
        .unwrap();
    bench.breaker.set_policy(stricter, at(0.0));
    assert_eq!(bench.snapshot().sources[0].failure, 19);
    bench.run(1, Outcome::failure(ms(1)));
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn an_idle_breaker_costs_at_most_1_kib() {
    let mut bench = Bench::new(sensitive());
    bench.run(1000, Outcome::success(ms(1)));
    assert!(bench.snapshot().window_bytes > 0);
    bench.pass(11.0);
    assert_eq!(bench.snapshot().window_bytes, 0);
    let source = size_of::<Source>()
        + 3 * size_of::<Option<Box<crate::alert::StandingAlert>>>()
        + "proxy".len()
        + 16;
    let whole = size_of::<Breaker>() + source + size_of::<Reason>() + size_of::<RejectionContext>();
    assert!(whole <= 1024, "{whole} bytes");
}

#[test]
fn what_is_held_closed_has_the_mode_again_that_it_would_have() {
    for mode in Mode::ALL {
        for for_good in [true, false] {
            let mut held = Bench::new(sensitive());
            match for_good {
                true => held.breaker.force(mode, at(0.0)),
                false => held.breaker.force_for(mode, ms(1000), at(0.0)),
            }
            held.breaker.hold_closed(at(0.1));
            held.breaker.hold_closed(at(0.2));
            assert_eq!(held.breaker.mode(), Mode::ForcedClosed);
            assert_eq!(held.state(), State::Closed);
            let mut late = held.breaker.clone();
            held.breaker.release(at(0.5));
            held.breaker.release(at(0.6));
            assert_eq!(held.breaker.mode(), mode);
            let is_open = held.state() == State::Open;
            assert_eq!(is_open, mode == Mode::ForcedOpen);
            // A time that is over meanwhile is over.
            late.release(at(2.0));
            assert_eq!(late.mode(), if for_good { mode } else { Mode::Auto });
        }
    }
}

#[test]
fn a_mode_that_is_set_while_it_is_held_closed_waits() {
    let mut bench = Bench::new(sensitive());
    bench.breaker.hold_closed(at(0.0));
    bench.breaker.force(Mode::ForcedOpen, at(0.0));
    assert_eq!(bench.breaker.mode(), Mode::ForcedClosed);
    bench.breaker.release(at(0.0));
    assert_eq!(bench.breaker.mode(), Mode::ForcedOpen);
}
