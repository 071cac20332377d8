//! How often a fleet is wrong where its budget allows 40 alarms.

use super::*;

/// False alarms of all scales within so many slices, by a detector whose budget is one each 250 s.
/// After each it starts again.
fn alarms(instances: usize, slices: u64, seed: u64, liar: bool) -> u64 {
    let mut luck = Rng::new(seed);
    let rules = pooled::Rules {
        run_length: Duration::from_secs(250),
        detectors: pooled::DETECTORS,
        left_out: 1,
    };
    let mut pooled = pooled::Pooled::new(Timestamp::ZERO);
    let mut parts = vec![pooled::Part::default(); instances];
    let mut alarms = 0;
    for slice in 1..=slices {
        for (index, part) in parts.iter_mut().enumerate() {
            part.learn(&SignalReport {
                normal: 150,
                ..SignalReport::default()
            });
            let observations = u32::from(luck.unit() < 0.1);
            let share = if liar && index == 0 { 1.0 } else { 0.015 };
            let hits = u32::from(luck.unit() < share).min(observations);
            part.count(&SignalReport {
                observations,
                hits,
                ..SignalReport::default()
            });
        }
        let mut all: Vec<_> = parts.iter_mut().enumerate().collect();
        pooled.end_slice(&mut all, slice, &rules, Timestamp::from_millis(slice * 500));
        if pooled.is_alarming() {
            alarms += 1;
            pooled.forget();
            parts.iter_mut().for_each(pooled::Part::forget_evidence);
        }
    }
    alarms
}

#[test]
fn healthy_fleets_and_those_with_one_liar_keep_the_budget() {
    // 10,000 s at one in 250 s: 40 are allowed.
    for instances in [4, 10, 50] {
        for liar in [false, true] {
            let alarms = alarms(instances, 20_000, 5, liar);
            assert!(alarms <= 40, "{instances}, {liar}: {alarms}");
        }
    }
}

#[test]
fn a_liar_does_not_hide_the_next_outage() {
    let mut fleet = Fleet::new(10, 0.2, 4);
    // For an hour one instance claims a thousand failures each half second, and the others are
    // well. It alone holds the sum above 0.
    for _ in 0..7200 {
        fleet.pass_with(|index, requests, _| match index {
            0 => errors(1000, 1000),
            _ => errors(requests, 0),
        });
        assert!(!fleet.has_alarm());
    }
    let seen = (1..=60).find(|_| {
        fleet.pass(|_| 1.0);
        fleet.has_alarm()
    });
    assert!(seen.is_some_and(|slices| slices <= 20), "{seen:?}");
}

#[test]
fn an_instance_that_stands_out_is_told_once_and_opens_nothing() {
    let mut fleet = Fleet::new(20, 2.0, 9);
    fleet.warm_up();
    fleet.events();
    for _ in 0..240 {
        fleet.pass(|index| if index == 7 { 1.0 } else { NORMAL });
    }
    let outliers: Vec<_> = fleet
        .events()
        .into_iter()
        .map(|event| match event {
            FleetEvent::ReplicaOutlier { instance, .. } => instance,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(outliers, [id(7)]);
}

#[test]
fn silence_is_no_evidence() {
    let mut fleet = Fleet::new(50, 0.2, 2);
    fleet.warm_up();
    fleet.pass(|_| 1.0);
    let before = fleet.aggregator.first().evidence()[0];
    for _ in 0..600 {
        fleet.pass_with(|_, _, _| RouteReport::default());
    }
    assert_eq!(fleet.aggregator.first().evidence()[0], before);
    assert!(!fleet.has_alarm());
}
