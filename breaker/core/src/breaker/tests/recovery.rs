use super::*;

#[test]
fn closed_open_half_open_ramp_closed() {
    let mut bench = Bench::ramping();
    assert_eq!(bench.transitions(), ["open → half_open: open for 10s"]);
    bench.pass_to(20.0);
    assert_eq!(
        bench.transitions(),
        ["half_open → closed: ramp completed: 0 succeeded, 0 failed"]
    );
    assert_eq!(bench.run(100, Outcome::success(ms(1))), 100);
}

#[test]
fn open_rejects_all_and_says_when_to_come_back() {
    let mut bench = Bench::open();
    bench.pass_to(4.0);
    let rejected = bench.acquire().unwrap_err();
    assert_eq!(
        (rejected.state, rejected.retry_after),
        (State::Open, Duration::from_secs(6))
    );
    assert_eq!(rejected.reason().label(), "error_rate");
    assert_eq!(bench.run(100, Outcome::success(ms(1))), 0);
    assert_eq!(bench.snapshot().totals.rejected, 101);
}

#[test]
fn retry_after_is_at_least_the_remaining_time_and_spread_over_callers() {
    let mut bench = Bench::new(Policy::sensitive());
    bench.run(20, Outcome::failure(ms(1)));
    let remaining = bench.snapshot().open_remaining.unwrap();
    let asked: Vec<_> = (0..1000)
        .map(|_| bench.acquire().unwrap_err().retry_after)
        .collect();
    assert!(asked.iter().all(|after| *after >= remaining));
    let spread = *asked.iter().max().unwrap() - *asked.iter().min().unwrap();
    assert!(spread > Duration::from_millis(1500), "spread {spread:?}");
}

#[test]
fn the_breakers_own_rejections_never_count() {
    let mut bench = Bench::open();
    bench.run(1000, Outcome::success(ms(1)));
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.failure, snapshot.totals.success), (20, 0));
    assert_eq!(snapshot.sources[0].requests(), 20);
}

#[test]
fn outcomes_from_before_the_trip_change_nothing_half_open() {
    for outcome in [Outcome::failure(ms(9)), Outcome::success(ms(9))] {
        let mut bench = Bench::new(sensitive());
        let stale: Vec<_> = (0..50).map(|_| bench.acquire().unwrap()).collect();
        bench.run(20, Outcome::failure(ms(1)));
        bench.pass_to(10.0);
        assert_eq!(bench.state(), State::HalfOpen);
        bench.transitions();
        for permit in stale {
            bench.record(permit, outcome);
        }
        assert_eq!(bench.transitions(), [""; 0]);
        assert_eq!(bench.state(), State::HalfOpen);
        assert_eq!(bench.snapshot().sources[0].requests(), 0);
    }
}

#[test]
fn requests_that_hang_since_before_the_trip_do_not_trip_again() {
    let mut bench = Bench::new(sensitive());
    let hung: Vec<_> = (0..40).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(1.2);
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(12.0);
    bench.run(4, Outcome::success(ms(1)));
    bench.pass_to(60.0);
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.snapshot().in_flight, 40);
    drop(hung);
}

#[test]
fn at_most_concurrent_probes_and_at_most_as_many_as_are_needed() {
    let mut bench = Bench::half_open();
    let probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    assert!(probes.iter().all(Permit::is_probe));
    assert!(bench.acquire().is_err());
    for probe in probes {
        bench.record(probe, Outcome::success(ms(1)));
    }
    let _two_more = [bench.acquire().unwrap(), bench.acquire().unwrap()];
    assert!(
        bench.acquire().is_err(),
        "3 outcomes and 2 in flight make 5"
    );
}

#[test]
fn a_dropped_probe_gives_its_slot_back_in_time_a_thousand_times() {
    let mut bench = Bench::half_open();
    for _ in 0..1000 {
        for _ in 0..3 {
            let probe = bench.acquire().unwrap();
            bench.record(probe, Outcome::ignored(ms(1)));
        }
        assert!(bench.acquire().is_err(), "no slot is free before");
        bench.pass(5.0);
    }
    assert_eq!(bench.state(), State::HalfOpen);
    assert_eq!(bench.snapshot().in_flight, 0);
    bench.run(4, Outcome::success(ms(1)));
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn a_probe_that_others_than_its_caller_ended_gives_its_slot_back_at_once() {
    for attribution in Attribution::ALL {
        if attribution == Attribution::Caller {
            continue;
        }
        let mut bench = Bench::half_open();
        for _ in 0..1000 {
            let probe = bench.acquire().unwrap();
            bench.record(probe, Outcome::ignored(ms(1)).caused_by(attribution));
        }
        assert_eq!(bench.state(), State::HalfOpen);
        bench.run(4, Outcome::success(ms(1)));
        assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
    }
}

#[test]
fn a_probe_that_hangs_counts_as_failed_after_its_lease_and_frees_its_slot() {
    let mut bench = Bench::half_open();
    let hung: Vec<_> = (0..2).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(14.9);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.transitions();
    bench.pass_to(15.0);
    assert_eq!(
        bench.transitions(),
        ["half_open → open: 2 probes failed, 0 succeeded, 4 were needed"]
    );
    assert_eq!(
        bench.snapshot().open_remaining,
        Some(Duration::from_secs(20)),
        "the back-off advances"
    );
    for probe in hung {
        bench.record(probe, Outcome::success(ms(5000)));
    }
    assert_eq!(bench.state(), State::Open, "a late success closes nothing");
}

#[test]
fn one_lost_probe_of_five_is_forgiven() {
    let mut bench = Bench::half_open();
    let _lost = bench.acquire().unwrap();
    bench.pass_to(15.0);
    bench.run(4, Outcome::success(ms(1)));
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn probes_that_fail_reopen_with_a_longer_time_each() {
    let mut bench = Bench::half_open();
    for expected in [20, 40, 80, 160, 300, 300] {
        bench.run(5, Outcome::failure(ms(1)));
        assert_eq!(bench.state(), State::Open);
        let remaining = bench.snapshot().open_remaining.unwrap();
        assert_eq!(remaining.as_secs(), expected);
        bench.pass(remaining.as_secs_f64());
        assert_eq!(bench.state(), State::HalfOpen);
    }
}

#[test]
fn a_probe_whose_good_answer_is_still_flowing_has_succeeded() {
    let mut bench = Bench::half_open();
    let mut probes = Vec::new();
    for _ in 0..3 {
        let mut probe = bench.acquire().unwrap();
        bench.breaker.responded(&mut probe, ms(20), at(bench.now));
        probes.push(probe);
    }
    bench.pass_to(15.0);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.run(1, Outcome::success(ms(1)));
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn a_probe_as_slow_as_what_tripped_the_breaker_has_failed() {
    let mut bench = Bench::new(sensitive());
    bench.run(20, Outcome::success(ms(2000)));
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(10.0);
    bench.run(5, Outcome::success(ms(1500)));
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.snapshot().reason.label(), "probes_failed");
}

#[test]
fn a_probe_that_is_uploaded_slowly_is_neither_good_nor_bad() {
    let mut bench = Bench::half_open();
    let mut probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    for probe in &mut probes {
        bench.breaker.uploading(probe);
    }
    bench.pass_to(15.0);
    assert_eq!(bench.state(), State::HalfOpen);
    assert_eq!(
        bench.run(4, Outcome::success(ms(1))),
        4,
        "their slots are free"
    );
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn the_ramp_admits_a_growing_share() {
    let mut bench = Bench::ramping();
    for second in 0..10 {
        bench.pass_to(10.5 + f64::from(second));
        // 10 % at the start and 9 % more each second, give or take what error diffusion carries
        // over.
        let share = 14.5 + 9.0 * f64::from(second);
        let admitted = f64::from(bench.run(100, Outcome::success(ms(1))));
        assert!(
            (admitted - share).abs() <= 1.0,
            "{admitted} of 100 at {} s",
            bench.now
        );
    }
}

#[test]
fn a_ramp_in_which_a_trip_condition_holds_reopens() {
    let mut bench = Bench::ramping();
    bench.pass_to(18.0);
    bench.run(60, Outcome::success(ms(1)));
    bench.transitions();
    bench.run(8, Outcome::failure(ms(1)));
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.snapshot().reason.label(), "error_rate");
    assert_eq!(bench.snapshot().failed_recoveries, 1);
}

#[test]
fn a_ramp_of_few_requests_that_fail_reopens_though_min_requests_is_not_reached() {
    let mut bench = Bench::ramping();
    bench.pass_to(19.0);
    bench.run(6, Outcome::failure(ms(1)));
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.snapshot().reason.label(), "ramp_failed");
}

#[test]
fn a_ramp_that_ends_with_nothing_but_failures_does_not_close() {
    let mut bench = Bench::ramping();
    assert_eq!(
        bench.run(1, Outcome::failure(ms(1))),
        1,
        "the first is always admitted"
    );
    bench.pass_to(20.0);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn the_back_off_returns_to_the_start_after_a_full_window_of_healthy_traffic() {
    let mut bench = Bench::ramping();
    bench.pass_to(20.0);
    for _ in 0..11 {
        bench.pass(1.0);
        bench.run(10, Outcome::success(ms(1)));
    }
    bench.run(100, Outcome::failure(ms(1)));
    assert_eq!(
        bench.snapshot().open_remaining,
        Some(Duration::from_secs(10))
    );
}

#[test]
fn silence_is_not_health() {
    let mut bench = Bench::ramping();
    bench.pass_to(86_400.0);
    assert_eq!(bench.state(), State::Closed);
    bench.run(10_000, Outcome::ignored(ms(1)));
    bench.run(20, Outcome::failure(ms(1)));
    assert_eq!(
        bench.snapshot().open_remaining,
        Some(Duration::from_secs(20))
    );
}

#[test]
fn the_upstreams_retry_after_opens_for_that_time_capped() {
    let policy = policy::Builder::from(sensitive())
        .honour_retry_after(true)
        .build()
        .unwrap();
    for (asked, open_for) in [(7, 7), (100_000, 300)] {
        let mut bench = Bench::new(policy.clone());
        let asked = Some(Duration::from_secs(asked));
        bench.run(1, Outcome::success(ms(1)).with_retry_after(asked));
        assert_eq!(
            bench.snapshot().open_remaining,
            Some(Duration::from_secs(open_for))
        );
        assert_eq!(bench.snapshot().reason.label(), "retry_after");
    }
    let mut bench = Bench::new(sensitive());
    bench.run(1, Outcome::success(ms(1)).with_retry_after(Some(ms(7000))));
    assert_eq!(
        bench.state(),
        State::Closed,
        "only where the policy says so"
    );
}

#[test]
fn no_ramp_closes_at_once_and_one_probe_may_be_enough() {
    let policy = policy::Builder::from(sensitive())
        .half_open(HalfOpen {
            probes: 1,
            concurrent: 1,
            ..HalfOpen::default()
        })
        .ramp(RampRules {
            period: Duration::ZERO,
            ..RampRules::default()
        })
        .build()
        .unwrap();
    let mut bench = Bench::new(policy);
    bench.run(20, Outcome::failure(ms(1)));
    bench.pass_to(10.0);
    bench.run(1, Outcome::success(ms(1)));
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn a_refusal_in_a_trial_names_what_tripped() {
    let mut bench = Bench::half_open();
    let _probes: Vec<_> = (0..3).map(|_| bench.acquire().unwrap()).collect();
    let refusal = bench.acquire().unwrap_err();
    assert_eq!(
        refusal.cause().to_string(),
        "open for 10s, after error rate 100% ≥ 8%, 20 requests in 10s (source proxy)"
    );
    assert_eq!(refusal.cause().label(), "open_elapsed");
    let next = bench.acquire().unwrap_err();
    assert!(Arc::ptr_eq(&refusal.ground, &next.ground), "they share it");

    bench.pass(5.0);
    assert_eq!(bench.state(), State::Open, "the probes hung");
    let refusal = bench.acquire().unwrap_err();
    let told = refusal.cause().to_string();
    assert!(told.starts_with("3 probes failed, 0 succeeded"), "{told}");
    assert!(told.contains(", after error rate 100% ≥ 8%"), "{told}");
}
