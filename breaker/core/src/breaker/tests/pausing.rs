//! Only the time counts in which the upstream is waited for: not that in which the caller neither
//! sends nor reads.

use super::*;
use crate::policy::LatencyMeasure;

/// `policy`, whose latency lasts to the end of the body.
fn to_the_end(policy: Policy) -> Policy {
    policy::Builder::from(policy)
        .latency(LatencyMeasure::Complete)
        .build()
        .unwrap()
}

/// An answer whose head has come.
fn answered(bench: &mut Bench) -> Permit {
    let mut permit = bench.acquire().unwrap();
    bench.begun(&mut permit);
    permit
}

#[test]
fn a_caller_that_does_not_read_is_no_slow_upstream() {
    for name in ["sensitive", "adaptive", "combined"] {
        let mut bench = Bench::new(to_the_end(Policy::builtin(name).unwrap()));
        let mut permits: Vec<_> = (0..40).map(|_| answered(&mut bench)).collect();
        bench.pass(0.2);
        for permit in &mut permits {
            let ran = bench.breaker.paused(permit, at(bench.now));
            assert_eq!(ran, ms(200));
            assert_eq!(bench.breaker.paused(permit, at(bench.now)), ms(0), "once");
        }
        bench.pass(60.0);
        for permit in &mut permits {
            bench.breaker.resumed(permit, at(bench.now));
        }
        bench.pass(0.1);
        for permit in permits {
            assert_eq!(
                permit.admitted(),
                at(60.2),
                "where the rest is measured from"
            );
            bench.record(permit, Outcome::success(ms(300)));
        }
        bench.pass(1.0);
        assert_eq!(bench.state(), State::Closed, "{name}");
        let latency = bench.snapshot().sources[0].latency.unwrap();
        assert!(latency.max < ms(310), "{name}: {latency:?}");
        assert_eq!(bench.breaker.callers_turn, 0);
        assert_eq!(bench.breaker.waiting, 0);
    }
}

#[test]
fn an_upstream_that_hangs_after_a_pause_is_seen() {
    let mut bench = Bench::new(to_the_end(sensitive()));
    let mut permits: Vec<_> = (0..40).map(|_| answered(&mut bench)).collect();
    for permit in &mut permits {
        bench.breaker.paused(permit, at(0.0));
    }
    bench.pass_to(30.0);
    assert_eq!(bench.state(), State::Closed);
    for permit in &mut permits {
        bench.breaker.resumed(permit, at(30.0));
    }
    bench.pass_to(30.99);
    assert_eq!(bench.state(), State::Closed);
    bench.pass_to(31.1);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn an_upload_that_the_upstream_does_not_take_is_seen() {
    let mut bench = Bench::new(sensitive());
    let mut permits: Vec<_> = (0..40).map(|_| bench.acquire().unwrap()).collect();
    for second in 0..20 {
        for permit in &mut permits {
            bench.breaker.uploading(permit);
        }
        bench.pass_to(f64::from(second) + 0.5);
        for permit in &mut permits {
            bench.breaker.uploaded(permit, at(bench.now));
        }
        bench.pass_to(f64::from(second) + 1.0);
    }
    assert_eq!(bench.state(), State::Closed, "it goes on, again and again");
    bench.pass(0.6);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn what_waits_for_its_caller_does_not_count_as_concurrency() {
    let policy = tripping_on([TripEntry::open([Condition::Concurrency(10)])]);
    let mut bench = Bench::new(policy);
    let mut uploads = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut upload = bench.acquire().unwrap();
        bench.breaker.uploading(&mut upload);
        uploads.push(upload);
        let mut reader = answered(&mut bench);
        bench.breaker.paused(&mut reader, at(bench.now));
        readers.push(reader);
    }
    let mut waiting: Vec<_> = (0..9).map(|_| bench.acquire().unwrap()).collect();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.snapshot().in_flight, 49, "all are in flight");
    // What waits for the upstream again counts again.
    bench.record(waiting.pop().unwrap(), Outcome::success(ms(1)));
    bench.breaker.uploaded(&mut uploads[0], at(bench.now));
    assert!(bench.acquire().is_err());
    assert_eq!(bench.state(), State::Open);
    let reason = bench.snapshot().reason.to_string();
    assert!(reason.contains("10 ≥ 10 requests in flight"), "{reason}");
    for permit in uploads.into_iter().chain(readers).chain(waiting) {
        bench.record(permit, Outcome::ignored(ms(1)));
    }
    assert_eq!(bench.breaker.callers_turn, 0);
}

#[test]
fn readers_that_pause_do_not_keep_others_out_of_a_trial() {
    let mut bench = Bench::new(to_the_end(sensitive()));
    // Of a trip by latency, a probe is judged by its latency.
    bench.run(20, Outcome::success(ms(3000)));
    bench.pass_to(10.0);
    let mut probes: Vec<_> = (0..3).map(|_| answered(&mut bench)).collect();
    assert!(bench.acquire().is_err(), "all slots are taken");
    for probe in &mut probes {
        bench.breaker.paused(probe, at(bench.now));
    }
    bench.pass_to(11.1);
    assert_eq!(
        bench.run(4, Outcome::success(ms(1))),
        4,
        "the slots are free"
    );
    for probe in probes {
        bench.record(probe, Outcome::ignored(ms(1)));
    }
    bench.pass_to(40.0);
    bench.run(100, Outcome::success(ms(1)));
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn pauses_do_not_lengthen_the_time_of_a_probe() {
    let mut bench = Bench::new(to_the_end(tripping_on([TripEntry::open([
        Condition::SlowRate {
            share: Ratio::new(0.5).unwrap(),
            threshold: ms(8000),
        },
    ])])));
    let hanging: Vec<_> = (0..20).map(|_| bench.acquire().unwrap()).collect();
    bench.pass_to(8.1);
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(20.0);
    assert_eq!(bench.state(), State::HalfOpen);
    // Each has 5 s, of which half of each second is the upstream's.
    let mut probes: Vec<_> = (0..3).map(|_| answered(&mut bench)).collect();
    let mut waited = 0.0;
    while bench.state() == State::HalfOpen {
        bench.pass(0.5);
        waited += 0.5;
        for probe in &mut probes {
            bench.breaker.paused(probe, at(bench.now));
        }
        bench.pass(0.1);
        for probe in &mut probes {
            bench.breaker.resumed(probe, at(bench.now));
        }
        assert!(
            waited < 6.0,
            "a stream that never ends keeps the trial open"
        );
    }
    assert_eq!(bench.state(), State::Open);
    for permit in hanging.into_iter().chain(probes) {
        bench.record(permit, Outcome::ignored(ms(1)));
    }
}
