//! Time passes in silence too: what is known after a minute, an hour or days without a request. The
//! table is in `docs/detection.md`.

use std::collections::VecDeque;

use super::*;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// `adaptive` without jitter.
fn adaptive() -> Bench {
    let open = Open {
        jitter: Ratio::ZERO,
        ..Policy::adaptive().open()
    };
    let policy = policy::Builder::from(Policy::adaptive()).open(open);
    Bench::new(policy.build().unwrap())
}

/// `requests`, one each `gap` seconds, which end at once; returns how many were admitted.
fn traffic(bench: &mut Bench, requests: u32, gap: f64, outcome: Outcome) -> u32 {
    (0..requests)
        .map(|_| {
            bench.pass(gap);
            bench.run(1, outcome)
        })
        .sum()
}

/// An `adaptive` breaker after `minutes` of health at 100 requests a second.
fn healthy(minutes: f64) -> Bench {
    let mut bench = adaptive();
    traffic(&mut bench, (minutes * 6000.0) as u32, 0.01, GOOD);
    bench.events();
    bench
}

const GOOD: Outcome = Outcome::success(Duration::from_millis(5));
const BAD: Outcome = Outcome::failure(Duration::from_millis(5));

// --- evidence of the detectors

#[test]
fn ten_failures_at_once_say_nothing_however_long_it_was_silent() {
    for silence in [0.0, 6.0 * HOUR, 24.0 * HOUR, 72.0 * HOUR, 720.0 * HOUR] {
        let mut bench = healthy(2.0);
        bench.pass(silence);
        traffic(&mut bench, 10, 0.008, BAD);
        bench.pass(MINUTE);
        assert_eq!(bench.events(), [], "after {silence} s");
    }
}

#[test]
fn blips_on_both_sides_of_a_silence_do_not_add_up() {
    for silence in [HOUR, DAY, 3.0 * DAY] {
        let mut bench = healthy(2.0);
        for _ in 0..4 {
            traffic(&mut bench, 10, 0.015, BAD);
            bench.pass(silence);
        }
        assert_eq!(bench.events(), [], "silence of {silence} s");
    }
}

#[test]
fn failures_before_a_silence_of_days_are_forgotten() {
    let mut bench = healthy(2.0);
    traffic(&mut bench, 4, 0.5, BAD);
    assert_eq!(bench.events(), []);
    bench.pass(3.0 * DAY);
    traffic(&mut bench, 1, 0.0, BAD);
    assert_eq!((bench.state(), bench.events().len()), (State::Closed, 0));
}

#[test]
fn a_burst_in_one_slice_and_single_failures_days_later_say_nothing() {
    let mut bench = adaptive();
    bench.run(30, BAD);
    traffic(&mut bench, 3, 16.0 * HOUR, BAD);
    assert_eq!((bench.state(), bench.events()), (State::Closed, vec![]));
}

#[test]
fn a_route_with_a_request_each_few_minutes_opens_in_an_outage() {
    for gap in [1.0, 5.0, 61.0, 70.0, 300.0, 900.0] {
        let mut bench = adaptive();
        traffic(&mut bench, 400, gap, GOOD);
        assert_eq!(bench.events(), []);
        let failures = (1..=20).find(|_| {
            traffic(&mut bench, 1, gap, BAD);
            bench.state() == State::Open
        });
        assert!(
            failures.is_some_and(|failures| failures <= 8),
            "one each {gap} s: {failures:?}"
        );
    }
}

#[test]
fn after_an_outage_in_forced_closed_a_good_request_does_not_open() {
    for silence in [1.0, MINUTE, HOUR, DAY] {
        let mut bench = healthy(2.0);
        bench.breaker.force(Mode::ForcedClosed, at(bench.now));
        traffic(&mut bench, 3000, 0.01, BAD);
        bench.breaker.force(Mode::Auto, at(bench.now));
        bench.pass(silence);
        bench.run(1, GOOD);
        assert_eq!(bench.state(), State::Closed, "after {silence} s");
    }
}

#[test]
fn a_night_of_silence_leaves_what_is_usual_and_an_outage_opens_as_before_it() {
    let mut bench = healthy(10.0);
    let normal = |bench: &mut Bench| bench.snapshot().sources[0].anomalies[0].normal;
    assert_eq!(normal(&mut bench), Ratio::of(1, 100));
    bench.pass(10.0 * HOUR);
    traffic(&mut bench, 100, 0.01, GOOD);
    assert_eq!(bench.events(), []);
    let failures = (1..=100).find(|_| {
        traffic(&mut bench, 1, 0.01, BAD);
        bench.state() == State::Open
    });
    assert!(
        failures.is_some_and(|failures| failures <= 40),
        "{failures:?}"
    );
}

// --- alerts

/// What an alert told: `begins` and `again` with the time since its begin, `ends` with how long it
/// lasted and how often it was told.
fn alerts(bench: &mut Bench) -> Vec<String> {
    let told = bench.events().into_iter().filter_map(|event| match event {
        Event::Alert(alert) if alert.at == alert.since => Some("begins".to_owned()),
        Event::Alert(alert) => {
            let since = alert.at.saturating_since(alert.since).as_secs();
            Some(format!("again {since}"))
        }
        Event::AlertEnded { lasted, alerts, .. } => {
            Some(format!("ends {} {alerts}", lasted.as_secs()))
        }
        _ => None,
    });
    told.collect()
}

/// A breaker with one alert, at 10 % errors of at least 20 requests in 10 s.
fn alerting_on_errors() -> Bench {
    Bench::new(tripping_on([TripEntry::alert([Condition::ErrorRate(
        Ratio::of(10, 100),
    )])]))
}

#[test]
fn an_alert_is_told_at_its_begin_ever_more_rarely_and_at_its_end() {
    let mut bench = alerting_on_errors();
    traffic(&mut bench, 9 * 7200, 0.5, BAD);
    let told = alerts(&mut bench);
    let again: Vec<_> = [1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423, 483]
        .map(|minutes| format!("again {}", minutes * 60))
        .to_vec();
    assert_eq!((&told[0][..], &told[1..]), ("begins", &again[..]));
    let standing = bench.snapshot().sources[0].standing_alerts.clone();
    assert_eq!((standing[0].signal, standing[0].alerts), ("error_rate", 14));
    assert_eq!(standing[0].lasted.as_secs(), 32_389);
    traffic(&mut bench, 100, 1.0, GOOD);
    assert_eq!(alerts(&mut bench), ["ends 32389 14"]);
    assert_eq!(bench.snapshot().sources[0].standing_alerts, []);
}

#[test]
fn an_alert_that_holds_by_turns_is_one_alert() {
    let mut bench = alerting_on_errors();
    for _ in 0..100 {
        traffic(&mut bench, 60, 0.5, BAD);
        traffic(&mut bench, 60, 0.5, GOOD);
    }
    let told = alerts(&mut bench);
    let begun = told.iter().filter(|told| *told == "begins").count();
    assert_eq!((begun, told.len()), (1, 7), "100 minutes: {told:?}");
}

#[test]
fn an_alert_that_comes_again_and_again_is_told_ever_more_rarely() {
    let mut bench = alerting_on_errors();
    for _ in 0..60 {
        traffic(&mut bench, 60, 0.5, BAD);
        traffic(&mut bench, 180, 0.5, GOOD);
    }
    let mut told = alerts(&mut bench);
    told.retain(|told| !told.starts_with("ends"));
    assert!((5..=10).contains(&told.len()), "4 h: {told:?}");
    bench.pass(2.0 * HOUR);
    traffic(&mut bench, 60, 0.5, BAD);
    assert_eq!(
        alerts(&mut bench),
        ["begins"],
        "after two hours it is another"
    );
}

#[test]
fn an_alert_that_comes_again_twice_as_bad_is_told_at_once() {
    let mut bench = alerting_on_errors();
    for _ in 0..20 {
        for index in 0..180 {
            traffic(&mut bench, 1, 0.5, if index % 8 == 0 { BAD } else { GOOD });
        }
        traffic(&mut bench, 180, 0.5, GOOD);
    }
    assert!(!alerts(&mut bench).is_empty());
    traffic(&mut bench, 20, 0.5, BAD);
    let told = alerts(&mut bench);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_alert_ends_in_silence() {
    for (mut bench, within) in [(alerting_on_errors(), 71.0), (adaptive(), 301.0)] {
        for index in 0..4000 {
            traffic(&mut bench, 1, 0.01, if index % 5 == 0 { BAD } else { GOOD });
        }
        assert_eq!(alerts(&mut bench), ["begins"]);
        bench.pass(MINUTE - 1.0);
        assert_eq!(alerts(&mut bench), [""; 0], "it stands");
        assert!(bench.snapshot().sources[0].alerting);
        bench.pass(within - MINUTE);
        let told = alerts(&mut bench);
        assert!(told.len() == 1 && told[0].starts_with("ends"), "{told:?}");
        assert!(!bench.snapshot().sources[0].alerting);
        bench.pass(3.0 * DAY);
        assert_eq!(bench.events(), [], "and nothing follows");
    }
}

#[test]
fn an_alert_ends_with_its_entry() {
    let mut bench = alerting_on_errors();
    traffic(&mut bench, 30, 0.1, BAD);
    bench.breaker.set_policy(Policy::combined(), at(bench.now));
    assert_eq!(alerts(&mut bench), ["begins", "ends 1 1"]);
    let feed = Feed::new("ledger").with_policy(alerting_on_errors().breaker.policy().clone());
    let id = bench.breaker.add_feed(feed);
    bench.tell(id, 30, BAD);
    bench.breaker.set_feeds([], at(bench.now));
    assert_eq!(alerts(&mut bench), ["begins", "ends 0 1"]);
}

#[test]
fn an_alert_ends_while_the_breaker_is_open() {
    let mut bench = healthy(2.0);
    for index in 0..3000 {
        traffic(&mut bench, 1, 0.01, if index % 5 == 0 { BAD } else { GOOD });
    }
    assert_eq!(alerts(&mut bench), ["begins"]);
    traffic(&mut bench, 12_000, 0.01, BAD);
    let told = alerts(&mut bench);
    assert!(told.len() == 1 && told[0].starts_with("ends"), "{told:?}");
}

// --- trials and ramps

/// Sends 100 requests a second for so many seconds, of which a share fails; returns how many were
/// admitted.
fn failing(bench: &mut Bench, seconds: f64, share: f64, seed: u64) -> u32 {
    let mut rng = Rng::new(seed);
    (0..(seconds * 100.0) as u32)
        .map(|_| traffic(bench, 1, 0.01, if rng.unit() < share { BAD } else { GOOD }))
        .sum()
}

#[test]
fn closed_and_open_are_not_both_stable() {
    for seed in 1..=5 {
        let mut bench = healthy(2.0);
        failing(&mut bench, 60.0, 1.0, seed);
        assert_ne!(bench.state(), State::Closed);
        failing(&mut bench, 30.0, 0.2, seed);
        assert_eq!(bench.state(), State::Closed, "seed {seed}");
        let told = bench.events();
        let mut closes = told.iter();
        assert!(closes.any(|event| matches!(event, Event::ClosedWithErrors { .. })));
    }
}

#[test]
fn usual_errors_do_not_keep_a_breaker_open() {
    for share in [0.05, 0.1, 0.2, 0.3] {
        let mut bench = adaptive();
        let admitted = failing(&mut bench, 600.0, share, 3);
        assert!(admitted >= 59_400, "usual {share}: {admitted}");
        failing(&mut bench, 300.0, 1.0, 4);
        assert_ne!(bench.state(), State::Closed, "usual {share}");
        failing(&mut bench, 60.0, share, 5);
        assert_eq!(bench.state(), State::Closed, "usual {share}");
        let admitted = failing(&mut bench, 600.0, share, 6);
        assert!(admitted >= 59_400, "usual {share}: {admitted} after it");
    }
}

#[test]
fn a_burst_after_health_in_silence_is_admitted() {
    for silence in [6.0, HOUR, 3.0 * DAY] {
        let mut bench = healthy(2.0);
        failing(&mut bench, 1.0, 1.0, 1);
        bench.pass(20.0);
        let served: Vec<_> = (0..3)
            .map(|_| {
                let permits: Vec<_> = (0..100).filter_map(|_| bench.acquire().ok()).collect();
                bench.pass(0.02);
                let served = permits.len();
                for permit in permits {
                    bench.record(permit, GOOD);
                }
                bench.pass(silence);
                served
            })
            .collect();
        assert_eq!((served[0], served[2]), (3, 100), "{served:?}");
    }
}

#[test]
fn a_ramp_that_nobody_reports_of_ends_when_its_feed_is_quiet() {
    let mut bench = adaptive();
    bench.breaker = bench.breaker.telemetry_only();
    let feed = bench.breaker.add_feed(Feed::new("feed"));
    while bench.state() == State::Closed && bench.now < 100.0 {
        bench.pass(0.1);
        bench.ask(1);
        bench.tell(feed, 10, BAD);
    }
    for _ in 0..100 {
        bench.pass(0.1);
        if bench.ask(1) == 1 && bench.state() == State::HalfOpen {
            bench.tell(feed, 1, GOOD);
        }
        if matches!(bench.breaker.phase, Phase::AdaptiveRamp(_)) {
            break;
        }
    }
    assert_eq!(bench.state(), State::HalfOpen);
    for _ in 0..1200 {
        bench.pass(0.1);
        bench.ask(1);
    }
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn an_outage_that_lasts_keeps_its_first_reason() {
    let mut bench = healthy(2.0);
    failing(&mut bench, 60.0, 1.0, 1);
    let snapshot = bench.snapshot();
    let (reason, ago) = snapshot.tripped.unwrap();
    assert_eq!(reason.label(), "anomaly");
    assert!(ago > Duration::from_secs(58) && snapshot.failed_recoveries >= 3);
    let rejected = bench.acquire().unwrap_err();
    assert!(rejected.ground.tripped.is_some());
}

// --- shedding, and what is slow by nature

#[test]
fn an_idle_route_does_not_begin_to_shed() {
    let mut bench = healthy(2.0);
    for index in 0..1500 {
        let outcome = if index % 2 == 0 {
            GOOD
        } else {
            Outcome::success(ms(600))
        };
        traffic(&mut bench, 1, 0.01, outcome);
    }
    bench.pass(MINUTE);
    bench.events();
    bench.pass(HOUR);
    let began = |event: &Event| matches!(event, Event::SheddingStarted { .. });
    assert!(!bench.events().iter().any(began));
    let permits: Vec<_> = (0..20).filter_map(|_| bench.acquire().ok()).collect();
    assert_eq!(permits.len(), 20);
}

#[test]
fn a_service_that_is_slow_by_nature_is_told_of_and_served() {
    let mut bench = adaptive();
    let mut permits = VecDeque::new();
    let mut served = 0;
    for step in 0..600_u32 {
        bench.pass(0.1);
        if let Ok(permit) = bench.acquire() {
            served += 1;
            permits.push_back((step, permit));
        }
        while permits.front().is_some_and(|(sent, _)| sent + 15 <= step) {
            let (_, permit) = permits.pop_front().unwrap();
            bench.record(permit, Outcome::success(ms(1500)));
        }
    }
    assert!(served >= 590, "{served} of 600");
    let told = bench.events();
    assert!(
        told.iter().any(|event| matches!(event, Event::Alert(_))),
        "{told:?}"
    );
}
