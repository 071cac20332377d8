use super::*;

#[test]
fn sensitive_trips_at_8_per_cent_of_at_least_20_requests_in_10_s() {
    let mut bench = Bench::new(sensitive());
    bench.run(23, Outcome::success(ms(5)));
    bench.run(1, Outcome::failure(ms(5)));
    assert_eq!(bench.state(), State::Closed);
    bench.run(1, Outcome::failure(ms(5)));
    assert_eq!(
        bench.transitions(),
        ["closed → open: error rate 8% ≥ 8%, 25 requests in 10s (source proxy)"]
    );
}

#[test]
fn conservative_trips_at_3_per_cent_of_at_least_100_requests_in_60_s() {
    let mut bench = Bench::new(Policy::conservative());
    bench.run(96, Outcome::success(ms(5)));
    bench.run(3, Outcome::failure(ms(5)));
    assert_eq!(bench.state(), State::Closed, "99 requests are too few");
    bench.pass(59.0);
    bench.run(1, Outcome::success(ms(5)));
    assert_eq!(bench.state(), State::Open, "3 of 100 in 59 s");
}

#[test]
fn fewer_than_min_requests_never_trip() {
    let mut bench = Bench::new(sensitive());
    bench.run(19, Outcome::failure(ms(5)));
    assert_eq!(bench.state(), State::Closed);
    bench.run(1, Outcome::failure(ms(5)));
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn one_failing_request_a_minute_never_trips() {
    let mut bench = Bench::new(sensitive());
    for _ in 0..10_000 {
        bench.pass(60.0);
        assert_eq!(bench.run(1, Outcome::failure(ms(5))), 1);
    }
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn client_cancels_neither_trip_nor_count() {
    let mut bench = Bench::new(sensitive());
    bench.run(10_000, Outcome::ignored(ms(5)));
    assert_eq!(bench.state(), State::Closed);
    let snapshot = bench.snapshot();
    assert_eq!(
        (snapshot.totals.ignored, snapshot.sources[0].requests()),
        (10_000, 0)
    );
    assert_eq!(snapshot.in_flight, 0);
}

#[test]
fn a_hung_upstream_trips_about_one_threshold_after_it_hangs_though_nothing_completed() {
    let mut bench = Bench::new(sensitive());
    bench.pass_to(5.0);
    let permits: Vec<_> = (0..20).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(5.99);
    assert_eq!(bench.state(), State::Closed);
    bench.pass_to(6.05);
    assert_eq!(
        bench.transitions(),
        [
            "closed → open: 100% ≥ 50% of the requests took 1s or longer, 20 requests in 10s (source proxy)"
        ]
    );
    drop(permits);
}

#[test]
fn a_hang_under_steady_traffic_trips_within_the_threshold_and_a_tenth() {
    // 100 requests/s, healthy at 10 ms until 20 s; then nothing completes any more.
    let policy = tripping_on([TripEntry::open([Condition::SlowRate {
        share: Ratio::of(5, 100),
        threshold: Duration::from_secs(1),
    }])]);
    let mut bench = Bench::new(policy);
    let mut hung = Vec::new();
    for request in 0..2500 {
        bench.pass_to(f64::from(request) / 100.0);
        let Ok(permit) = bench.acquire() else { break };
        if bench.now < 20.0 {
            bench.record(permit, Outcome::success(ms(10)));
        } else {
            hung.push(permit);
        }
    }
    assert_eq!(bench.state(), State::Open);
    // 5 % of a window of 1000 are 50 requests: half a second of them must have come of age.
    assert!(
        (21.4..21.7).contains(&bench.now),
        "opened at {} s",
        bench.now
    );
}

#[test]
fn a_quantile_condition_sees_hung_requests_with_their_age() {
    let mut bench = Bench::new(tripping_on([TripEntry::open([Condition::Latency {
        quantile: Quantile::P99,
        bound: Duration::from_secs(1),
    }])]));
    bench.run(500, Outcome::success(ms(10)));
    let permits: Vec<_> = (0..10).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(0.99);
    assert_eq!(bench.state(), State::Closed);
    bench.pass_to(1.2);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.snapshot().reason.label(), "p99");
    drop(permits);
}

#[test]
fn a_quantile_condition_is_tried_at_most_every_100_ms_and_never_forgotten() {
    let mut bench = Bench::new(tripping_on([TripEntry::open([Condition::Latency {
        quantile: Quantile::P50,
        bound: Duration::from_secs(1),
    }])]));
    bench.pass_to(1.0);
    bench.run(1, Outcome::success(ms(10)));
    bench.run(100, Outcome::success(ms(3000)));
    assert_eq!(
        bench.state(),
        State::Closed,
        "the turn of this 100 ms is taken"
    );
    assert_eq!(bench.breaker.poll_timeout(), Some(at(1.1)));
    bench.pass_to(1.1);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn a_timeout_rate_counts_timeouts_and_no_other_failures_and_waits_for_enough_requests() {
    let timeouts = || tripping_on([TripEntry::open([Condition::TimeoutRate(Ratio::of(1, 5))])]);
    let timed_out = Outcome::failure(ms(1000)).timed_out(true);
    let mut bench = Bench::new(timeouts());
    bench.run(100, Outcome::failure(ms(10)));
    assert_eq!(bench.state(), State::Closed);
    bench.run(24, timed_out);
    assert_eq!(bench.state(), State::Closed, "24 of 124 are 19.4 %");
    bench.run(1, timed_out);
    assert_eq!(
        bench.transitions(),
        ["closed → open: 20% ≥ 20% of the requests timed out, 125 requests in 10s (source proxy)"]
    );
    let mut few = Bench::new(timeouts());
    few.run(19, timed_out);
    assert_eq!(few.state(), State::Closed);
    let at_once = few.snapshot().sources.remove(0).conditions.remove(0);
    assert_eq!(
        (at_once.observed, at_once.samples, at_once.min_requests),
        (Some(1.0), 19, 20)
    );
    few.run(1, timed_out);
    assert_eq!(few.snapshot().reason.label(), "timeout_rate");
}

#[test]
fn a_timeout_that_another_caused_is_none_and_a_feed_has_none() {
    let policy = tripping_on([TripEntry::open([Condition::TimeoutRate(Ratio::of(1, 5))])]);
    let mut bench = Bench::new(policy);
    let feed = bench.breaker.add_feed(Feed::new("db"));
    let of_caller = Outcome::failure(ms(10))
        .timed_out(true)
        .caused_by(Attribution::Caller);
    bench.run(100, of_caller);
    let fails = Sample::new(Classification::Failure, None, at(bench.now)).times(100);
    bench.breaker.observe(feed, &fails, at(bench.now));
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.snapshot().sources[1].conditions[0].observed, None);
}

#[test]
fn concurrency_trips_on_the_request_that_would_be_one_too_many() {
    let mut bench = Bench::new(tripping_on([TripEntry::open([Condition::Concurrency(10)])]));
    let permits: Vec<_> = (0..9).map(|_| bench.acquire().unwrap()).collect();
    assert!(bench.acquire().is_err());
    assert_eq!(
        bench.transitions(),
        ["closed → open: 10 ≥ 10 requests in flight (source proxy)"]
    );
    drop(permits);
}

#[test]
fn consecutive_failures_are_counted_without_a_success_between() {
    let mut bench = Bench::new(tripping_on([TripEntry::open([
        Condition::ConsecutiveFailures(5),
    ])]));
    bench.run(4, Outcome::failure(ms(5)));
    bench.run(1, Outcome::ignored(ms(5)));
    bench.run(1, Outcome::success(ms(5)));
    bench.run(4, Outcome::failure(ms(5)));
    bench.run(1, Outcome::ignored(ms(5)));
    assert_eq!(bench.state(), State::Closed);
    bench.run(1, Outcome::failure(ms(5)));
    assert_eq!(
        bench.transitions(),
        ["closed → open: 5 ≥ 5 failures in a row (source proxy)"]
    );
}

#[test]
fn all_conditions_of_an_entry_must_hold() {
    let mut bench = Bench::new(Policy::combined());
    bench.run(40, Outcome::failure(ms(10)));
    bench.pass(0.2);
    assert_eq!(bench.state(), State::Closed, "errors, but fast");
    bench.run(5, Outcome::success(ms(1500)));
    bench.pass(0.2);
    assert_eq!(bench.state(), State::Open, "errors, and a slow P99");
}

#[test]
fn after_an_idle_gap_a_slow_request_does_not_trip_on_what_was_before() {
    let mut bench = Bench::new(tripping_on([
        TripEntry::open([Condition::Latency {
            quantile: Quantile::P99,
            bound: Duration::from_secs(1),
        }]),
        TripEntry::open([Condition::ErrorRate(Ratio::of(8, 100))]),
    ]));
    bench.run(1000, Outcome::success(ms(900)));
    bench.run(70, Outcome::failure(ms(900)));
    assert_eq!(bench.state(), State::Closed);
    bench.pass(3600.0);
    bench.run(1, Outcome::failure(ms(30_000)));
    bench.pass(1.0);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn an_alert_rejects_nothing_and_is_repeated() {
    let mut bench = Bench::new(tripping_on([TripEntry::alert([Condition::ErrorRate(
        Ratio::of(8, 100),
    )])]));
    for _ in 0..185 {
        assert_eq!(bench.run(40, Outcome::failure(ms(5))), 40);
        bench.pass(1.0);
    }
    let alerts: Vec<_> = bench
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Alert(alert) => Some(alert.at.as_secs_f64()),
            _ => None,
        })
        .collect();
    assert_eq!(alerts, [0.0, 60.0, 180.0]);
    assert_eq!(bench.snapshot().totals.alerts, 3);
}

#[test]
fn a_caller_that_gave_up_on_a_slow_upstream_leaves_the_evidence() {
    // Each caller gives up after 1.5 s, one after the other: never 20 in flight, yet all of them
    // saw a slow upstream.
    let mut bench = Bench::new(sensitive());
    for _ in 0..4 {
        let permits: Vec<_> = (0..5).map(|_| bench.acquire().unwrap()).collect();
        bench.pass(1.5);
        for permit in permits {
            bench.record(permit, Outcome::ignored(ms(1500)));
        }
    }
    bench.pass(0.01);
    let Ok(permit) = bench.acquire() else {
        assert_eq!(bench.snapshot().reason.label(), "slow_rate");
        return;
    };
    bench.record(permit, Outcome::success(ms(1)));
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn a_slow_upload_is_no_observation() {
    let mut bench = Bench::new(sensitive());
    let mut permits: Vec<_> = (0..40).map(|_| bench.acquire().unwrap()).collect();
    for permit in &mut permits {
        bench.breaker.uploading(permit);
    }
    bench.pass_to(30.0);
    assert_eq!(bench.state(), State::Closed);
    for permit in &mut permits {
        bench.breaker.uploaded(permit, at(30.0));
    }
    bench.pass_to(30.99);
    assert_eq!(bench.state(), State::Closed);
    bench.pass_to(31.1);
    assert_eq!(
        bench.state(),
        State::Open,
        "the upstream's second has passed"
    );
}

#[test]
fn an_answer_to_an_unfinished_upload_says_nothing_of_the_upstreams_time() {
    for has_head in [true, false] {
        for name in ["sensitive", "adaptive"] {
            let mut bench = Bench::new(Policy::builtin(name).unwrap());
            let mut permits: Vec<_> = (0..40).map(|_| bench.acquire().unwrap()).collect();
            for permit in &mut permits {
                bench.breaker.uploading(permit);
            }
            bench.pass_to(30.0);
            for permit in &mut permits {
                if has_head {
                    bench.breaker.responded(permit, ms(30_000), at(30.0));
                }
            }
            bench.pass_to(31.0);
            for permit in permits {
                bench.record(permit, Outcome::success(ms(31_000)));
            }
            let case = format!("{name}, {has_head}");
            assert_eq!(bench.state(), State::Closed, "{case}");
            let snapshot = bench.snapshot();
            assert!(snapshot.sources[0].latency.is_none(), "{case}");
            assert_eq!(snapshot.totals.success, 40, "{case}");
        }
    }
}

#[test]
fn a_long_body_is_not_slow_where_latency_ends_at_the_head() {
    let mut bench = Bench::new(sensitive());
    let mut permits: Vec<_> = (0..40).map(|_| bench.acquire().unwrap()).collect();
    bench.pass(0.1);
    for permit in &mut permits {
        bench.breaker.responded(permit, ms(100), at(0.1));
    }
    bench.pass_to(60.0);
    assert_eq!(bench.state(), State::Closed);
    for permit in permits {
        bench.record(permit, Outcome::success(ms(100)));
    }
    assert!(
        bench.snapshot().sources[0].latency.is_none(),
        "that latency is a minute old"
    );
    assert_eq!(bench.snapshot().sources[0].success, 40);
}

#[test]
fn what_a_source_told_is_counted_though_its_window_is_forgotten() {
    let mut bench = Bench::new(sensitive());
    let before = bench.snapshot().sources[0].totals.clone();
    bench.run(20, Outcome::failure(ms(250)));
    bench.pass(60.0);
    let source = &bench.snapshot().sources[0];
    assert_eq!(source.requests(), 0);
    let totals = source.totals.clone();
    assert_eq!((totals.success, totals.failure), (0, 20));
    let grown: Vec<_> = totals.latency.since(&before.latency).collect();
    assert_eq!(grown, [(Duration::from_micros(262_144), 20)]);
}
