//! Who gets an attempt.

use std::collections::BTreeMap;

use super::*;

/// Who gets how many of 10,000 attempts at `now`, each of which ends at once.
fn shares(endpoints: &Endpoints, now: Timestamp) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for random in 0..10_000 {
        let pick = endpoints.pick(now, random, |_| Candidate::Fresh).unwrap();
        *counts.entry(pick.id().0).or_default() += 1;
    }
    counts
}

#[test]
fn equal_endpoints_get_equal_shares_and_weights_are_heeded() {
    let equal = endpoints(5);
    assert!(
        shares(&equal, at(0))
            .values()
            .all(|count| (1800..2200).contains(count))
    );
    let mut weighted = endpoints(0);
    let set = [(EndpointId(1), 1), (EndpointId(2), 2), (EndpointId(3), 7)];
    weighted.replace(set, at(0));
    let counts = shares(&weighted, at(0));
    assert!((800..1200).contains(&counts[&1]), "{counts:?}");
    assert!((1700..2300).contains(&counts[&2]), "{counts:?}");
}

#[test]
fn the_one_with_less_load_of_two_is_picked() {
    let mut two = endpoints(2);
    let pick = two.pick(at(0), 1, |id| match id.0 {
        1 => Candidate::Tried,
        _ => Candidate::Fresh,
    });
    let _busy = two.begin(pick.unwrap(), at(0));
    assert_eq!(shares(&two, at(0)).get(&2), None);
}

#[test]
fn an_idle_connection_decides_between_those_that_are_alike_seven_times_of_eight() {
    let two = endpoints(2);
    let picks = (0..10_000).filter(|random| {
        let pick = two.pick(at(0), *random, |id| match id.0 {
            2 => Candidate::Idle,
            _ => Candidate::Fresh,
        });
        pick.unwrap().id() == EndpointId(2)
    });
    // The draw is even when the connection does not decide.
    let picks = picks.count();
    assert!((9250..9500).contains(&picks), "{picks}");
}

#[test]
fn one_caller_that_keeps_its_connections_uses_all_endpoints() {
    for number in 2..=5 {
        let mut endpoints = endpoints(number);
        let mut counts = BTreeMap::new();
        for random in 0..2000 {
            let now = at(random * 10);
            let known = |id: EndpointId| match counts.contains_key(&id.0) {
                true => Candidate::Idle,
                false => Candidate::Fresh,
            };
            let pick = endpoints.pick(now, random, known).unwrap();
            *counts.entry(pick.id().0).or_insert(0) += 1;
            let attempt = endpoints.begin(pick, now);
            endpoints.end(attempt, Outcome::success(ms(2)), now + ms(2));
        }
        let least = counts.values().min().copied().unwrap_or(0);
        assert_eq!(counts.len() as u64, number, "{counts:?}");
        assert!(least >= 2000 / number * 7 / 10, "{counts:?}");
    }
}

#[test]
fn what_was_tried_is_not_picked_again() {
    let five = endpoints(5);
    for random in 0..1000 {
        let pick = five.pick(at(0), random, |id| match id.0 {
            4 => Candidate::Fresh,
            _ => Candidate::Tried,
        });
        assert_eq!(pick.unwrap().id(), EndpointId(4));
        assert_eq!(five.pick(at(0), random, |_| Candidate::Tried), None);
    }
    assert_eq!(endpoints(0).pick(at(0), 1, |_| Candidate::Fresh), None);
}

#[test]
fn round_robin_goes_round_and_by_weight() {
    let settings = EndpointSettings {
        balance: Balance::RoundRobin,
        ..EndpointSettings::default()
    };
    let mut three = with(settings, 3);
    let mut order = Vec::new();
    run(&mut three, 0..60, 10, |id, _| {
        order.push(id);
        Ends::Well
    });
    assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    three.replace([(EndpointId(1), 1), (EndpointId(2), 3)], at(100));
    let mut counts = [0; 2];
    run(&mut three, 100..4100, 10, |id, _| {
        counts[id as usize - 1] += 1;
        Ends::Well
    });
    assert!((95..=105).contains(&counts[0]), "{counts:?}");
}

#[test]
fn one_that_fails_fast_attracts_nothing() {
    let settings = EndpointSettings {
        eject: false,
        ..EndpointSettings::default()
    };
    let mut five = with(settings, 5);
    run(&mut five, 0..10_000, 10, well);
    let mut failed = 0;
    run(&mut five, 10_000..20_000, 10, |id, _| {
        if id == 1 {
            failed += 1;
            return Ends::Badly;
        }
        Ends::Well
    });
    assert!(failed < 100, "{failed} of 1000");
}

#[test]
fn one_that_came_in_gets_a_tenth_at_first_and_all_after_ten_seconds() {
    let mut five = endpoints(5);
    five.eject(EndpointId(1), ms(1000), at(0));
    five.handle_timeout(at(1000));
    let share = |endpoints: &Endpoints, now| shares(endpoints, now).get(&1).copied().unwrap_or(0);
    let first = share(&five, at(1000));
    assert!((100..400).contains(&first), "{first}");
    let half = share(&five, at(6000));
    assert!((900..1500).contains(&half), "{half}");
    assert!((1800..2200).contains(&share(&five, at(11_000))));
}

#[test]
fn a_new_one_gets_a_small_share_only_beside_three_others() {
    let grown = |before: u64| {
        let mut some = endpoints(before);
        some.replace((1..=before + 1).map(|id| (EndpointId(id), 1)), at(1000));
        some.snapshot(at(1000)).endpoints[before as usize]
            .grown
            .get()
    };
    assert_eq!((grown(2), grown(0)), (1.0, 1.0));
    assert!((grown(3) - 0.1).abs() < 1e-6);
}

#[test]
fn a_certain_one_is_a_probe_only_if_it_is_due() {
    let mut three = endpoints(3);
    run(&mut three, 0..20_000, 10, well);
    run(&mut three, 20_000..21_000, 10, dead(&[2]));
    let at_two = |now| three.at(EndpointId(2), at(now)).map(|pick| pick.is_probe());
    assert_eq!((at_two(22_000), at_two(30_000)), (Some(false), Some(true)));
    assert_eq!(
        three
            .at(EndpointId(1), at(30_000))
            .map(|pick| pick.is_probe()),
        Some(false)
    );
    assert_eq!(three.at(EndpointId(9), at(30_000)), None);
}

#[test]
fn if_all_are_out_those_that_operators_ejected_are_the_last_choice() {
    let mut three = endpoints(3);
    for id in [1, 3] {
        three.eject(EndpointId(id), ms(1000), at(0));
    }
    for _ in 0..3 {
        three.checked(EndpointId(2), false, at(1));
    }
    for random in 0..100 {
        let pick = three.pick(at(2), random, |_| Candidate::Fresh).unwrap();
        assert_eq!(pick.id(), EndpointId(2));
    }
}
