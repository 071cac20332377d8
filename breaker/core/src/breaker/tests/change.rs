//! Policies, feeds and modes that are replaced: what was derived from the old ones is derived from
//! the new ones.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::policy::Action;

/// `sensitive`, opening when half of the requests take as long as `threshold`.
fn slow_at(threshold: Duration) -> Policy {
    let share = Ratio::of(1, 2);
    tripping_on([TripEntry::open([Condition::SlowRate { share, threshold }])])
}

/// Opens on latency at 0 s, and is half-open at 10 s.
fn half_open_by_latency(bench: &mut Bench) {
    bench.run(20, Outcome::success(ms(100)));
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(10.0);
    assert_eq!(bench.state(), State::HalfOpen);
}

#[test]
fn a_policy_replaced_while_open_judges_the_trial_by_its_own_latency_bound() {
    let mut bench = Bench::new(slow_at(ms(50)));
    half_open_by_latency(&mut bench);
    bench.breaker.set_policy(slow_at(ms(500)), at(10.0));
    bench.run(5, Outcome::success(ms(100)));
    bench.pass_to(30.0);
    assert_eq!(bench.state(), State::Closed, "100 ms is less than 500 ms");

    let mut bench = Bench::new(slow_at(ms(50)));
    half_open_by_latency(&mut bench);
    bench.breaker.set_policy(sensitive(), at(10.0));
    let errors_only = tripping_on([TripEntry::open([Condition::ErrorRate(Ratio::of(1, 2))])]);
    bench.breaker.set_policy(errors_only, at(10.0));
    bench.run(5, Outcome::success(ms(5000)));
    bench.pass_to(30.0);
    assert_eq!(bench.state(), State::Closed, "no latency opens it any more");
}

#[test]
fn a_trial_after_a_forced_mode_is_not_judged_by_what_tripped_before() {
    let mut bench = Bench::new(slow_at(ms(50)));
    half_open_by_latency(&mut bench);
    bench.breaker.force(Mode::ForcedOpen, at(10.0));
    bench.breaker.force(Mode::Auto, at(10.0));
    bench.run(5, Outcome::success(ms(100)));
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn the_latency_bound_of_a_feed_that_tripped_is_none_of_the_proxys() {
    let mut bench = Bench::new(sensitive());
    let feed = Feed::new("db").with_policy(slow_at(ms(50)));
    let feed = bench.breaker.add_feed(feed);
    bench.tell(feed, 20, Outcome::success(ms(100)));
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(10.0);
    bench.tell(feed, 5, Outcome::success(ms(1)));
    bench.run(5, Outcome::success(ms(100)));
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn a_forced_closed_breaker_is_left_by_nobody_but_an_operator() {
    let policy = policy::Builder::from(sensitive())
        .honour_retry_after(true)
        .build()
        .unwrap();
    let mut bench = Bench::new(policy);
    bench.breaker.force(Mode::ForcedClosed, at(0.0));
    let asks = Outcome::failure(ms(1)).with_retry_after(Some(ms(60_000)));
    assert_eq!(bench.run(100, asks), 100);
    assert_eq!(bench.state(), State::Closed);
    bench.breaker.force(Mode::Auto, at(0.0));
    assert_eq!(bench.run(100, asks), 1, "now it is honoured");
}

#[test]
fn an_upstream_that_asks_to_be_left_alone_for_no_time_asks_for_nothing() {
    let policy = policy::Builder::from(sensitive())
        .honour_retry_after(true)
        .build()
        .unwrap();
    let mut bench = Bench::new(policy);
    let asks = Outcome::success(ms(1)).with_retry_after(Some(Duration::ZERO));
    assert_eq!(bench.run(100, asks), 100);
    assert_eq!(bench.transitions(), [""; 0]);
}

#[test]
fn a_reset_begins_a_new_closed_state() {
    let mut bench = Bench::new(sensitive());
    bench.pass_to(100.0);
    bench.breaker.reset(at(100.0));
    bench.pass_to(103.0);
    assert_eq!(bench.snapshot().lasted, ms(3000));
}

#[test]
fn requests_in_flight_age_by_the_bounds_of_a_new_policy() {
    let errors_only = tripping_on([TripEntry::open([Condition::ErrorRate(Ratio::of(1, 2))])]);
    let mut bench = Bench::new(errors_only);
    let hung: Vec<_> = (0..20).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(0.5);
    bench.breaker.set_policy(slow_at(ms(1000)), at(0.5));
    bench.pass_to(1.0);
    assert_eq!(bench.state(), State::Open);
    drop(hung);
}

#[test]
fn a_feed_that_shed_and_is_gone_leaves_no_need_to_shed() {
    let slow = Condition::SlowRate {
        share: Ratio::of(1, 2),
        threshold: ms(50),
    };
    let sheds = tripping_on([TripEntry::shed([slow])]);
    let mut bench = Bench::new(sensitive());
    let feed = Feed::new("db").with_policy(sheds);
    bench.breaker.set_feeds([feed], at(0.0));
    assert!(bench.breaker.needs.sheds);
    bench.breaker.set_feeds([], at(0.0));
    assert!(!bench.breaker.needs.sheds);
}

#[test]
fn a_policy_that_begins_to_follow_the_traffic_knows_the_rate_from_the_window() {
    let mut bench = Bench::new(sensitive());
    for _ in 0..100 {
        bench.run(10, Outcome::success(ms(1)));
        bench.pass(0.1);
    }
    let adaptive = Policy::builtin("adaptive").unwrap();
    bench.breaker.set_policy(adaptive, at(bench.now));
    let rate = bench.breaker.arrivals.get(at(bench.now));
    assert!((80.0..=120.0).contains(&rate), "{rate} of 100/s");
}

#[test]
fn a_wake_up_at_which_nothing_is_due_does_not_put_off_a_condition_on_a_quantile() {
    let policy = Policy::builtin("combined").unwrap();
    let mut always = Bench::new(policy.clone());
    let mut replaced = Bench::new(policy.clone());
    for bench in [&mut always, &mut replaced] {
        bench.run(9, Outcome::success(ms(1)));
    }
    // It no longer waits for these requests to reach the age of a bound, which the other does.
    replaced.breaker.set_policy(policy, at(replaced.now));
    for bench in [&mut always, &mut replaced] {
        bench.pass(0.065);
        bench.run(3, Outcome::success(ms(1)));
        bench.pass(0.935);
        bench.run(5, Outcome::success(ms(1000)));
        bench.pass(1.008);
        bench.run(3, Outcome::failure(ms(1)));
        bench.pass(0.092);
    }
    assert_eq!(always.state(), replaced.state());
    for bench in [&mut always, &mut replaced] {
        bench.pass(0.008);
        assert_eq!(
            bench.state(),
            State::Open,
            "20 requests: 3 failed, 5 were slow"
        );
    }
}

/// Something that happens, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
struct Act {
    after: u64,
    requests: u32,
    failed: bool,
    latency: u64,
}

fn act() -> impl Strategy<Value = Act> {
    (
        0_u64..3000,
        1_u32..8,
        prop::bool::weighted(0.2),
        1_u64..1500,
    )
        .prop_map(|(after, requests, failed, latency)| Act {
            after,
            requests,
            failed,
            latency,
        })
}

fn play(bench: &mut Bench, act: Act) -> Vec<String> {
    bench.pass(act.after as f64 / 1e3);
    let outcome = match act.failed {
        true => Outcome::failure(ms(act.latency)),
        false => Outcome::success(ms(act.latency)),
    };
    bench.run(act.requests, outcome);
    bench.transitions()
}

proptest! {
    /// Given the same windows, and no decision before, a breaker whose policy was replaced decides
    /// like one that always had it.
    #[test]
    fn a_breaker_whose_policy_was_replaced_decides_like_one_that_always_had_it(
        which in prop::sample::select(vec!["conservative", "sensitive", "combined", "adaptive"]),
        before in vec(act(), 0..40),
        after in vec(act(), 1..40),
    ) {
        let policy = Policy::builtin(which).unwrap();
        // It observes the same, and does nothing.
        let entries = policy.trip().iter().map(|entry| TripEntry {
            action: Action::Alert,
            ..entry.clone()
        });
        let watching = policy::Builder::from(policy.clone())
            .trip(entries.collect::<Vec<_>>())
            .build()
            .unwrap();
        let mut always = Bench::new(policy.clone());
        let mut replaced = Bench::new(watching);
        for act in before {
            let happened = play(&mut always, act);
            prop_assert_eq!(play(&mut replaced, act), [""; 0]);
            if !happened.is_empty() || always.breaker.shedding.is_some() {
                return Ok(());
            }
        }
        replaced.breaker.set_policy(policy, at(replaced.now));
        for act in after {
            prop_assert_eq!(play(&mut always, act), play(&mut replaced, act));
        }
    }
}
