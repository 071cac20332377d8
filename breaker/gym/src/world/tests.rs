use super::*;
use crate::scenario::find;
use crate::system::{self, Setup};
use crate::time::MILLI;
use crate::traffic::Traffic;

/// Runs a system through a scenario, and hands it each request that it decides on.
fn run(scenario: &Scenario, name: &str) -> Score {
    let setup = Setup {
        seed: scenario.seed,
        endpoints: scenario.endpoints,
        spans: scenario.spans,
    };
    let system = system::find(name).unwrap().build(&setup);
    let mut world = Simulation::new(scenario, system, false);
    Traffic::new(scenario).for_each(|request| world.arrive(&request));
    world.finish().0
}

#[test]
fn a_queue_that_nobody_relieves_makes_everything_late() {
    let scenario = find("S17").unwrap().build(1);
    let score = run(&scenario, "none");
    assert!(score.goodput < 0.02, "{score:?}");
    // After five minutes at thrice the capacity the queue is ten minutes long, and is worked off
    // though nobody waits.
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
fn a_rolling_restart_loses_no_request_where_what_was_not_sent_goes_elsewhere() {
    let mut scenario = find("S21").unwrap().build(1);
    // So fast, and without errors of its own, that only what is refused is lost.
    scenario.set_base(|base| (base.errors, base.tail, base.latency) = (0.0, 0.0, 0.1));
    assert_eq!(run(&scenario, "endpoints").goodput, 1.0);
    assert!(run(&scenario, "envoy-outlier").goodput < 1.0);
    let mut replaced = find("S22").unwrap().build(1);
    replaced.set_base(|base| (base.errors, base.tail, base.latency) = (0.0, 0.0, 0.1));
    let score = run(&replaced, "endpoints");
    assert_eq!((score.goodput, score.detect), (1.0, None));
}

#[test]
fn a_slow_endpoint_is_left_alone_and_none_is_ejected_where_all_fail_alike() {
    let slow = find("S19").unwrap().build(1);
    assert!(run(&slow, "none").goodput < 0.95);
    assert!(run(&slow, "endpoints").goodput > 0.985);
    let alike = find("S20").unwrap().build(1);
    // What is alerted is the route's rate of errors, as without endpoints.
    let (with, without) = (run(&alike, "endpoints"), run(&alike, "adaptive"));
    assert_eq!(with.detect, without.detect);
    assert!(with.goodput >= without.goodput);
}

#[test]
fn a_budget_of_retries_ends_a_retry_storm() {
    let scenario = find("S18").unwrap().build(1);
    let unlimited = run(&scenario, "none").lost_after;
    assert!(run(&scenario, "endpoints+retries").lost_after * 4 < unlimited);
}

#[test]
fn by_its_default_of_10_percent_envoy_ejects_none_of_five() {
    let scenario = find("S09").unwrap().build(1);
    let none = run(&scenario, "none").goodput;
    assert_eq!(run(&scenario, "envoy-outlier-10%").goodput, none);
}

#[test]
fn spans_tell_what_the_caller_is_not_told() {
    let scenario = find("S15").unwrap().build(1);
    let ours = run(&scenario, "sensitive");
    // A batch comes every five seconds.
    assert!(ours.detect.unwrap() < 7.0, "{ours:?}");
    assert_eq!(run(&scenario, "hystrix").detect, None);
}

#[test]
fn a_caller_that_leaves_a_hang_is_a_loss_and_one_that_leaves_a_good_service_is_none() {
    let hang = run(&find("S30a").unwrap().build(1), "none");
    assert_eq!(hang.goodput, 0.0);
    assert!(hang.bad_before_open > 24_000, "{hang:?}");
    let healthy = run(&find("S28").unwrap().build(1), "none");
    assert!(healthy.goodput > 0.995, "{healthy:?}");
}

#[test]
fn who_records_completed_calls_only_is_blind_to_a_hang_that_callers_leave() {
    let hang = find("S30a").unwrap().build(1);
    for blind in ["resilience4j", "linkerd-unified", "hystrix", "traefik"] {
        assert_eq!(run(&hang, blind).open, None, "{blind}");
    }
    // Envoy counts a stream that is destroyed without a head as a failure.
    assert!(run(&hang, "envoy-admission").open.is_some());
}

#[test]
fn a_stream_that_breaks_off_is_bad_though_its_head_was_good() {
    let breaks = find("S29b").unwrap().build(1);
    let none = run(&breaks, "none");
    assert!((0.45..0.55).contains(&none.goodput), "{none:?}");
    // Its command had returned at the head; who counts at the end sees it.
    assert_eq!(run(&breaks, "hystrix").detect, None);
    assert!(run(&breaks, "linkerd-unified").detect.is_some());
}

#[test]
fn nothing_arrives_in_silence() {
    let night = find("S27").unwrap().build(1);
    let hour = |request: &Request| request.at / (3600 * SECOND);
    let mut hours = [0_u32; 26];
    Traffic::new(&night).for_each(|request| hours[hour(&request) as usize] += 1);
    assert!(
        hours[..8]
            .iter()
            .all(|count| (35_000..37_000).contains(count))
    );
    assert!(hours[8..18].iter().all(|count| *count == 0));
    assert!(
        hours[18..]
            .iter()
            .all(|count| (35_000..37_000).contains(count))
    );
}

#[test]
fn a_regular_burst_has_its_number_of_requests() {
    let failures = |id| {
        let scenario = find(id).unwrap().build(1);
        let traffic = Traffic::new(&scenario);
        let from = scenario.duration - 3600 * SECOND;
        let of_burst = |at| from < at && at < from + 81 * MILLI;
        traffic
            .filter(|request| of_burst(request.at))
            .filter(|request| request.fate.fails)
            .count()
    };
    assert_eq!(failures("D4b"), 10);
}

#[test]
fn bursts_come_each_hour_and_one_fails_whole() {
    let scenario = find("S26").unwrap().build(1);
    let incident = scenario.incident.unwrap();
    let mut bursts = [(0_u32, 0_u32); 16];
    Traffic::new(&scenario).for_each(|request| {
        let burst = &mut bursts[(request.at / (3600 * SECOND)) as usize];
        burst.0 += 1;
        burst.1 += u32::from(request.fate.fails);
    });
    assert!(
        bursts.iter().all(|(count, _)| (60..250).contains(count)),
        "{bursts:?}"
    );
    let whole: Vec<_> = (0..16)
        .filter(|burst| bursts[*burst].0 == bursts[*burst].1)
        .collect();
    assert_eq!(whole, [(incident.from / (3600 * SECOND)) as usize]);
}
