//! A condition near its line holds and does not hold by turns. Its alert is still told at its begin
//! and ever more rarely, whatever the condition, its window, and the turns.

use super::*;
use crate::policy::Signal;

const HOURS: f64 = 6.0;
/// Seconds between requests.
const STEP: f64 = 5.0;

/// Every kind of condition, each alone, and two together.
fn conditions() -> Vec<(&'static str, Vec<Condition>)> {
    let share = Ratio::of(20, 100);
    let second = ms(1000);
    let p99 = Condition::Latency {
        quantile: Quantile::P99,
        bound: second,
    };
    let slow_rate = Condition::SlowRate {
        share,
        threshold: second,
    };
    let anomaly = |signal, at_least| Condition::Anomaly {
        signal,
        at_least,
        blip: Duration::ZERO,
    };
    vec![
        ("error_rate", vec![Condition::ErrorRate(share)]),
        ("p99", vec![p99]),
        ("slow_rate", vec![slow_rate]),
        ("concurrency", vec![Condition::Concurrency(4)]),
        (
            "consecutive_failures",
            vec![Condition::ConsecutiveFailures(3)],
        ),
        ("both", vec![Condition::ErrorRate(share), p99]),
        (
            "anomaly: errors",
            vec![anomaly(Signal::Errors, Ratio::ZERO)],
        ),
        (
            "anomaly: deadline",
            vec![anomaly(Signal::Deadline, Ratio::of(30, 100))],
        ),
        (
            "anomaly: latency",
            vec![anomaly(Signal::Latency, Ratio::ZERO)],
        ),
    ]
}

/// When alerts were told and ended in six hours in which trouble and health take turns of so many
/// seconds; by chance, where `None`.
fn told(
    conditions: &[Condition],
    window: u64,
    turns: Option<(f64, f64)>,
) -> (Vec<Timestamp>, Vec<Timestamp>) {
    let policy = policy::Builder::from(sensitive())
        .window(Duration::from_secs(window))
        .min_requests(2)
        .trip([TripEntry::alert(conditions)])
        .build()
        .unwrap();
    let mut bench = Bench::new(policy);
    let mut rng = Rng::new(window);
    let (mut told, mut ended) = (Vec::new(), Vec::new());
    while bench.now < HOURS * 3600.0 {
        bench.pass(STEP);
        let in_trouble = match turns {
            Some((trouble, health)) => bench.now % (trouble + health) < trouble,
            None => rng.unit() < 0.3,
        };
        let (requests, outcome) = if in_trouble {
            (4, Outcome::failure(ms(1500)))
        } else {
            (1, Outcome::success(ms(5)))
        };
        let permits: Vec<_> = (0..requests).map(|_| bench.acquire().unwrap()).collect();
        for permit in permits {
            bench.record(permit, outcome);
        }
        for event in bench.events() {
            match event {
                Event::Alert(alert) => told.push(alert.at),
                Event::AlertEnded { at, .. } => ended.push(at),
                _ => {}
            }
        }
    }
    (told, ended)
}

/// The begin and the repeats after 1, 3, 7 … 63 min and then each hour are 12 in six hours. One
/// that comes back twice as bad as ever is told once more, which from 20 to 100 % of failures it
/// can be twice.
const MOST: usize = 14;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn no_alert_on_a_window_is_told_more_often_than_it_is_repeated() {
    let told = all_told(|name| !name.starts_with("anomaly"));
    for (case, told) in told {
        assert!(told >= 10, "{case}: it is repeated, {told} times");
    }
}

#[test]
fn no_alert_of_a_detector_is_told_more_often_than_it_is_repeated() {
    let told = all_told(|name| name.starts_with("anomaly"));
    let silent = told.iter().filter(|(_, told)| *told == 0).count();
    assert!(
        silent <= 10,
        "{silent} cases tell nothing, and so show nothing"
    );
}

/// How often each case of the conditions that are `wanted` is told; none too often.
fn all_told(wanted: impl Fn(&str) -> bool) -> Vec<(String, usize)> {
    let turns = [
        None,
        Some((5.0, 5.0)),
        Some((5.0, 50.0)),
        Some((10.0, 70.0)),
        Some((20.0, 310.0)),
        Some((60.0, 1200.0)),
    ];
    let mut cases = Vec::new();
    let conditions = conditions().into_iter().filter(|(name, _)| wanted(name));
    for (name, conditions) in conditions {
        let windows: &[u64] = match name {
            "error_rate" => &[1, 10, 60],
            _ => &[10],
        };
        for window in windows {
            for turns in turns {
                let case = format!("{name}, window {window} s, turns {turns:?}");
                let (told, ended) = told(&conditions, *window, turns);
                let gaps = told
                    .windows(2)
                    .map(|pair| pair[1].saturating_since(pair[0]));
                let shortest = gaps.min().unwrap_or(Duration::MAX);
                assert!(shortest >= MINUTE, "{case}: {shortest:?} apart");
                assert!(told.len() <= MOST, "{case}: {} told, {told:?}", told.len());
                assert!(ended.len() <= told.len(), "{case}: {ended:?}");
                cases.push((case, told.len()));
            }
        }
    }
    cases
}
