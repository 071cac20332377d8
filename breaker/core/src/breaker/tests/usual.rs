//! What is usual, and how it becomes another.

use super::*;
use crate::detector::UsualChange;
use crate::policy::Signal;

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

    /// So many requests, each `gap` seconds after the one before. Returns what was told, with its
    /// second.
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
        assert_eq!(change.signal, Signal::Errors);
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
fn what_keeps_still_for_twelve_hours_is_watched_more_closely() {
    let mut service = Service::new(Policy::adaptive());
    assert_eq!(changes(&service.hours(4.0, 0.03)).len(), 1);
    assert_eq!(alerts(&service.hours(16.0, 0.03)), [0.0; 0]);
    let normal = |service: &mut Service| {
        let scores = &service.bench.snapshot().sources[0].anomalies;
        scores[0].normal.get()
    };
    assert!((0.035..0.041).contains(&normal(&mut service)));
    let before = service.bench.now;
    let told = alerts(&service.run(1200, 0.05, 0.09));
    assert!(
        told.first().is_some_and(|at| at - before < 40.0),
        "{told:?}"
    );
    // It is known to vary now.
    service.hours(0.5, 0.03);
    assert!(normal(&mut service) > 0.044);
}

#[test]
fn what_was_so_from_the_first_request_on_is_repeated_after_hours() {
    // One each minute, of which nothing is known for ten hours.
    let mut service = Service::new(Policy::adaptive());
    let told = alerts(&service.run(24 * 60, 60.0, 0.3));
    assert!((1..=5).contains(&told.len()), "{told:?}");
    let gaps: Vec<_> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap > 3500.0), "{gaps:?}");
    // What is worse than what is known is repeated after minutes.
    let mut service = Service::new(Policy::adaptive());
    service.hours(0.5, 0.003);
    let told = alerts(&service.hours(0.5, 0.3));
    assert!((4..=6).contains(&told.len()), "{told:?}");
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

// --- what goes on for long, below the floor

/// Seconds until the first alert, of 200 requests a second.
fn until_alert(service: &mut Service, seconds: u32, failing: f64) -> Option<(f64, Event)> {
    let before = service.bench.now;
    let told = service.run(seconds * 200, 0.005, failing);
    let mut alerts = told
        .into_iter()
        .filter(|(_, event)| matches!(event, Event::Alert(_)));
    alerts.next().map(|(at, event)| (at - before, event))
}

#[test]
fn errors_below_the_floor_are_told_within_two_minutes_and_never_acted_on() {
    let open =
        policy::Builder::from(Policy::adaptive()).trip([TripEntry::open([Condition::Anomaly {
            signal: Signal::Errors,
            at_least: Ratio::ZERO,
            blip: Duration::ZERO,
        }])]);
    for policy in [Policy::adaptive(), open.build().unwrap()] {
        let mut service = Service::new(policy);
        assert_eq!(until_alert(&mut service, 900, 0.0001), None);
        let told = until_alert(&mut service, 130, 0.02);
        let Some((after, Event::Alert(alert))) = told else {
            panic!("{told:?}")
        };
        assert!(after < 120.0, "{after}");
        let anomaly = alert.evidence[0].anomaly.unwrap();
        assert!(
            anomaly.slow && (0.015..0.025).contains(&anomaly.share.get()),
            "{anomaly:?}"
        );
        let words = alert.evidence[0].to_string();
        assert!(words.contains(" times what is usual"), "{words}");
        service.run(200 * 600, 0.005, 0.02);
        assert_eq!(service.bench.state(), State::Closed);
        assert_eq!(until_alert(&mut service, 300, 0.0001), None);
        assert!(!service.bench.snapshot().sources[0].alerting);
    }
}

#[test]
fn few_requests_slower_than_usual_are_told_and_nothing_is_shed() {
    let mut bench = Bench::new(Policy::adaptive());
    let mut traffic = |requests: u32, one_in: u32| {
        let mut told = Vec::new();
        for index in 0..requests {
            bench.pass(0.01);
            let latency = if index % one_in == 0 { 400 } else { 20 };
            bench.run(1, Outcome::success(ms(latency)));
            told.extend(bench.events());
        }
        told
    };
    assert_eq!(traffic(90_000, 1000), []);
    // One in fifteen.
    let told = traffic(13_000, 15);
    let [Event::Alert(alert)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(alert.signal(), "latency");
}

#[test]
fn a_blip_of_seconds_or_a_few_failures_of_rare_requests_are_not_told() {
    let mut service = Service::new(Policy::adaptive());
    assert_eq!(until_alert(&mut service, 900, 0.0001), None);
    for _ in 0..4 {
        // 120 failures in 3 s, each five minutes.
        assert_eq!(until_alert(&mut service, 3, 0.2), None);
        assert_eq!(until_alert(&mut service, 300, 0.0001), None);
    }
    let mut service = Service::new(Policy::adaptive());
    assert_eq!(service.run(600, 60.0, 0.0), []);
    for _ in 0..20 {
        assert_eq!(service.run(1, 60.0, 1.0), []);
        assert_eq!(service.run(50, 60.0, 0.0), []);
    }
}
