//! What is said of breakers, whole.

use std::time::Duration;

use breaker_tower::breaker_core::{Breaker, Classification, Feed, Outcome, Sample, Timestamp};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A breaker without jitter in virtual time.
struct Bench {
    breaker: Breaker,
    millis: u64,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        use breaker_tower::breaker_core::policy::{Builder, Open};
        let open = Open {
            jitter: breaker_tower::breaker_core::Ratio::ZERO,
            ..policy.open()
        };
        let policy = Builder::from(policy).open(open).build().unwrap();
        Self {
            breaker: Breaker::new(policy, 1, Timestamp::ZERO),
            millis: 0,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis)
    }

    /// Ten requests a second, of which every `one_in`th fails.
    fn run(&mut self, requests: u64, one_in: u64) {
        for index in 1..=requests {
            self.millis += 100;
            self.breaker.handle_timeout(self.now());
            let Ok(permit) = self.breaker.try_acquire(self.now()) else {
                continue;
            };
            let outcome = match index.is_multiple_of(one_in) {
                true => Outcome::failure(40 * MS),
                false => Outcome::success(40 * MS),
            };
            self.breaker.record(permit, outcome, self.now());
        }
    }

    fn explained(&mut self) -> String {
        let (policy, now) = (self.breaker.policy().clone(), self.now());
        let snapshot = self.breaker.snapshot(now);
        explain("pay", &policy, &snapshot, &self.breaker.diagnosis(now))
    }
}

const NEVER: u64 = u64::MAX;

#[test]
fn a_breaker_that_nothing_happened_to() {
    let mut bench = Bench::new(Policy::adaptive());
    bench.millis = 5000;
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is closed: its requests are sent. It has been so since the start, 5s ago.\n",
            "\n",
            "What it observes, by policy adaptive:\n",
            "proxy: no request ended of late.\n",
            "- errors: usually up to 2% of the requests fail, and no more do now. The evidence is 0% of what an alarm takes, which opens if surely 40% or more do, or else alerts.\n",
            "- latency: usually up to 5% of the requests take 1s or longer, and no more do now. The evidence is 0% of what an alarm takes, which sheds.\n",
            "- deadline: usually up to 2% of the requests miss the deadline of 1s, and no more do now. The evidence is 0% of what an alarm takes, which opens if surely 40% or more do.\n",
            "\n",
            "What would open it:\n",
            "- proxy: 6 failures in a row, one a second\n",
        )
    );
}

#[test]
fn a_closed_breaker_with_detectors() {
    let mut bench = Bench::new(Policy::adaptive());
    bench.run(6000, 400);
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is closed: its requests are sent. It has been so since the start, 10m ago.\n",
            "\n",
            "What it observes, by policy adaptive:\n",
            "proxy: 91 requests in the window, 9.1 requests a second; 1 failed.\n",
            "- errors: usually up to 1% of the requests fail; since that may have changed, 100% of 1 did (0% to 100%). The evidence is 23% of what an alarm takes, which opens if surely 40% or more do, or else alerts.\n",
            "- latency: usually up to 2% of the requests take 81ms or longer, and no more do now. The evidence is 0% of what an alarm takes, which sheds.\n",
            "- deadline: usually up to 1% of the requests miss the deadline of 1s, and no more do now. The evidence is 0% of what an alarm takes, which opens if surely 40% or more do.\n",
            "\n",
            "What would open it:\n",
            "- proxy: 9 failures in a row, which take 989ms at 9.1 requests a second\n",
        )
    );
}

#[test]
fn a_breaker_with_an_alert() {
    let mut bench = Bench::new(Policy::adaptive());
    bench.run(3000, NEVER);
    bench.run(300, 6);
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is closed: its requests are sent. It has been so since the start, 5m30s ago.\n",
            "An alert holds, of source proxy.\n",
            "\n",
            "What it observes, by policy adaptive:\n",
            "proxy: 91 requests in the window, 9.1 requests a second; 16 failed.\n",
            "- errors: usually up to 1% of the requests fail; since that may have changed, 16.94% of 253 did (5.18% to 22.05%). That is an alarm, at 133% of its line, which opens if surely 40% or more do, or else alerts.\n",
            "- latency: usually up to 2% of the requests take 81ms or longer, and no more do now. The evidence is 0% of what an alarm takes, which sheds.\n",
            "- deadline: usually up to 1% of the requests miss the deadline of 1s, and no more do now. The evidence is 0% of what an alarm takes, which opens if surely 40% or more do.\n",
            "\n",
            "What would open it:\n",
            "- proxy: 13 failures in a row, which take 1.4s at 9.1 requests a second\n",
        )
    );
}

#[test]
fn a_closed_breaker_with_conditions_on_its_window() {
    let mut bench = Bench::new(Policy::sensitive());
    bench.run(1000, 50);
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is closed: its requests are sent. It has been so since the start, 1m40s ago.\n",
            "\n",
            "What it observes, by policy sensitive:\n",
            "proxy: 91 requests in the window, 9.1 requests a second; 2 failed.\n",
            "- opens when error rate ≥ 8%: it is 2.2% of 91 requests; that is 27% of the bound.\n",
            "- opens when 50% of the requests slower than 1s: 0% are, of 91 requests; that is 0% of the bound.\n",
            "- alerts when p99 ≥ 1s: it is 40ms; that is 4% of the bound.\n",
            "\n",
            "What would open it:\n",
            "- proxy: 6 failures in a row, which take 659ms at 9.1 requests a second\n",
        )
    );
}

#[test]
fn a_window_with_too_few_requests_and_a_feed() {
    let mut bench = Bench::new(Policy::combined());
    let mut feed = Feed::new("ledger");
    feed.policy = Some(Policy::sensitive().into());
    let feed = bench.breaker.add_feed(feed);
    bench.run(5, NEVER);
    let now = bench.now();
    let failed = Sample::new(Classification::Failure, Some(20 * MS), now);
    bench.breaker.observe(feed, &failed, now);
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is closed: its requests are sent. It has been so since the start, 500ms ago.\n",
            "\n",
            "What it observes, by policy combined:\n",
            "proxy: 5 requests in the window, 5 requests a second; none failed.\n",
            "- opens when error rate ≥ 5% and p99 ≥ 1s: it is 0% of 5 requests; 1 more failure of the next 15 would do, and it is 40ms; it is judged after 15 more requests.\n",
            "ledger: 1 request in the window, 1 request a second; 1 failed.\n",
            "- opens when error rate ≥ 8%: it is 100% of 1 request; 1 more failure of the next 19 would do.\n",
            "- opens when 50% of the requests slower than 1s: 0% are, of 1 request; it is judged after 19 more requests.\n",
            "- alerts when p99 ≥ 1s: it is 20ms; it is judged after 19 more requests.\n",
            "\n",
            "What would open it:\n",
            "- proxy: failures alone would not, not even 1000 in a row at 5 requests a second\n",
            "- ledger: failures alone would not, not even 1000 in a row at 1 request a second\n",
        )
    );
}

#[test]
fn a_breaker_that_sheds() {
    use breaker_tower::breaker_core::Ratio;
    use breaker_tower::breaker_core::policy::{Builder, Condition, TripEntry};
    let slow = Condition::SlowRate {
        share: Ratio::of(1, 2),
        threshold: 200 * MS,
    };
    let policy = Builder::from(Policy::sensitive())
        .trip([
            TripEntry::open([Condition::ErrorRate(Ratio::of(1, 2))]),
            TripEntry::shed([slow]),
        ])
        .build();
    let mut bench = Bench::new(policy.unwrap());
    // 40 at once, which take 500 ms; then 40 more.
    let permits: Vec<_> = (0..40)
        .map(|_| bench.breaker.try_acquire(bench.now()).unwrap())
        .collect();
    bench.millis = 500;
    for permit in permits {
        let outcome = Outcome::success(500 * MS);
        bench.breaker.record(permit, outcome, bench.now());
    }
    bench.millis = 2500;
    bench.breaker.handle_timeout(bench.now());
    let sent: Vec<_> = (0..40)
        .filter_map(|_| bench.breaker.try_acquire(bench.now()).ok())
        .collect();
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is closed, and sheds: its requests are sent as far as a limit allows. It has been so since the start, 2.5s ago.\n",
            "For 2s no more than 4 may be in flight, so that a request takes 100ms on average: 100% ≥ 50% of the requests took 200ms or longer, 40 requests in 10s (source proxy). Of the last hundred requests or so 10% were sent.\n",
            "\n",
            "What it observes, by policy sensitive:\n",
            "proxy: 40 requests in the window, 16 requests a second; none failed.\n",
            "- opens when error rate ≥ 50%: it is 0% of 40 requests; that is 0% of the bound.\n",
            "- sheds when 50% of the requests slower than 200ms: 100% are, of 40 requests, so this holds.\n",
            "\n",
            "What would end the shedding:\n",
            "- It ends in 10s, unless until then the limit turns a request away or a condition that sheds holds.\n",
            "\n",
            "What would open it:\n",
            "- proxy: 40 failures in a row, which take 2.5s at 16 requests a second\n",
        )
    );
    drop(sent);
}

#[test]
fn an_open_breaker() {
    let mut bench = Bench::new(Policy::sensitive());
    bench.run(25, 1);
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is open: its requests are rejected. It has been so for 500ms: error rate 100% ≥ 8%, 20 requests in 10s (source proxy).\n",
            "\n",
            "What it observes, by policy sensitive:\n",
            "proxy: 20 requests in the window, 8 requests a second; 20 failed.\n",
            "- opens when error rate ≥ 8%: it is 100% of 20 requests, so this holds.\n",
            "- opens when 50% of the requests slower than 1s: 0% are, of 20 requests; that is 0% of the bound.\n",
            "- alerts when p99 ≥ 1s: it is 40ms; that is 4% of the bound.\n",
            "\n",
            "What would close it:\n",
            "- In 9.5s the trial begins.\n",
            "- The trial sends up to 3 requests at once: 4 of 5 must succeed, or the breaker opens again.\n",
            "- Then the share of requests that are sent grows from 10% to all within 10s; it closes then, unless a condition holds or fewer than 80% succeed.\n",
        )
    );
}

#[test]
fn a_ramp_after_a_failed_recovery() {
    let mut bench = Bench::new(Policy::adaptive());
    bench.run(600, NEVER);
    bench.run(45, 1);
    bench.run(60, NEVER);
    assert_eq!(
        bench.explained(),
        concat!(
            "pay is half-open: 15% of its requests are sent, the others are rejected. It has been so for 2.3s: open for 4s.\n",
            "\n",
            "What it observes, by policy adaptive:\n",
            "proxy: 4 requests in the window, 2.2 requests a second; none failed.\n",
            "- errors: usually up to 2% of the requests fail, and no more do now. The evidence is 0% of what an alarm takes, which opens if surely 40% or more do, or else alerts.\n",
            "- latency: usually up to 5% of the requests take 81ms or longer, and no more do now. The evidence is 0% of what an alarm takes, which sheds.\n",
            "- deadline: usually up to 2% of the requests miss the deadline of 1s, and no more do now. The evidence is 0% of what an alarm takes, which opens if surely 40% or more do.\n",
            "\n",
            "What would close it:\n",
            "- The share of requests that are sent grows from 10% by half each 0.5s in which 90% go well, and is halved where 30% don't; it closes after two such times at 100%.\n",
            "- Meanwhile no more than 3 may be in flight, so that a request takes 40ms on average; what of it still binds then goes on when the breaker is closed.\n",
            "- 2 recoveries have failed since the last that held: each makes the next open time longer.\n",
        )
    );
}

#[test]
fn a_forced_breaker_says_whose_doing_it_is() {
    let mut bench = Bench::new(Policy::sensitive());
    for mode in [Mode::ForcedOpen, Mode::ForcedClosed, Mode::Shadow] {
        bench.breaker.force(mode, bench.now());
        let said = bench.explained();
        let word = match mode {
            Mode::Shadow => "shadow mode",
            _ => "An operator",
        };
        assert!(said.contains(word), "{said}");
        assert_eq!(said.contains("What would"), mode == Mode::Shadow, "{said}");
    }
}

#[test]
fn a_mode_for_a_time_says_how_long_and_what_comes_then() {
    for (mode, said) in [
        (
            Mode::ForcedOpen,
            "An operator has forced it open: it rejects all. That ends in 30s; then the policy decides again, beginning with a trial.\n",
        ),
        (
            Mode::ForcedClosed,
            "An operator has forced it closed: whatever is observed, it does not open. That ends in 30s; then the policy decides again.\n",
        ),
    ] {
        let mut bench = Bench::new(Policy::sensitive());
        bench
            .breaker
            .force_for(mode, Duration::from_secs(30), bench.now());
        let text = bench.explained();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn in_shadow_mode_the_state_is_what_it_would_do() {
    let mut bench = Bench::new(Policy::sensitive());
    bench.breaker.force(Mode::Shadow, bench.now());
    bench.run(25, 1);
    let text = bench.explained();
    let state = "pay is open: its requests would be rejected. ";
    assert!(text.starts_with(state), "{text}");
    assert!(text.contains("and rejects nothing."), "{text}");
}

#[test]
fn while_open_nothing_is_said_of_what_detectors_did_not_see() {
    let mut bench = Bench::new(Policy::adaptive());
    bench.run(600, NEVER);
    bench.run(200, 1);
    assert_eq!(bench.breaker.snapshot(bench.now()).state, State::Open);
    let text = bench.explained();
    assert!(
        text.contains("There is no evidence while it is open."),
        "{text}"
    );
    assert!(!text.contains("no more do now"), "{text}");
}

#[test]
fn one_of_two_conditions_is_enough_for_itself_and_the_entry_does_not_hold() {
    let mut bench = Bench::new(Policy::combined());
    bench.run(100, 2);
    let text = bench.explained();
    let wanted = "which is enough, and it is 40ms; that is 4% of the bound.";
    assert!(text.contains(wanted), "{text}");
    assert!(!text.contains("so this holds"), "{text}");
}

#[test]
fn how_many_failures_in_a_row_it_takes_is_said_once() {
    for policy in [
        Policy::sensitive(),
        Policy::conservative(),
        Policy::combined(),
        Policy::adaptive(),
    ] {
        for (requests, one_in) in [(0, NEVER), (5, NEVER), (30, 29), (300, 50), (1000, 100)] {
            let mut bench = Bench::new(policy.clone());
            bench.run(requests, one_in);
            let text = bench.explained();
            assert!(text.matches("in a row").count() <= 1, "{text}");
        }
    }
}

#[test]
fn what_did_not_count_is_told_by_who_caused_it() {
    let mut breaker = Breaker::new(Policy::adaptive(), 1, Timestamp::ZERO);
    for (times, by) in [(3, Attribution::Caller), (2, Attribution::Name)] {
        for _ in 0..times {
            let permit = breaker.try_acquire(Timestamp::ZERO).unwrap();
            let outcome = Outcome::ignored(MS).caused_by(by);
            breaker.record(permit, outcome, Timestamp::ZERO);
        }
    }
    let policy = breaker.policy().clone();
    let snapshot = breaker.snapshot(Timestamp::ZERO);
    let text = explain(
        "pay",
        &policy,
        &snapshot,
        &breaker.diagnosis(Timestamp::ZERO),
    );
    let expected = "5 requests since the start did not count: 3 because of the caller, \
                    2 because of a name that was not resolved.";
    assert!(text.contains(expected), "{text}");
}
