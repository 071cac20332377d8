use super::*;
use crate::scenario::find;
use crate::system::{self, Setup};
use crate::traffic::Traffic;

/// Runs a system through a scenario, and hands it each request that it decides on.
fn run(scenario: &Scenario, name: &str) -> Score {
    let setup = Setup {
        seed: scenario.seed,
        endpoints: scenario.endpoints,
        spans: scenario.spans,
    };
    let system = system::find(name).unwrap().build(&setup);
    let mut world = World::new(scenario, system, false);
    Traffic::new(scenario).for_each(|request| world.arrive(&request));
    world.finish().0
}

#[test]
fn a_queue_that_nobody_relieves_makes_everything_late() {
    let scenario = find("S17").unwrap().build(1);
    let score = run(&scenario, "none");
    assert!(score.goodput < 0.02, "{score:?}");
    // After five minutes at thrice the capacity the queue is ten minutes long, and is worked off though nobody waits.
    assert!(score.lost_after > 25_000, "{score:?}");
}

#[test]
fn a_service_that_stood_still_does_not_recover_by_itself() {
    let scenario = find("S13").unwrap().build(1);
    let score = run(&scenario, "none");
    assert!(score.lost_after > 25_000, "{score:?}");
    assert_eq!(score.closed_after, Some(0.0));
}

#[test]
fn retries_keep_an_overload_alive_that_has_lost_its_cause() {
    let mut scenario = find("S18").unwrap().build(1);
    let with_retries = run(&scenario, "none");
    scenario.retries = 0;
    let without = run(&scenario, "none");
    assert!(with_retries.lost_after > 2 * without.lost_after);
}

#[test]
fn a_dead_endpoint_fails_its_share_unless_it_is_ejected() {
    let scenario = find("S09").unwrap().build(1);
    let share = run(&scenario, "none").goodput;
    assert!((0.77..0.82).contains(&share), "{share}");
    assert!(run(&scenario, "envoy-outlier").goodput > 0.98);
}

#[test]
fn spans_tell_what_the_caller_is_not_told() {
    let scenario = find("S15").unwrap().build(1);
    let ours = run(&scenario, "sensitive");
    // A batch comes every five seconds.
    assert!(ours.detect.unwrap() < 7.0, "{ours:?}");
    assert_eq!(run(&scenario, "hystrix").detect, None);
}
