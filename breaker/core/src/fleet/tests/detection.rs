//! How soon a pool sees what each instance alone would see late or never.

use super::*;

/// Seconds from the fault to the alarm, as the median of 20 runs.
fn median(instances: usize, most: u32, fails: impl Fn(usize) -> f64) -> f64 {
    let mut delays: Vec<_> = (1..=20)
        .map(|seed| delay(instances, seed, most, &fails))
        .collect();
    delays.sort_by(f64::total_cmp);
    f64::midpoint(delays[9], delays[10])
}

fn delay(instances: usize, seed: u64, most: u32, fails: &impl Fn(usize) -> f64) -> f64 {
    let mut fleet = Fleet::new(instances, 0.2, seed);
    fleet.warm_up();
    for slice in 1..=most {
        fleet.pass(fails);
        if fleet.has_alarm() {
            return f64::from(slice) / 2.0;
        }
    }
    f64::INFINITY
}

#[test]
fn a_total_outage_at_a_request_each_five_seconds_is_seen_in_seconds() {
    for (instances, expected) in [(10, 3.5), (50, 1.5), (200, 1.0)] {
        let seconds = median(instances, 60, |_| 1.0);
        assert!((seconds - expected).abs() <= 0.5, "{instances}: {seconds}");
    }
}

#[test]
fn a_fifth_of_failures_is_seen_by_ten_in_half_a_minute() {
    let seconds = median(10, 400, |_| 0.2);
    assert!((seconds - 30.0).abs() <= 10.0, "{seconds}");
    let seconds = median(200, 100, |_| 0.2);
    assert!((seconds - 8.0).abs() <= 2.0, "{seconds}");
}

#[test]
fn five_per_cent_of_failures_are_seen_by_two_hundred_in_half_a_minute() {
    let seconds = median(200, 400, |_| 0.05);
    assert!((seconds - 30.0).abs() <= 10.0, "{seconds}");
}

#[test]
fn three_dead_instances_of_ten_are_seen() {
    let seconds = median(10, 400, |index| if index < 3 { 1.0 } else { NORMAL });
    assert!((seconds - 29.0).abs() <= 12.0, "{seconds}");
}

#[test]
fn one_dead_instance_of_four_is_what_a_liar_would_be() {
    let seconds = median(4, 400, |index| if index == 0 { 1.0 } else { NORMAL });
    assert_eq!(seconds, f64::INFINITY);
}

#[test]
fn a_change_that_was_shorter_than_a_blip_does_not_open_by_waiting() {
    let blip = Duration::from_secs(3);
    let policy = crate::policy::Builder::from(Policy::adaptive()).blip(blip);
    let mut fleet = Fleet::with(aggregator(policy.build().unwrap()), 8, 0.2, 1);
    let opens = |fleet: &mut Fleet, hits| {
        fleet.pass_with(|_, _, _| errors(hits, hits));
        let mut events = fleet.events().into_iter();
        events.any(|event| matches!(event, FleetEvent::Opened { .. }))
    };
    fleet.warm_up();
    // All requests of a second fail, and then there are none: that is an alarm, but it may be over.
    for slice in 0..20 {
        assert!(!opens(&mut fleet, u32::from(slice < 2)), "{slice}");
    }
    assert!(fleet.has_alarm());
    assert!(opens(&mut fleet, 1));
}
