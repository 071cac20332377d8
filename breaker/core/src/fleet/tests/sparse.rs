//! Few requests, and messages that are lost.

use super::breakers::opened;
use super::*;

/// Eight instances, which have each learned from so many requests without a failure, with one
/// request a second in all. Returns after how many failures the fleet opens.
fn failures_to_open(learned: u32) -> u32 {
    let mut fleet = Fleet::with(aggregator(Policy::adaptive()), 8, 0.0, 1);
    let pass = |fleet: &mut Fleet, at: u64, index: Option<usize>, hits: u32| {
        let now = Timestamp::from_millis(at);
        fleet.seq += 1;
        for each in 0..8 {
            if index.is_some_and(|index| each != index) {
                continue;
            }
            let mut route = errors(u32::from(index.is_some()), hits);
            let of = &mut route.signals[Signal::Errors as usize];
            (of.normal, of.learned) = (100, Some(learned));
            let report = report(fleet.ids[each], fleet.seq, route);
            fleet.aggregator.report(now, &report).unwrap();
        }
        let verdict = fleet.aggregator.slice(now);
        let stage = verdict.and_then(|verdict| Some(verdict.routes.first()?.stage.clone()));
        matches!(stage, Some(Stage::Open { .. }))
    };
    for slice in 1..=120 {
        pass(&mut fleet, slice * 500, None, 0);
    }
    for failure in 1..=20 {
        // Each in the middle of a slice. It is over before the next slice ends.
        let at = 60_000 + u64::from(failure) * 1000;
        if pass(&mut fleet, at + 250, Some(failure as usize % 8), 1) {
            return failure;
        }
        assert!(
            !pass(&mut fleet, at + 500, None, 0),
            "{failure} at the end of a slice"
        );
        pass(&mut fleet, at + 1000, None, 0);
    }
    panic!("it does not open")
}

#[test]
fn four_failures_in_a_row_open_a_fleet_that_knows_next_to_none() {
    // Seven of eight have learned from 1,400 requests: less than 0.2 % of all fail.
    assert_eq!(failures_to_open(250), 4);
    // 700: less than 0.4 %.
    assert_eq!(failures_to_open(100), 5);
    // Who has not learned anything takes 1 % for normal, as it says.
    assert_eq!(failures_to_open(0), 5);
}

#[test]
fn requests_can_be_reported_before_their_turn() {
    let mut reporter = Reporter::default();
    let mut counts = FleetCounts::default();
    let at = |millis| Timestamp::from_millis(millis);
    assert!(reporter.report(0, &counts, true, at(500)).is_some());
    reporter.only_requests();
    assert_eq!(reporter.report(0, &counts, false, at(600)), None);
    // Whether one hits must not make a difference to when it is heard of.
    let mut early = |observations, hits, millis| {
        (counts.signals[0].observations, counts.signals[0].hits) = (observations, hits);
        reporter.only_requests();
        let report = reporter.report(0, &counts, false, at(millis));
        report.map(|report| (report.signals[0].observations, report.signals[0].hits))
    };
    assert_eq!(early(3, 0, 700), Some((3, 0)));
    assert_eq!(early(5, 1, 800), Some((2, 1)));
    assert_eq!(early(5, 1, 900), None);
    assert_eq!(reporter.since(Signal::Errors, at(0)), (5, 1));
    assert_eq!(reporter.report(0, &counts, false, at(1000)), None);
}

#[test]
fn what_was_learned_is_told_again_when_it_changes_or_after_half_a_minute() {
    let mut reporter = Reporter::default();
    let mut counts = FleetCounts::default();
    (counts.signals[0].learned, counts.signals[0].learned_hits) = (99.6, 1.2);
    let mut learned = |counts: &FleetCounts, all: bool| {
        let report = reporter.report(0, counts, all, Timestamp::ZERO);
        report.map_or((None, 0), |report| {
            (report.signals[0].learned, report.signals[0].learned_hits)
        })
    };
    assert_eq!(learned(&counts, true), (Some(100), 1));
    counts.signals[0].learned = 120.0;
    assert_eq!(learned(&counts, true), (None, 0));
    counts.signals[0].learned = 130.0;
    assert_eq!(learned(&counts, false), (None, 0));
    assert_eq!(learned(&counts, true), (Some(130), 1));
    let told = (1..).find(|_| learned(&counts, true).0.is_some());
    assert!(
        told.is_some_and(|times| (8..=16).contains(&times)),
        "{told:?}"
    );
    // A share was accepted: that does not wait for the next full report.
    (counts.signals[0].learned, counts.signals[0].learned_hits) = (0.0, 0.0);
    assert_eq!(learned(&counts, false), (Some(0), 0));
    assert_eq!(learned(&counts, true), (None, 0));
}

#[test]
fn the_bound_of_the_figures_is_what_docs_say() {
    // docs/fleet.md: three failures of a share of 0.2 % are evidence enough, and two never are.
    let line = crate::detector::line_of(Duration::from_secs(30 * 86_400), pooled::SLICE, 8);
    let (hit, _) = crate::detector::log_ratios(0.9, 2.0, 0.002);
    assert_eq!((line * 10.0).round(), 175.0);
    assert_eq!((hit * 10.0).round(), 61.0);
    assert_eq!((line / hit).ceil(), 3.0);
    let (hit, _) = crate::detector::log_ratios(0.9, 2.0, 0.01);
    assert_eq!((line / hit).ceil(), 4.0);
    let (hit, _) = crate::detector::log_ratios(0.9, 2.0, 0.02);
    assert_eq!((line / hit).ceil(), 5.0);
}

#[test]
fn who_missed_the_opening_opens_while_the_fleet_probes() {
    let mut mesh = opened(20);
    // Once it has opened again, it recovers and is all closed.
    mesh.until(600, |_| 0.0, |mesh| mesh.count(State::Closed) == 20);
    for _ in 0..240 {
        mesh.pass(|_| 0.0);
    }
    mesh.deaf = Some(4);
    mesh.until(20, |_| 1.0, |mesh| mesh.count(State::Closed) == 1);
    assert_eq!(mesh.breakers[4].state(), State::Closed);
    mesh.until(4, |_| 1.0, |mesh| mesh.count(State::Closed) == 0);
    assert!(mesh.breakers[4].is_led());
}
