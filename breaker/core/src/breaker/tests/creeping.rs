//! A latency that creeps up on the first day is told before anybody would call it slow, and nothing
//! is done about it.

use super::*;
use crate::detector::Creep;

/// Two requests a second, of latencies that vary.
struct Service {
    bench: Bench,
    rng: Rng,
}

impl Service {
    fn new() -> Self {
        Self {
            bench: Bench::new(Policy::adaptive()),
            rng: Rng::new(7),
        }
    }

    /// Runs for so many minutes, `factor` times as slow as at first, by how many minutes have
    /// passed. Returns what was told, with the minute.
    fn run(&mut self, minutes: u32, factor: impl Fn(f64) -> f64) -> Vec<(f64, Event)> {
        let mut told = Vec::new();
        let from = self.bench.now;
        for _ in 0..minutes * 120 {
            self.bench.pass(0.5);
            let minute = (self.bench.now - from) / 60.0;
            // Log-normal, 60 ms at the median: by the sum of twelve uniform numbers.
            let normal = (0..12).map(|_| self.rng.unit()).sum::<f64>() - 6.0;
            let latency = 0.06 * (0.5 * normal).exp() * factor(minute);
            let outcome = Outcome::success(Duration::from_secs_f64(latency));
            assert_eq!(self.bench.run(1, outcome), 1);
            told.extend(self.bench.events().into_iter().map(|event| (minute, event)));
        }
        told
    }
}

#[test]
fn a_slow_rise_is_told_at_about_twice_and_only_told() {
    let mut service = Service::new();
    assert_eq!(service.run(15, |_| 1.0), []);
    let told = service.run(240, |minute| 1.0 + minute / 100.0);
    let Some((minute, Event::Alert(alert))) = told.first() else {
        panic!("{told:?}");
    };
    assert!((100.0..160.0).contains(minute), "after {minute} min");
    assert_eq!(alert.signal(), "latency");
    let anomaly = alert.evidence[0].anomaly.unwrap();
    let Some(Creep { from, to }) = anomaly.crept else {
        panic!("{anomaly:?}");
    };
    assert!((ms(110)..ms(160)).contains(&from), "{from:?}");
    assert!((2 * from..3 * from).contains(&to), "{from:?} to {to:?}");
    let words = alert.evidence[0].to_string();
    assert!(words.starts_with("the P95 has crept from "), "{words}");
    let others = told
        .iter()
        .filter(|(_, event)| !matches!(event, Event::Alert(_)));
    assert_eq!(others.count(), 0, "{told:?}");
    // As before again: it is over.
    let told = service.run(10, |_| 1.0);
    assert!(
        matches!(&told[..], [(_, Event::AlertEnded { .. })]),
        "{told:?}"
    );
}

#[test]
fn a_step_of_three_quarters_and_a_day_of_ups_and_downs_are_no_rise() {
    let mut service = Service::new();
    assert_eq!(service.run(60, |_| 1.0), []);
    assert_eq!(service.run(300, |_| 1.7), []);
    let mut service = Service::new();
    let wave = |minute: f64| 1.0 + 0.3 * (minute / 1440.0 * std::f64::consts::TAU).sin();
    assert_eq!(service.run(1500, wave), []);
}

#[test]
fn what_is_twice_as_slow_for_good_is_told_for_two_hours_at_most() {
    let mut service = Service::new();
    service.run(60, |_| 1.0);
    service.run(60, |minute| 1.0 + minute / 30.0);
    let told = service.run(600, |_| 3.0);
    let last = told.last().map(|(minute, _)| *minute);
    assert!(last.is_some_and(|minute| minute < 300.0), "{told:?}");
    assert!(!service.bench.snapshot().sources[0].alerting);
}
