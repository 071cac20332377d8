//! Which verdicts are followed, and why the others are not.

use super::*;
use crate::breaker::Breaker;
use crate::ratio::Ratio;

fn share(percent: u64) -> Ratio {
    Ratio::of(percent, 100)
}

fn open_verdict() -> RouteVerdict {
    RouteVerdict {
        name: name("pay"),
        stage: Stage::Open {
            remaining: Duration::from_secs(1),
        },
        signal: Signal::Errors,
        since: Duration::from_secs(2),
        numbers: Numbers {
            observations: 50,
            hits: 48,
            low: share(85),
            high: share(99),
            normal: share(2),
            evidence: 25.0,
            line: 24.0,
        },
        trial: ProbeReport::default(),
        reporting: 20,
        heard: 22,
    }
}

fn verdict(term: u64, seq: u64, route: RouteVerdict) -> Verdict {
    Verdict {
        judge: Judge::Fleet,
        term,
        seq,
        settled: true,
        routes: vec![Arc::new(route)],
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// What a closed breaker does on a verdict.
fn follows(route: RouteVerdict) -> Result<FleetEffect, Ignored> {
    let mut breaker = Breaker::new(Policy::adaptive(), 1, at(0));
    let mut replica = Replica::new(id(0));
    let verdict = verdict(1, 1, route);
    let in_force = replica.verdict(at(10_000), at(10_000), &verdict)?;
    breaker.follow_fleet(&in_force.of(&name("pay"), &Reporter::default()), at(10_000))
}

#[test]
fn older_terms_replays_and_stale_verdicts_are_ignored() {
    let mut replica = Replica::new(id(0));
    let of = |term, seq| verdict(term, seq, open_verdict());
    assert!(replica.verdict(at(0), at(0), &of(2, 5)).is_ok());
    let mut hear =
        |now, received, verdict: &Verdict| replica.verdict(at(now), at(received), verdict).err();
    assert_eq!(hear(100, 100, &of(1, 9)), Some(Ignored::OldTerm));
    assert_eq!(hear(100, 100, &of(2, 5)), Some(Ignored::Replayed));
    assert_eq!(hear(100, 100, &of(2, 4)), Some(Ignored::Replayed));
    assert_eq!(hear(4_000, 999, &of(2, 6)), Some(Ignored::Stale));
    assert_eq!(hear(4_000, 1_000, &of(2, 6)), None);
    assert_eq!(hear(4_100, 4_100, &of(3, 1)), None);
    assert_eq!(replica.age(at(5_100)), Some(Duration::from_secs(1)));
    assert_eq!(replica.term(), Some(3));
}

#[test]
fn it_takes_a_quorum_and_a_share_as_large_as_the_policy_asks_for() {
    assert_eq!(follows(open_verdict()), Ok(FleetEffect::Opened));
    let of = |reporting, heard| {
        follows(RouteVerdict {
            reporting,
            heard,
            ..open_verdict()
        })
    };
    assert_eq!(of(3, 3), Err(Ignored::Quorum));
    assert_eq!(of(4, 8), Ok(FleetEffect::Opened));
    assert_eq!(of(4, 9), Err(Ignored::Quorum));
    let mut weak = open_verdict();
    weak.numbers.low = share(39);
    assert_eq!(follows(weak.clone()), Err(Ignored::Weak));
    weak.numbers.low = share(40);
    assert_eq!(follows(weak), Ok(FleetEffect::Opened));
}

#[test]
fn twenty_own_requests_that_go_well_contradict_the_fleet() {
    for (requests, since, expected) in [
        (20, 5, Err(Ignored::OwnEvidence)),
        (19, 5, Ok(FleetEffect::Opened)),
        // They were before the change.
        (200, 1, Ok(FleetEffect::Opened)),
    ] {
        let mut breaker = Breaker::new(Policy::adaptive(), 1, at(0));
        let mut own = Reporter::default();
        let mut counts = FleetCounts::default();
        own.report(0, &counts, false, at(6_000));
        counts.signals[0].observations = requests;
        own.report(0, &counts, false, at(6_500));
        let mut replica = Replica::new(id(0));
        let verdict = verdict(
            1,
            1,
            RouteVerdict {
                since: Duration::from_secs(since),
                ..open_verdict()
            },
        );
        let in_force = replica.verdict(at(10_000), at(10_000), &verdict).unwrap();
        let effect = breaker.follow_fleet(&in_force.of(&name("pay"), &own), at(10_000));
        assert_eq!(effect, expected, "{requests} since {since} s");
    }
}

#[test]
fn reports_are_differences_and_silent_where_nothing_happened() {
    let mut reporter = Reporter::default();
    let mut counts = FleetCounts::default();
    counts.signals[0].normal = 0.015;
    let first = reporter.report(3, &counts, false, at(500)).unwrap();
    assert_eq!((first.route, first.signals[0].normal), (3, 150));
    assert_eq!(reporter.report(3, &counts, false, at(1_000)), None);
    counts.signals[0].observations = 7;
    counts.signals[0].hits = 2;
    counts.arrivals = 9;
    let next = reporter.report(3, &counts, false, at(1_500)).unwrap();
    assert_eq!(next.arrivals, 9);
    let expected = SignalReport {
        observations: 7,
        hits: 2,
        ..SignalReport::default()
    };
    assert_eq!(next.signals[0], expected);
    let all = reporter.report(3, &counts, true, at(2_000)).unwrap();
    assert_eq!(all.signals[0].normal, 150);
    counts.state = State::Open;
    assert!(reporter.report(3, &counts, false, at(2_500)).is_some());
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let mut names = Ignored::ALL.map(Ignored::name).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Ignored::ALL.len());
}
