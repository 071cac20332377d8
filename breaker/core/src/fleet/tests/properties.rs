//! What holds for any reports.

use proptest::prelude::*;

use super::*;
use crate::detector::shiryaev_roberts;
use crate::rng::Rng;

/// What an instance reports in a slice: requests, and how many of them fail.
fn counts() -> impl Strategy<Value = (u32, u32)> {
    let sick = (0..6_u32).prop_flat_map(|requests| (Just(requests), 0..=requests));
    prop_oneof![4 => (0..6_u32).prop_map(|requests| (requests, 0)), 1 => sick]
}

/// Slices of so many instances each.
fn history(instances: usize) -> impl Strategy<Value = Vec<Vec<(u32, u32)>>> {
    prop::collection::vec(prop::collection::vec(counts(), instances), 1..60)
}

fn play(
    aggregator: &mut Aggregator,
    slice: u64,
    reports: impl IntoIterator<Item = (usize, (u32, u32))>,
) {
    let now = Timestamp::from_millis((slice + 1) * 500);
    for (index, (requests, hits)) in reports {
        let report = report(id(index), slice + 1, errors(requests, hits));
        aggregator.report(now, &report).unwrap();
    }
    aggregator.slice(now);
}

/// Whether W without the largest has reached the line on some scale.
fn most_without_the_largest(aggregator: &Aggregator) -> f64 {
    let scales = aggregator.first().evidence().into_iter();
    scales
        .map(|(_, left, line)| left / line)
        .fold(f64::NEG_INFINITY, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_liar_never_raises_the_statistic_above_the_line_by_itself(
        lies in prop::collection::vec((0..10_000_u32, 0.0..=1.0_f64), 1..200),
        instances in 4..30_usize,
    ) {
        let mut aggregator = aggregator(errors_only());
        for (slice, (requests, share)) in lies.into_iter().enumerate() {
            let hits = (f64::from(requests) * share) as u32;
            let healthy = (1..instances).map(|index| (index, (1, 0)));
            let reports = healthy.chain([(0, (requests, hits))]);
            play(&mut aggregator, slice as u64, reports);
            prop_assert!(!aggregator.first().has_alarm());
            prop_assert!(most_without_the_largest(&aggregator) <= 0.0);
        }
    }

    #[test]
    fn a_liar_adds_nothing_to_what_the_others_show(
        slices in history(12),
        lies in prop::collection::vec(1..1000_u32, 60),
    ) {
        // Without the largest of thirteen there is no more than the statistic of Shiryaev and
        // Roberts of the twelve honest ones.
        let mut pooled = pooled::Pooled::new(Timestamp::ZERO);
        let mut parts = vec![pooled::Part::default(); 13];
        let rules = pooled::Rules {
            run_length: Duration::from_secs(30 * 86_400),
            detectors: 4,
            left_out: 1,
        };
        let mut honest = 0.0;
        for (slice, counts) in slices.iter().enumerate() {
            let now = Timestamp::from_millis((slice as u64 + 1) * 500);
            let lie = (lies[slice], lies[slice]);
            let all = counts.iter().copied().chain([lie]);
            for (part, (observations, hits)) in parts.iter_mut().zip(all) {
                part.count(&SignalReport { observations, hits, ..SignalReport::default() });
            }
            let mut named: Vec<_> = parts.iter_mut().enumerate().collect();
            pooled.end_slice(&mut named, slice as u64 + 1, &rules, now);
            let (_, left, line) = pooled.evidence()[0];
            let ratios = counts.iter().filter(|(observations, _)| *observations > 0);
            let ratios = ratios.map(|(observations, hits)| {
                let ratio = pooled::ratio(*observations, *hits, 0.02, 0.9);
                (f64::from(ratio) / pooled::UNIT).min(line * 0.4)
            });
            honest = shiryaev_roberts(honest, ratios.sum(), 1.0);
            prop_assert!(left <= honest + 1e-3, "{left} with a liar, {honest} without");
        }
    }

    #[test]
    fn the_order_of_reports_within_a_slice_makes_no_difference(
        slices in history(9),
        shuffle in any::<u64>(),
    ) {
        let mut one = aggregator(errors_only());
        let mut other = one.clone();
        let mut luck = Rng::new(shuffle);
        for (slice, counts) in slices.iter().enumerate() {
            let reports: Vec<_> = counts.iter().copied().enumerate().collect();
            let mut shuffled = reports.clone();
            shuffled.sort_by_cached_key(|_| (luck.unit() * 1e9) as u64);
            play(&mut one, slice as u64, reports);
            play(&mut other, slice as u64, shuffled);
            prop_assert_eq!(one.first().evidence(), other.first().evidence());
        }
    }

    #[test]
    fn a_replayed_report_changes_nothing(slices in history(6)) {
        let mut once = aggregator(errors_only());
        let mut twice = once.clone();
        for (slice, counts) in slices.iter().enumerate() {
            let now = Timestamp::from_millis((slice as u64 + 1) * 500);
            for (index, (requests, hits)) in counts.iter().enumerate() {
                let report = report(id(index), slice as u64 + 1, errors(*requests, *hits));
                once.report(now, &report).unwrap();
                twice.report(now, &report).unwrap();
                prop_assert_eq!(twice.report(now, &report), Err(Dropped::Replayed));
            }
            once.slice(now);
            twice.slice(now);
            prop_assert_eq!(once.first().evidence(), twice.first().evidence());
        }
    }
}

#[test]
fn loss_only_delays() {
    let delay = |lost: f64| {
        let delays = (1..=10).map(|seed| {
            let mut fleet = Fleet::new(50, 0.2, seed);
            fleet.warm_up();
            let slices = (1..).find(|_| {
                fleet.pass_with(|_, requests, luck| match luck.unit() < lost {
                    true => RouteReport::default(),
                    false => errors(requests, requests),
                });
                fleet.has_alarm()
            });
            slices.unwrap()
        });
        delays.sum::<u32>()
    };
    let (none, half, most) = (delay(0.0), delay(0.5), delay(0.9));
    assert!(
        none < half && half < most && most < 600,
        "{none} {half} {most}"
    );
}

#[test]
fn it_takes_more_than_f_instances() {
    // In fleets of 10, one may lie; in fleets of 100, two.
    for (instances, may_lie) in [(10, 1), (100, 2)] {
        let sees = |failing: usize| {
            let mut fleet = Fleet::new(instances, 20.0, 3);
            fleet.warm_up();
            (0..60).any(|_| {
                fleet.pass_with(|index, _, _| match index < failing {
                    true => errors(1000, 1000),
                    // The others are idle: they contradict nothing.
                    false => errors(0, 0),
                });
                fleet.has_alarm()
            })
        };
        assert!(!sees(may_lie), "{may_lie} of {instances}");
        assert!(sees(may_lie + 1), "{} of {instances}", may_lie + 1);
    }
}
