//! The profile `adaptive`: anomaly detectors in a breaker, and a sequential recovery.

use super::*;

/// `adaptive` without jitter.
fn adaptive() -> Bench {
    let open = Open {
        jitter: Ratio::ZERO,
        ..Policy::adaptive().open()
    };
    let policy = policy::Builder::from(Policy::adaptive()).open(open);
    Bench::new(policy.build().unwrap())
}

/// Sends 100 requests a second for so many seconds, which end at once; returns how many were
/// admitted.
fn traffic(bench: &mut Bench, seconds: f64, outcome: Outcome) -> u32 {
    let requests = (seconds * 100.0) as u32;
    (0..requests)
        .map(|_| {
            bench.pass(0.01);
            bench.run(1, outcome)
        })
        .sum()
}

/// A breaker that has tripped on errors, after 100 s of health at 100 requests a second.
fn open() -> Bench {
    let mut bench = adaptive();
    traffic(&mut bench, 100.0, Outcome::success(ms(5)));
    assert_eq!(bench.events(), []);
    while bench.state() == State::Closed {
        traffic(&mut bench, 0.01, Outcome::failure(ms(5)));
    }
    bench
}

#[test]
fn an_outage_opens_within_tenths_of_seconds_with_its_numbers() {
    let mut bench = open();
    assert!(bench.now < 100.4, "{}", bench.now);
    let told = bench.transitions();
    let [trip] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(
        trip.starts_with("closed → open: 100% of the requests fail ("),
        "{trip}"
    );
    assert!(trip.ends_with("(source proxy)"), "{trip}");
}

#[test]
fn a_hang_opens_though_nothing_completes() {
    let mut bench = adaptive();
    traffic(&mut bench, 60.0, Outcome::success(ms(5)));
    let mut permits = Vec::new();
    while bench.state() == State::Closed && bench.now < 70.0 {
        bench.pass(0.01);
        permits.extend(bench.acquire());
    }
    assert_eq!(bench.state(), State::Open);
    assert!((63.0..65.0).contains(&bench.now), "{}", bench.now);
    let told = bench.transitions();
    assert!(told[0].contains("miss the deadline"), "{told:?}");
}

#[test]
fn a_request_that_hung_is_observed_once() {
    let mut bench = adaptive();
    let permit = bench.acquire().unwrap();
    bench.pass(3.0);
    let observed = |bench: &mut Bench| -> Vec<_> {
        let anomalies = bench.snapshot().sources[0].anomalies.clone();
        anomalies
            .iter()
            .map(|anomaly| anomaly.observations)
            .collect()
    };
    assert_eq!(observed(&mut bench), [0, 1, 1], "while it hangs");
    bench.record(permit, Outcome::success(ms(3000)));
    assert_eq!(observed(&mut bench), [0, 1, 1], "and when it ends");
    let permit = bench.acquire().unwrap();
    bench.record(permit, Outcome::success(ms(3000)));
    assert_eq!(observed(&mut bench), [0, 2, 2], "one that nobody saw hang");
}

#[test]
fn a_recovery_probes_ramps_and_closes_within_seconds_of_health() {
    let mut bench = open();
    let opened = bench.now;
    bench.pass(1.0);
    assert_eq!(bench.state(), State::HalfOpen, "1 s after a first trip");
    bench.run(5, Outcome::success(ms(5)));
    assert!(matches!(bench.breaker.phase, Phase::Probing(_)));
    bench.run(1, Outcome::success(ms(5)));
    assert_eq!(bench.snapshot().admitted_share.to_string(), "10%");
    while bench.state() == State::HalfOpen && bench.now < opened + 20.0 {
        traffic(&mut bench, 0.01, Outcome::success(ms(5)));
    }
    assert_eq!(bench.state(), State::Closed);
    assert!(bench.now < opened + 7.0, "{}", bench.now - opened);
}

#[test]
fn two_bad_probes_reopen_for_longer() {
    let mut bench = open();
    bench.pass(1.0);
    bench.run(2, Outcome::failure(ms(5)));
    assert_eq!(bench.state(), State::Open);
    assert_eq!(
        bench.snapshot().open_remaining,
        Some(Duration::from_secs(2))
    );
}

#[test]
fn a_ramp_that_only_fails_reopens() {
    let mut bench = open();
    bench.pass(1.0);
    bench.run(6, Outcome::success(ms(5)));
    bench.events();
    traffic(&mut bench, 3.0, Outcome::failure(ms(5)));
    assert_eq!(bench.state(), State::Open);
    let told = bench.transitions();
    assert!(
        told[0].contains("of the ramp succeeded, 70% were needed"),
        "{told:?}"
    );
}

#[test]
fn a_route_with_few_requests_has_no_ramp() {
    let mut bench = adaptive();
    while bench.state() == State::Closed && bench.now < 100.0 {
        bench.pass(5.0);
        bench.run(1, Outcome::failure(ms(5)));
    }
    assert!(bench.now <= 50.0, "{}", bench.now);
    bench.pass(1.0);
    bench.run(6, Outcome::success(ms(5)));
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn what_is_usual_is_not_learned_from_an_incident() {
    let mut bench = open();
    let normal = |bench: &mut Bench| bench.snapshot().sources[0].anomalies[0].normal;
    let before = normal(&mut bench);
    for _ in 0..100 {
        bench.pass(1.0);
        bench.run(3, Outcome::failure(ms(5)));
        assert_ne!(bench.state(), State::Closed);
        assert_eq!(normal(&mut bench), before);
    }
}

#[test]
fn a_feed_has_detectors_of_its_own_and_shares_the_budget() {
    let mut bench = adaptive();
    let line = |bench: &mut Bench| bench.snapshot().sources[0].anomalies[0].line;
    let alone = line(&mut bench);
    let feed = bench.breaker.add_feed(Feed::new("ledger"));
    let together = line(&mut bench);
    assert!((together - alone - 2_f64.ln()).abs() < 1e-9);
    for _ in 0..100 {
        bench.pass(0.1);
        bench.run(10, Outcome::success(ms(5)));
        bench.tell(feed, 10, Outcome::failure(ms(5)));
    }
    let told = bench.transitions();
    assert!(told[0].ends_with("(source ledger)"), "{told:?}");
}

#[test]
fn a_fifth_of_failures_alerts_and_rejects_nothing() {
    let mut bench = adaptive();
    traffic(&mut bench, 100.0, Outcome::success(ms(5)));
    let mut admitted = 0;
    for request in 0..15_000_u64 {
        let failed = (request.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).is_multiple_of(5);
        let outcome = if failed {
            Outcome::failure(ms(5))
        } else {
            Outcome::success(ms(5))
        };
        admitted += traffic(&mut bench, 0.01, outcome);
    }
    assert_eq!(admitted, 15_000);
    let events = bench.events();
    assert_eq!(events.len(), 2, "in 150 s: {events:?}");
    assert!(events.iter().all(|event| matches!(event, Event::Alert(_))));
}

#[test]
fn a_third_of_errors_for_long_never_opens() {
    // At one request a second and at a hundred, from the first on, for an hour and a half; each
    // luck for itself.
    for (gap, seeds) in [(1.0, 20), (0.05, 4)] {
        for seed in 1..=seeds {
            let mut luck = Rng::new(seed);
            let mut bench = adaptive();
            for _ in 0..(5400.0 / gap) as u32 {
                bench.pass(gap);
                let fails = luck.unit() < 0.3;
                let outcome = if fails {
                    Outcome::failure(ms(5))
                } else {
                    Outcome::success(ms(5))
                };
                bench.run(1, outcome);
                assert_eq!(
                    bench.state(),
                    State::Closed,
                    "seed {seed}, at {}",
                    bench.now
                );
            }
        }
    }
}

#[test]
fn an_outage_soon_after_a_single_failure_opens_within_eight_requests() {
    for successes in [0, 1, 2, 3, 5, 8, 12, 20, 40] {
        for gap in [1.0, 5.0, 70.0] {
            let mut bench = adaptive();
            let mut send = |outcome| {
                bench.pass(gap);
                bench.run(1, outcome);
                bench.state()
            };
            let good = Outcome::success(ms(5));
            let bad = Outcome::failure(ms(5));
            (0..1000).for_each(|_| assert_eq!(send(good), State::Closed));
            send(bad);
            (0..successes).for_each(|_| assert_eq!(send(good), State::Closed));
            let failures = (1..=100).find(|_| send(bad) == State::Open);
            let case = format!("{failures:?}, {successes} good ones before, each {gap} s");
            assert!(failures.is_some_and(|failures| failures <= 8), "{case}");
        }
    }
}
