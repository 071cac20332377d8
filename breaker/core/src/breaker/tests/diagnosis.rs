//! How far a breaker is from opening.

use super::*;
use crate::snapshot::ConditionStatus;

fn diagnosis(bench: &Bench) -> (Vec<ConditionStatus>, Option<u64>) {
    let mut diagnosis = bench.breaker.diagnosis(at(bench.now));
    let snapshot = bench.breaker.clone().snapshot(at(bench.now));
    let conditions = snapshot.sources[0].conditions.clone();
    (conditions, diagnosis.sources.remove(0).failures_to_open)
}

#[test]
fn the_failures_that_a_diagnosis_tells_open_the_breaker() {
    for policy in [sensitive(), Policy::conservative(), Policy::adaptive()] {
        let mut bench = Bench::new(policy);
        for _ in 0..1000 {
            bench.pass(0.1);
            bench.run(1, Outcome::success(ms(5)));
        }
        let (_, failures) = diagnosis(&bench);
        let failures = failures.expect("it opens when all fails");
        for done in 0..failures {
            let policy = bench.breaker.policy().name();
            assert_eq!(bench.state(), State::Closed, "{policy} after {done}");
            bench.pass(0.1);
            bench.run(1, Outcome::failure(Duration::ZERO));
        }
        assert_eq!(bench.state(), State::Open, "after {failures}");
        assert_eq!(diagnosis(&bench).1, None, "it is open");
    }
}

#[test]
fn a_diagnosis_changes_nothing() {
    let mut bench = Bench::new(sensitive());
    bench.run(10, Outcome::success(ms(5)));
    let totals = bench.snapshot().totals;
    bench.breaker.diagnosis(at(bench.now));
    assert_eq!(bench.snapshot().totals, totals);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn conditions_stand_with_their_numbers() {
    let mut bench = Bench::new(sensitive());
    bench.run(9, Outcome::success(ms(500)));
    bench.run(1, Outcome::failure(ms(500)));
    let (conditions, failures) = diagnosis(&bench);
    let [errors, slow, p99] = &conditions[..] else {
        panic!("{conditions:?}")
    };
    assert_eq!((errors.observed, errors.samples), (Some(0.1), 10));
    assert!(!errors.holds, "10 requests of 20");
    assert_eq!(errors.min_requests, 20);
    assert_eq!((slow.observed, slow.entry), (Some(0.0), 1));
    assert!(p99.observed.is_some_and(|p99| (0.49..0.52).contains(&p99)));
    assert_eq!(failures, Some(10), "those that make it 20");
}

#[test]
fn where_nothing_is_observed_nothing_stands() {
    let bench = Bench::new(sensitive());
    let (conditions, failures) = diagnosis(&bench);
    assert!(
        conditions
            .iter()
            .all(|standing| standing.observed.is_none())
    );
    assert_eq!(
        failures, None,
        "one a second never is 20 requests in 10 seconds"
    );
}

#[test]
fn a_feed_has_a_diagnosis_of_its_own() {
    let mut bench = Bench::new(sensitive());
    let feed = bench.breaker.add_feed(Feed::new("ledger"));
    bench.pass(20.0);
    bench.tell(feed, 30, Outcome::success(ms(5)));
    let diagnosis = bench.breaker.diagnosis(at(bench.now));
    let ledger = &diagnosis.sources[1];
    assert_eq!((&*ledger.name, ledger.rate), ("ledger", 3.0));
    assert_eq!(ledger.failures_to_open, Some(3), "3 of 33");
}

#[test]
fn a_feed_keeps_its_diagnosis_when_one_before_it_is_gone() {
    let mut bench = Bench::new(sensitive());
    let ids = bench
        .breaker
        .set_feeds([Feed::new("database"), Feed::new("ledger")], at(0.0));
    bench.breaker.set_feeds([Feed::new("ledger")], at(0.0));
    bench.pass(20.0);
    bench.tell(ids[1], 30, Outcome::success(ms(5)));
    let diagnosis = bench.breaker.diagnosis(at(bench.now));
    let names: Vec<_> = diagnosis
        .sources
        .iter()
        .map(|source| &*source.name)
        .collect();
    assert_eq!(names, ["proxy", "ledger"]);
    assert_eq!(diagnosis.sources[1].failures_to_open, Some(3), "3 of 33");
}
