//! What is usual, and how it becomes another.

use super::*;
use crate::detector::UsualChange;
use crate::policy::Stream;

/// Traffic of which a share fails, in an order without a pattern.
struct Service {
    bench: Bench,
    drawn: u64,
}

impl Service {
    fn new(policy: Policy) -> Self {
        Self {
            bench: Bench::new(policy),
            drawn: 0,
        }
    }

    /// So many requests, each `gap` seconds after the one before. Returns what was told, with its second.
    fn run(&mut self, requests: u32, gap: f64, failing: f64) -> Vec<(f64, Event)> {
        let mut told = Vec::new();
        for _ in 0..requests {
            self.bench.pass(gap);
            self.drawn += 1;
            let random = (self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64;
            let fails = random / (1_u64 << 53) as f64 <= failing;
            let outcome = if fails {
                Outcome::failure(ms(5))
            } else {
                Outcome::success(ms(5))
            };
            self.bench.run(1, outcome);
            let now = self.bench.now;
            told.extend(self.bench.events().into_iter().map(|event| (now, event)));
        }
        told
    }

    fn hours(&mut self, hours: f64, failing: f64) -> Vec<(f64, Event)> {
        self.run((hours * 3600.0 * 5.0) as u32, 0.2, failing)
    }
}

fn alerts(told: &[(f64, Event)]) -> Vec<f64> {
    let alerts = told
        .iter()
        .filter(|(_, event)| matches!(event, Event::Alert(_)));
    alerts.map(|(at, _)| *at).collect()
}

fn changes(told: &[(f64, Event)]) -> Vec<UsualChange> {
    let changes = told.iter().filter_map(|(_, event)| match event {
        Event::UsualChanged { change, .. } => Some(*change),
        _ => None,
    });
    changes.collect()
}

fn percent(share: Ratio) -> f64 {
    (share.get() * 100.0).round()
}

#[test]
fn a_new_usual_is_accepted_after_hours_and_told_once() {
    for usual in [0.04, 0.08] {
        let mut service = Service::new(Policy::adaptive());
        assert_eq!(service.hours(4.0, 0.003), []);
        let told = service.hours(8.0, usual);
        let alerts = alerts(&told);
        assert!((1..=8).contains(&alerts.len()), "{alerts:?}");
        let changes = changes(&told);
        let [change] = changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(change.stream, Stream::Errors);
        assert_eq!(percent(change.before.unwrap()), 0.0);
        assert_eq!(percent(change.now), usual * 100.0);
        let words = change.to_string();
        assert!(
            words.starts_with("what is usual has changed from 0.3"),
            "{words}"
        );
    }
}

#[test]
fn three_times_a_high_usual_is_told_within_a_minute() {
    for usual in [0.04, 0.05, 0.08] {
        let mut service = Service::new(Policy::adaptive());
        service.hours(4.0, usual);
        assert_eq!(alerts(&service.hours(8.0, usual)), [0.0; 0], "{usual}");
        let before = service.bench.now;
        let told = alerts(&service.run(1200, 0.05, 3.0 * usual));
        assert!(
            told.first().is_some_and(|at| at - before < 60.0),
            "{told:?}"
        );
    }
}

#[test]
fn what_was_accepted_is_left_when_it_is_usual_no_longer() {
    let mut service = Service::new(Policy::adaptive());
    service.hours(4.0, 0.08);
    let changes = changes(&service.hours(4.0, 0.003));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(percent(changes[0].before.unwrap()), 8.0);
    // What would have been nothing beside 8 %.
    let before = service.bench.now;
    let told = alerts(&service.run(1200, 0.05, 0.1));
    assert!(
        told.first().is_some_and(|at| at - before < 30.0),
        "{told:?}"
    );
}

#[test]
fn hours_of_incidents_and_of_rising_errors_are_no_new_usual() {
    let mut service = Service::new(Policy::adaptive());
    service.hours(1.0, 0.003);
    for tenth in 0..40 {
        // Twice as many each hour.
        let told = service.hours(0.1, 0.02 * (f64::from(tenth) / 10.0).exp2());
        assert_eq!(changes(&told), [], "rising");
    }
    let mut service = Service::new(Policy::adaptive());
    for _ in 0..6 {
        let told = service.hours(1.0, 0.06);
        assert_eq!(changes(&told), [], "an outage each hour");
        service.run(100, 0.2, 1.0);
        assert_eq!(service.bench.state(), State::Open);
        service.hours(0.05, 0.003);
        assert_eq!(service.bench.state(), State::Closed);
    }
}

#[test]
fn few_failures_of_rare_requests_are_no_new_usual() {
    let mut service = Service::new(Policy::adaptive());
    // One each five minutes, of which one in a hundred fails: for a month.
    let told = service.run(30 * 288, 300.0, 0.01);
    assert_eq!(changes(&told), []);
}

#[test]
fn what_the_policy_says_is_usual_is_no_alarm_and_more_is() {
    let said = |usual| {
        let policy = policy::Builder::from(Policy::adaptive()).usual_errors(usual);
        Service::new(policy.build().unwrap())
    };
    let mut service = said(Ratio::of(4, 100));
    assert_eq!(service.hours(3.0, 0.04), []);
    let told = alerts(&service.run(1200, 0.05, 0.12));
    assert!(!told.is_empty());
    let mut service = said(Ratio::ZERO);
    assert!(!alerts(&service.hours(3.0, 0.05)).is_empty());
}
