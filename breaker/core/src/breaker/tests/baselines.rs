//! What was learned: taken out, put back, forgotten.

use proptest::prelude::*;

use super::*;
use crate::baseline::{Baseline, LatencyBounds, SignalBaseline, SourceBaseline};
use crate::policy::{FalseAlarmBudget, LatencyMeasure, Signal};

/// A breaker that has seen 20 minutes of ten requests a second, of which one in 120 fails; 100 ms
/// each.
fn taught() -> Bench {
    let mut bench = Bench::new(Policy::adaptive());
    for index in 0..12_000_u32 {
        bench.pass_to(f64::from(index) / 10.0);
        let outcome = match index % 120 {
            0 => Outcome::failure(ms(100)),
            _ => Outcome::success(ms(100)),
        };
        bench.run(1, outcome);
    }
    assert_eq!(bench.events(), []);
    bench
}

/// What is usual, by signal, and the latency from which on a request is slow.
fn usual(breaker: &Breaker) -> (Vec<f64>, Option<Duration>) {
    let detectors = breaker.sources[0].detectors.as_ref().unwrap();
    let shares = detectors.scores();
    let shares = shares.iter().map(|score| score.normal.get()).collect();
    (shares, detectors.threshold())
}

fn restored(baseline: &Baseline, policy: Policy) -> Bench {
    let mut bench = Bench::new(policy);
    bench.breaker.restore_baseline(baseline);
    bench
}

fn changed(change: impl FnOnce(policy::Builder) -> policy::Builder) -> Policy {
    change(policy::Builder::from(Policy::adaptive()))
        .build()
        .unwrap()
}

#[test]
fn a_restart_keeps_what_was_learned() {
    let before = taught();
    let (shares, threshold) = usual(&before.breaker);
    assert!((0.013..0.018).contains(&shares[0]), "{shares:?}");
    assert!(threshold > Some(ms(200)) && threshold < Some(ms(220)));
    let after = restored(&before.breaker.baseline(), Policy::adaptive());
    assert_eq!(usual(&after.breaker), (shares, threshold));
    assert_ne!(
        usual(&Bench::new(Policy::adaptive()).breaker).1,
        threshold,
        "a breaker that has learned nothing"
    );
}

#[test]
fn a_restored_breaker_notices_what_a_new_one_would_not() {
    let sheds = |mut bench: Bench| {
        for _ in 0..600 {
            bench.pass(0.1);
            bench.run(1, Outcome::success(ms(400)));
        }
        let events = bench.events();
        let sheds = |event: &Event| matches!(event, Event::SheddingStarted { .. });
        events.iter().any(sheds)
    };
    let baseline = taught().breaker.baseline();
    assert!(sheds(restored(&baseline, Policy::adaptive())));
    assert!(!sheds(Bench::new(Policy::adaptive())));
}

#[test]
fn only_a_source_of_the_same_name_takes_a_baseline() {
    let baseline = taught().breaker.baseline();
    let mut bench = Bench::new(Policy::adaptive());
    bench.breaker.add_feed(Feed::new("ledger"));
    assert_eq!(bench.breaker.restore_baseline(&baseline), 1);
    let mut other = Bench::new(sensitive());
    assert_eq!(other.breaker.restore_baseline(&baseline), 0);
    assert_eq!(other.breaker.baseline(), Baseline::default());
}

#[test]
fn a_policy_with_the_same_detectors_keeps_what_was_learned() {
    let mut bench = taught();
    let learned = usual(&bench.breaker);
    bench.breaker.set_policy(
        changed(|policy| policy.open(Open::default())),
        at(bench.now),
    );
    assert_eq!(usual(&bench.breaker), learned);
    bench.breaker.set_policy(
        changed(|policy| policy.false_alarm_budget(FalseAlarmBudget::ThreeDays)),
        at(bench.now),
    );
    assert_eq!(
        usual(&bench.breaker),
        learned,
        "what is usual does not depend on how rarely to be wrong"
    );
}

#[test]
fn what_was_learned_of_another_deadline_or_measure_is_not_taken() {
    let hits = |signal| SignalBaseline::new(signal, 1000.0, 15.0).unwrap();
    let bounds = LatencyBounds {
        deadline: Duration::from_secs(1),
        measure: LatencyMeasure::Head,
    };
    let proxy = SourceBaseline::new("proxy", bounds, Signal::ALL.map(hits), vec![80; 60]).unwrap();
    let baseline = Baseline::new([proxy]);
    let learned = |policy: Policy| {
        let told = restored(&baseline, policy).breaker.baseline();
        let signals = told.sources[0].signals().iter();
        let signals = signals.map(|signal| signal.observations() > 0.0).collect();
        (signals, told.sources[0].p95s().len())
    };
    assert_eq!(
        learned(Policy::adaptive()),
        (vec![true, true, true], 60),
        "errors, latency, deadline"
    );
    assert_eq!(
        learned(changed(|policy| policy.deadline(ms(500)))),
        (vec![true, true, false], 60)
    );
    assert_eq!(
        learned(changed(|policy| policy.latency(LatencyMeasure::Complete))),
        (vec![true, false, false], 0)
    );
}

#[test]
fn a_forgotten_baseline_is_that_of_a_new_breaker() {
    let mut bench = taught();
    bench.breaker.forget_baseline();
    let new = Bench::new(Policy::adaptive());
    assert_eq!(usual(&bench.breaker), usual(&new.breaker));
    let anomalies = bench.snapshot().sources[0].anomalies.clone();
    assert!(anomalies.iter().all(|anomaly| anomaly.line.is_finite()));
    assert_eq!(bench.snapshot().sources[0].requests(), 100, "of the window");
}

#[test]
fn a_reset_closes_and_forgets_all_but_the_totals() {
    let mut bench = taught();
    let slow = bench.acquire().unwrap();
    while bench.state() == State::Closed {
        bench.pass(0.1);
        bench.run(1, Outcome::failure(ms(1)));
    }
    bench.pass(1.3);
    bench.run(2, Outcome::failure(ms(1)));
    assert_eq!(bench.snapshot().failed_recoveries, 1);
    let totals = bench.snapshot().totals;
    bench.events();

    bench.breaker.reset(at(bench.now));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.state, State::Closed);
    assert_eq!(snapshot.reason.label(), "reset");
    assert_eq!((snapshot.failed_recoveries, snapshot.totals), (0, totals));
    assert_eq!(snapshot.sources[0].requests(), 0);
    assert_eq!(
        usual(&bench.breaker),
        usual(&Bench::new(Policy::adaptive()).breaker)
    );
    let events = bench.events();
    assert!(
        matches!(
            events[..],
            [
                Event::Reset {
                    from: State::Open,
                    ..
                },
                Event::Transition(Transition {
                    to: State::Closed,
                    ..
                })
            ]
        ),
        "{events:?}"
    );
    bench.record(slow, Outcome::failure(ms(1)));
    assert_eq!(bench.snapshot().sources[0].requests(), 0);
}

#[test]
fn a_forced_open_breaker_stays_open_at_a_reset() {
    let mut bench = taught();
    bench.breaker.force(Mode::ForcedOpen, at(bench.now));
    bench.breaker.reset(at(bench.now));
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.snapshot().mode, Mode::ForcedOpen);
}

#[test]
fn what_a_breaker_has_learned_takes_less_than_4_kib_a_source() {
    let full = SourceBaseline::new(
        "proxy",
        LatencyBounds {
            deadline: Duration::from_secs(1),
            measure: LatencyMeasure::Head,
        },
        [],
        vec![7; SourceBaseline::MINUTES],
    );
    let bench = restored(&Baseline::new([full.unwrap()]), Policy::adaptive());
    let told = bench.breaker.baseline();
    let source = &told.sources[0];
    let bytes = size_of_val(source) + source.p95s().len() + size_of_val(source.signals());
    assert!(bytes < 4096, "{bytes} bytes");
}

/// A request, so many milliseconds after the one before.
fn requests() -> impl Strategy<Value = Vec<(u64, bool, u64)>> {
    let request = (0_u64..3000, proptest::bool::weighted(0.3), 0_u64..2000);
    proptest::collection::vec(request, 0..400)
}

/// Sends them, and returns all that the breaker told.
fn send(bench: &mut Bench, requests: &[(u64, bool, u64)]) -> Vec<String> {
    for (gap, failed, latency) in requests {
        bench.pass(*gap as f64 / 1000.0);
        let classification = if *failed {
            Classification::Failure
        } else {
            Classification::Success
        };
        bench.run(1, Outcome::new(classification, ms(*latency)));
    }
    bench
        .events()
        .iter()
        .map(|event| format!("{event:?}"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn export_and_import_change_no_decision(before in requests(), after in requests()) {
        let mut learned = Bench::new(Policy::adaptive());
        send(&mut learned, &before);
        let baseline = learned.breaker.baseline();
        let mut once = restored(&baseline, Policy::adaptive());
        prop_assert_eq!(&once.breaker.baseline(), &baseline);
        prop_assert_eq!(usual(&once.breaker).1, usual(&learned.breaker).1);
        let mut twice = restored(&once.breaker.baseline(), Policy::adaptive());
        prop_assert_eq!(send(&mut once, &after), send(&mut twice, &after));
        prop_assert_eq!(once.breaker.baseline(), twice.breaker.baseline());
    }

    #[test]
    fn any_numbers_are_refused_or_do_no_harm(
        numbers in proptest::collection::vec((any::<f64>(), any::<f64>()), 3),
        p95s in proptest::collection::vec(any::<u8>(), 0..1500),
        deadline in any::<u64>(),
        after in requests(),
    ) {
        let signals: Vec<_> = Signal::ALL.into_iter().zip(numbers)
            .filter_map(|(signal, (all, hits))| SignalBaseline::new(signal, all, hits).ok())
            .collect();
        let bounds = LatencyBounds { deadline: Duration::from_nanos(deadline), measure: LatencyMeasure::Head };
        let p95s: Vec<u8> = p95s.into_iter().map(|entry| if deadline % 2 == 0 { entry % 208 } else { entry }).collect();
        if let Ok(source) = SourceBaseline::new("proxy", bounds, signals, p95s) {
            let mut bench = restored(&Baseline::new([source]), Policy::adaptive());
            send(&mut bench, &after);
            for anomaly in &bench.snapshot().sources[0].anomalies {
                prop_assert!(anomaly.evidence.is_finite() && anomaly.normal.get() > 0.0);
            }
        }
    }
}
