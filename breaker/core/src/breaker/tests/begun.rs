//! An answer that has well begun is a request of the window from then on, and a failure from its
//! failure on.

use std::collections::VecDeque;

use super::*;

fn window(bench: &mut Bench) -> (u64, u64, u64) {
    let source = bench.snapshot().sources.swap_remove(0);
    (source.success, source.failure, source.ignored)
}

#[test]
fn streams_that_flow_are_in_the_denominator() {
    let mut bench = Bench::new(sensitive());
    let streams: Vec<_> = (0..400).map(|_| bench.begin()).collect();
    assert_eq!(bench.run(20, Outcome::failure(ms(1))), 20);
    assert_eq!(bench.state(), State::Closed, "4.8 % of 420");
    assert_eq!(window(&mut bench), (400, 20, 0));
    bench.run(15, Outcome::failure(ms(1)));
    assert_eq!(bench.state(), State::Open, "8 % of 435");
    drop(streams);
}

#[test]
fn streams_that_flow_keep_adaptive_closed() {
    let mut bench = Bench::new(Policy::adaptive());
    let mut streams = Vec::new();
    for request in 0..4000 {
        bench.pass(0.01);
        match request % 20 {
            0 if request > 2000 => _ = bench.run(1, Outcome::failure(ms(1))),
            _ => streams.push(bench.begin()),
        }
    }
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.snapshot().totals.rejected, 0);
}

#[test]
fn a_begun_answer_that_fails_is_a_failure_and_no_success() {
    let mut bench = Bench::new(sensitive());
    let good = bench.begin();
    let bad = bench.begin();
    bench.pass(3.0);
    bench.record(bad, Outcome::failure(ms(1)));
    assert_eq!(window(&mut bench), (1, 1, 0));
    bench.record(good, Outcome::success(ms(1)));
    assert_eq!(window(&mut bench), (1, 1, 0), "it adds nothing");
    let totals = bench.snapshot().totals;
    assert_eq!((totals.success, totals.failure), (1, 1));
    bench.pass(8.0);
    assert_eq!(window(&mut bench), (0, 1, 0), "each where it happened");
}

#[test]
fn a_begun_answer_that_its_caller_leaves_stays_a_success() {
    let mut bench = Bench::new(sensitive());
    let stream = bench.begin();
    bench.pass(3.0);
    bench.record(stream, Outcome::ignored(ms(3000)));
    assert_eq!(window(&mut bench), (1, 0, 0));
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.success, snapshot.totals.ignored), (0, 1));
    assert_eq!(snapshot.sources[0].totals.success, 1);
}

#[test]
fn a_success_that_has_left_the_window_is_not_taken_from_another() {
    let mut bench = Bench::new(sensitive());
    let stream = bench.begin();
    bench.pass(60.0);
    bench.run(5, Outcome::success(ms(1)));
    bench.record(stream, Outcome::failure(ms(1)));
    assert_eq!(window(&mut bench), (5, 1, 0));
}

/// A hundred streams that began ten minutes ago, of a breaker with `policy`.
fn old_streams(policy: Policy) -> (Bench, Vec<Permit>) {
    let mut bench = Bench::new(policy);
    let streams = (0..100).map(|_| bench.begin()).collect();
    bench.pass(600.0);
    (bench, streams)
}

#[test]
fn the_few_of_many_old_streams_that_break_open_nothing() {
    for (policy, few) in [
        (sensitive(), 7),
        (Policy::conservative(), 2),
        (Policy::adaptive(), 5),
    ] {
        let (mut bench, mut streams) = old_streams(policy);
        for stream in streams.drain(..few) {
            bench.pass(0.01);
            bench.record(stream, Outcome::failure(ms(1)));
        }
        let few = few as u64;
        assert_eq!(window(&mut bench), (100 - few, few, 0));
        assert_eq!(bench.transitions(), [""; 0]);
        // Long after that they are as old as before.
        bench.pass(600.0);
        let stream = streams.pop().unwrap();
        bench.record(stream, Outcome::failure(ms(1)));
        assert_eq!(window(&mut bench), (99 - few, 1, 0));
    }
}

#[test]
fn old_streams_that_all_break_open() {
    for policy in [sensitive(), Policy::conservative(), Policy::adaptive()] {
        let (mut bench, streams) = old_streams(policy);
        for stream in streams {
            bench.pass(0.02);
            bench.record(stream, Outcome::failure(ms(1)));
        }
        assert_ne!(bench.state(), State::Closed);
    }
}

#[test]
fn old_streams_that_flow_hide_no_failures_of_others() {
    let (mut bench, _streams) = old_streams(sensitive());
    assert_eq!(bench.run(30, Outcome::failure(ms(1))), 20);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn old_streams_that_have_ended_are_in_no_window() {
    let (mut bench, streams) = old_streams(sensitive());
    for stream in streams {
        bench.record(stream, Outcome::success(ms(1)));
    }
    let another = bench.begin();
    bench.pass(600.0);
    bench.record(another, Outcome::failure(ms(1)));
    assert_eq!(window(&mut bench), (0, 1, 0));
    assert_eq!(bench.run(20, Outcome::failure(ms(1))), 19);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn streams_of_an_earlier_epoch_are_in_no_window() {
    let (mut bench, _streams) = old_streams(sensitive());
    bench.run(20, Outcome::failure(ms(1)));
    bench.pass(10.0);
    bench.run(30, Outcome::success(ms(1)));
    bench.pass(60.0);
    bench.run(30, Outcome::success(ms(1)));
    assert_eq!(bench.state(), State::Closed);
    let another = bench.begin();
    bench.pass(600.0);
    bench.record(another, Outcome::failure(ms(1)));
    assert_eq!(window(&mut bench), (0, 1, 0));
}

#[test]
fn a_success_of_a_window_that_a_policy_replaced_is_not_taken_from_another() {
    let mut bench = Bench::new(sensitive());
    let old = bench.begin();
    let longer = policy::Builder::from(sensitive()).window(ms(20_000));
    let now = at(bench.now);
    bench.breaker.set_policy(longer.build().unwrap(), now);
    let _new = bench.begin();
    bench.record(old, Outcome::failure(ms(1)));
    assert_eq!(window(&mut bench), (1, 1, 0));
}

#[test]
fn answers_of_an_earlier_epoch_cause_nothing() {
    let mut bench = Bench::new(sensitive());
    let begun = bench.begin();
    let mut waits = bench.acquire().unwrap();
    bench.run(20, Outcome::failure(ms(1)));
    bench.pass_to(10.0);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.begun(&mut waits);
    bench.record(begun, Outcome::failure(ms(1)));
    bench.record(waits, Outcome::failure(ms(1)));
    assert_eq!(window(&mut bench), (0, 0, 0));
    assert_eq!(bench.state(), State::HalfOpen);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.success, totals.failure), (0, 21));
}

#[test]
fn answers_that_all_begin_well_and_all_fail_open() {
    for policy in [sensitive(), Policy::conservative(), Policy::adaptive()] {
        let mut bench = Bench::new(policy);
        let mut flowing = VecDeque::new();
        for _ in 0..6000 {
            bench.pass(0.01);
            let Ok(mut permit) = bench.acquire() else {
                break;
            };
            bench.begun(&mut permit);
            flowing.push_back(permit);
            // Half a second after its head, each breaks.
            if flowing.len() > 50 {
                let broken = flowing.pop_front().unwrap();
                bench.record(broken, Outcome::failure(ms(1)));
            }
        }
        assert_eq!(
            bench.state(),
            State::Open,
            "{}",
            bench.breaker.policy.name()
        );
    }
}

#[test]
fn failures_in_a_row_are_not_broken_by_answers_that_fail_later() {
    let in_a_row = |bound| tripping_on([TripEntry::open([Condition::ConsecutiveFailures(bound)])]);
    let mut bench = Bench::new(in_a_row(5));
    for _ in 0..5 {
        let answer = bench.begin();
        bench.record(answer, Outcome::failure(ms(1)));
    }
    assert_eq!(bench.state(), State::Open);

    let mut bench = Bench::new(in_a_row(5));
    for _ in 0..50 {
        let _stream = bench.begin();
        bench.run(4, Outcome::failure(ms(1)));
    }
    assert_eq!(bench.state(), State::Closed, "streams stand between them");
}

#[test]
fn begun_probes_have_succeeded_and_take_no_slot() {
    let mut bench = Bench::half_open();
    let _streams: Vec<_> = (0..4).map(|_| bench.begin()).collect();
    assert!(matches!(bench.breaker.phase, Phase::Ramp(_)));
}

#[test]
fn a_begun_probe_that_fails_in_the_trial_has_failed() {
    let mut bench = Bench::half_open();
    let streams: Vec<_> = (0..3).map(|_| bench.begin()).collect();
    bench.transitions();
    for stream in streams {
        bench.record(stream, Outcome::failure(ms(1)));
    }
    assert_eq!(
        bench.transitions(),
        ["half_open → open: 2 probes failed, 1 succeeded, 4 were needed"]
    );
}

#[test]
fn a_probe_too_slow_to_its_head_has_failed_though_its_answer_begins() {
    for head_first in [true, false] {
        let mut bench = Bench::new(sensitive());
        bench.run(20, Outcome::success(ms(2000)));
        bench.pass_to(10.0);
        let mut probes: Vec<_> = (0..2).map(|_| bench.acquire().unwrap()).collect();
        bench.pass(1.5);
        for probe in &mut probes {
            if head_first {
                bench.begun(probe);
            } else {
                bench.breaker.begun(probe, at(bench.now));
                bench.begun(probe);
            }
        }
        assert_eq!(bench.state(), State::Open);
    }
}

#[test]
fn streams_are_evidence_of_health_for_ramp_and_back_off() {
    let mut bench = Bench::ramping();
    let mut streams = Vec::new();
    while bench.now < 31.0 {
        bench.pass(0.1);
        if let Ok(mut permit) = bench.acquire() {
            bench.begun(&mut permit);
            streams.push(permit);
        }
    }
    let told = bench.transitions();
    assert!(
        told[1].contains("ramp completed: ") && !told[1].contains(" 0 succeeded"),
        "{told:?}"
    );
    bench.run(200, Outcome::failure(ms(1)));
    let remaining = bench.snapshot().open_remaining;
    assert_eq!(
        remaining,
        Some(Duration::from_secs(10)),
        "the first open time"
    );
}

#[test]
fn streams_that_break_fail_the_ramp_once_each() {
    let mut bench = Bench::ramping();
    bench.pass_to(19.0);
    let streams: Vec<_> = (0..6).map(|_| bench.begin()).collect();
    for stream in streams {
        bench.record(stream, Outcome::failure(ms(1)));
    }
    assert_eq!(bench.state(), State::Open);
    let told = bench.snapshot().reason.to_string();
    assert!(
        told.starts_with("66.67% of 6 requests of the ramp succeeded"),
        "{told}"
    );
}

#[test]
fn a_late_answer_counts_once_in_a_sequential_ramp() {
    let policy = policy::Builder::from(Policy::adaptive());
    let mut bench = Bench::new(policy.build().unwrap());
    bench.breaker.phase = Phase::AdaptiveRamp(Box::new(AdaptiveRamp::new(
        Ratio::ONE,
        Tally::default(),
        0.0,
        0.4,
        at(0.0),
    )));
    let total = |bench: &Bench| match &bench.breaker.phase {
        Phase::AdaptiveRamp(ramp) => (ramp.total().succeeded, ramp.total().failed),
        _ => panic!("no ramp"),
    };
    let mut late = bench.acquire().unwrap();
    bench.pass(1.2);
    assert_eq!(total(&bench), (0, 1), "it has crossed the deadline");
    bench.begun(&mut late);
    bench.record(late, Outcome::success(ms(1200)));
    assert_eq!(total(&bench), (0, 1));

    let broken = bench.begin();
    assert_eq!(total(&bench), (1, 1));
    bench.pass(0.7);
    bench.record(broken, Outcome::failure(ms(1)));
    assert_eq!(total(&bench), (0, 2));
}

#[test]
fn where_latency_is_that_of_the_whole_answer_the_verdict_still_comes_with_its_begin() {
    let complete = policy::Builder::from(sensitive()).latency(policy::LatencyMeasure::Complete);
    let mut bench = Bench::new(complete.build().unwrap());
    let answer = bench.begin();
    assert_eq!(window(&mut bench), (1, 0, 0));
    assert!(bench.snapshot().sources[0].latency.is_none());
    bench.pass(0.5);
    bench.record(answer, Outcome::success(ms(500)));
    assert_eq!(window(&mut bench), (1, 0, 0));
    assert_eq!(bench.snapshot().sources[0].latency.unwrap().samples, 1);
}

#[test]
fn an_answer_before_the_end_of_the_upload_has_no_latency() {
    for policy in [sensitive(), Policy::adaptive()] {
        let mut bench = Bench::new(policy);
        for _ in 0..10 {
            let mut permits: Vec<_> = (0..25).map(|_| bench.acquire().unwrap()).collect();
            for permit in &mut permits {
                bench.breaker.uploading(permit);
            }
            bench.pass(2.0);
            for (index, mut permit) in permits.into_iter().enumerate() {
                if index % 2 == 0 {
                    bench.begun(&mut permit);
                }
                bench.record(permit, Outcome::success(ms(2000)));
            }
        }
        assert_eq!(bench.events(), []);
        assert!(bench.snapshot().sources[0].latency.is_none());
    }
}
