//! What a breaker does that follows another one.

use super::*;
use crate::breaker::Breaker;
use crate::event::Reason;
use crate::outcome::Outcome;
use crate::policy::{Condition, TripEntry};
use crate::ratio::Ratio;
use crate::source::SourceId;
use crate::state::Mode;

/// A breaker, and what the one says that it follows.
struct Follower {
    breaker: Breaker,
    reporter: Reporter,
    replica: Replica,
    said: Option<RouteVerdict>,
    slice: u64,
    sent: u32,
}

impl Follower {
    fn new(policy: Policy) -> Self {
        Self {
            breaker: Breaker::new(policy, 1, Timestamp::ZERO),
            reporter: Reporter::default(),
            replica: Replica::new(id(0)),
            said: None,
            slice: 0,
            sent: 0,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.slice * 500)
    }

    /// Half a second with so many requests, of which these fail, and a message of the brain.
    fn pass(&mut self, requests: u32, failures: u32) -> Result<FleetEffect, Ignored> {
        self.alone(requests, failures);
        let verdict = Verdict {
            judge: Judge::Brain,
            term: 1,
            seq: self.slice,
            settled: true,
            routes: self.said.clone().map(Arc::new).into_iter().collect(),
        };
        let now = self.now();
        let in_force = self.replica.verdict(now, now, &verdict)?;
        let instruction = in_force.of(&name("pay"), &self.reporter);
        self.breaker.follow_fleet(&instruction, now)
    }

    /// The same without a message.
    fn alone(&mut self, requests: u32, failures: u32) {
        self.slice += 1;
        let now = self.now();
        self.breaker.handle_timeout(now);
        for request in 0..requests {
            let Ok(permit) = self.breaker.try_acquire(now) else {
                continue;
            };
            self.sent += 1;
            let latency = Duration::from_millis(5);
            let outcome = match request < failures {
                true => Outcome::failure(latency),
                false => Outcome::success(latency),
            };
            self.breaker.record(permit, outcome, now);
        }
        let counts = self.breaker.fleet_counts(SourceId::PROXY, now);
        let _ = self.reporter.report(0, &counts, false, now);
    }

    fn state(&self) -> State {
        self.breaker.state()
    }

    /// Opened by the brain, at 5 s.
    fn opened() -> Self {
        let mut follower = Self::new(Policy::adaptive());
        for _ in 0..9 {
            assert_eq!(follower.pass(0, 0), Ok(FleetEffect::None));
        }
        follower.said = Some(open(5));
        assert_eq!(follower.pass(1, 1), Ok(FleetEffect::Opened));
        follower
    }
}

/// Nearly all requests fail since two seconds.
fn open(remaining: u64) -> RouteVerdict {
    RouteVerdict {
        name: name("pay"),
        stage: Stage::Open {
            remaining: Duration::from_secs(remaining),
        },
        signal: Signal::Errors,
        since: Duration::from_secs(2),
        numbers: Numbers {
            observations: 50,
            hits: 48,
            low: Ratio::of(85, 100),
            high: Ratio::of(99, 100),
            normal: Ratio::of(2, 100),
            evidence: 25.0,
            line: 24.0,
        },
        trial: ProbeReport::default(),
        reporting: 1,
        heard: 1,
    }
}

fn probing() -> RouteVerdict {
    RouteVerdict {
        stage: Stage::Probing {
            probers: Vec::new(),
        },
        ..open(0)
    }
}

#[test]
fn one_brain_opens_by_the_policy_of_the_follower_and_without_a_quorum() {
    let mut follower = Follower::opened();
    let snapshot = follower.breaker.snapshot(follower.now());
    assert!(snapshot.by_brain && snapshot.trip_numbers().is_none());
    let reason = snapshot.reason.to_string();
    assert!(reason.contains("(source brain)"), "{reason}");

    let mut weak = Follower::new(Policy::adaptive());
    weak.said = Some(open(5));
    if let Some(said) = &mut weak.said {
        said.numbers.low = Ratio::of(30, 100);
    }
    assert_eq!(weak.pass(1, 1), Err(Ignored::Weak));
    assert_eq!(weak.state(), State::Closed);
}

#[test]
fn the_share_that_opens_must_be_of_as_many_requests_as_the_follower_asks_for() {
    let open_on = |observations: u64, conditions: [Condition; 1]| {
        let policy = Policy::builder("half")
            .min_requests(100)
            .trip([TripEntry::open(conditions)])
            .build()
            .unwrap();
        let mut follower = Follower::new(policy);
        let mut said = open(5);
        (said.numbers.observations, said.numbers.hits) = (observations, observations);
        follower.said = Some(said);
        follower.pass(0, 0)
    };
    let half = Condition::ErrorRate(Ratio::of(1, 2));
    assert_eq!(open_on(5, [half]), Err(Ignored::Weak));
    assert_eq!(open_on(99, [half]), Err(Ignored::Weak));
    assert_eq!(open_on(100, [half]), Ok(FleetEffect::Opened));
    // An anomaly needs no number of requests.
    let anomaly = Condition::Anomaly {
        signal: Signal::Errors,
        at_least: Ratio::of(1, 2),
        blip: Duration::ZERO,
    };
    assert_eq!(open_on(5, [anomaly]), Ok(FleetEffect::Opened));
}

#[test]
fn good_requests_of_its_own_keep_it_closed() {
    let mut follower = Follower::new(Policy::adaptive());
    follower.said = None;
    for _ in 0..10 {
        let _ = follower.pass(10, 0);
    }
    // Also where the brain has seen enough in a moment in which not much ended here.
    for since in [250, 2000] {
        follower.said = Some(RouteVerdict {
            since: Duration::from_millis(since),
            ..open(5)
        });
        for _ in 0..20 {
            assert_eq!(follower.pass(10, 0), Err(Ignored::OwnEvidence));
        }
    }
    assert_eq!(follower.state(), State::Closed);
}

#[test]
fn it_stays_open_as_long_as_the_brain_is_and_then_tries_by_itself() {
    let mut follower = Follower::opened();
    let sent = follower.sent;
    for _ in 0..120 {
        assert_eq!(follower.pass(4, 0), Ok(FleetEffect::Led));
        assert_eq!(follower.state(), State::Open);
    }
    assert_eq!(follower.sent, sent, "a minute without a request");
    follower.said = Some(probing());
    let _ = follower.pass(4, 0);
    assert_eq!(follower.state(), State::HalfOpen);
    let until = (0..60).find(|_| {
        let _ = follower.pass(4, 0);
        follower.state() == State::Closed
    });
    assert!(until.is_some(), "by its own probes");
    // The brain still tries, and that does not open it again.
    for _ in 0..20 {
        assert_eq!(follower.pass(4, 0), Ok(FleetEffect::None));
    }
}

#[test]
fn a_brain_that_closes_closes_nothing() {
    let mut follower = Follower::opened();
    follower.said = None;
    for _ in 0..60 {
        let _ = follower.pass(4, 4);
        assert_ne!(follower.state(), State::Closed, "its own probes fail");
    }
}

#[test]
fn a_brain_that_opens_again_ends_a_trial_unless_that_goes_well() {
    for (good, opens) in [(0, true), (10, true), (22, false)] {
        let mut follower = Follower::opened();
        follower.said = Some(probing());
        let _ = follower.pass(0, 0);
        assert_eq!(follower.state(), State::HalfOpen);
        for _ in 0..good {
            let _ = follower.pass(1, 0);
        }
        assert_ne!(follower.state(), State::Open);
        // The request that failed before its trial does not count any more.
        follower.said = Some(RouteVerdict {
            since: Duration::from_secs(60),
            ..open(5)
        });
        let expected = match opens {
            true => Ok(FleetEffect::Opened),
            false => Err(Ignored::OwnEvidence),
        };
        assert_eq!(follower.pass(0, 0), expected, "after {good}");
        assert_eq!(follower.state() == State::Open, opens);
    }
}

#[test]
fn without_a_message_for_three_seconds_it_goes_on_by_itself() {
    let mut follower = Follower::opened();
    for _ in 0..5 {
        follower.alone(1, 0);
        assert!(follower.breaker.is_led());
    }
    follower.alone(1, 0);
    assert!(!follower.breaker.is_led());
    let reason = follower.breaker.snapshot(follower.now()).reason;
    assert_eq!(
        (follower.state(), &*reason),
        (State::Open, &Reason::BrainSilent)
    );
    let closed = (0..240).any(|_| {
        follower.alone(1, 0);
        follower.state() == State::Closed
    });
    assert!(closed, "by its own probes");
}

#[test]
fn what_it_has_against_the_upstream_itself_outlasts_the_brain() {
    let mut follower = Follower::new(Policy::adaptive());
    while follower.state() == State::Closed {
        follower.alone(10, 10);
        assert!(follower.slice < 100);
    }
    let now = follower.now();
    let own = follower.breaker.snapshot(now).open_remaining.unwrap();
    follower.said = Some(open(0));
    assert_eq!(follower.pass(0, 0), Ok(FleetEffect::Led));
    let held = follower.breaker.snapshot(now).open_remaining.unwrap();
    assert!(held + Duration::from_millis(501) >= own, "{held:?} {own:?}");
    follower.said = None;
    let _ = follower.pass(0, 0);
    assert_eq!(follower.state(), State::Open);
    let remaining = follower.breaker.snapshot(follower.now()).open_remaining;
    assert!(remaining.is_some_and(|remaining| remaining < own));
}

#[test]
fn local_modes_win() {
    let mut follower = Follower::new(Policy::adaptive());
    follower.breaker.force(Mode::ForcedClosed, Timestamp::ZERO);
    follower.said = Some(open(5));
    assert_eq!(follower.pass(1, 1), Err(Ignored::Forced));
    assert_eq!(follower.state(), State::Closed);
    follower.breaker.force(Mode::Shadow, follower.now());
    assert_eq!(follower.pass(1, 1), Ok(FleetEffect::Opened));
    let now = follower.now();
    assert!(follower.breaker.try_acquire(now).is_ok(), "it only reports");
}

#[test]
fn its_own_trip_has_numbers_that_others_can_follow() {
    for policy in [Policy::adaptive(), Policy::conservative()] {
        let mut breaker = Follower::new(policy);
        while breaker.state() == State::Closed {
            breaker.alone(10, 10);
            assert!(breaker.slice < 200);
        }
        let tell = |it: &mut Follower| it.breaker.snapshot(it.now()).trip_numbers().unwrap();
        let told = tell(&mut breaker);
        assert_eq!(told.signal, Signal::Errors);
        assert!(told.numbers.low.get() > 0.5, "{told:?}");
        assert_eq!(told.numbers.hits, told.numbers.observations);
        breaker.alone(0, 0);
        assert_eq!(
            tell(&mut breaker).since,
            told.since + Duration::from_millis(500)
        );

        // While a brain holds it open, it tells others nothing: two that follow each other would
        // hold each other open for ever.
        breaker.said = Some(open(5));
        assert_eq!(breaker.pass(0, 0), Ok(FleetEffect::Led));
        assert_eq!(breaker.breaker.snapshot(breaker.now()).trip_numbers(), None);
        breaker.said = None;
        let _ = breaker.pass(0, 0);
        assert!(
            breaker
                .breaker
                .snapshot(breaker.now())
                .trip_numbers()
                .is_some()
        );
    }
}
