//! Other sets, other settings.

use super::*;
use crate::Ratio;

fn ids(ids: &[u64]) -> Vec<(EndpointId, u32)> {
    ids.iter().map(|id| (EndpointId(*id), 1)).collect()
}

#[test]
fn a_kept_id_keeps_its_state_and_one_that_comes_back_within_a_minute_gets_its_own() {
    let mut some = endpoints(5);
    run(&mut some, 0..20_000, 10, well);
    run(&mut some, 20_000..21_000, 10, dead(&[3]));
    some.replace(ids(&[9, 3, 4, 5, 6]), at(21_000));
    assert!(!some.is_in(EndpointId(3)));
    some.replace(ids(&[4, 5, 6, 9]), at(22_000));
    some.replace(ids(&[3, 4, 5, 6, 9]), at(81_000));
    assert!(!some.is_in(EndpointId(3)));
    some.replace(ids(&[4, 5, 6, 9]), at(82_000));
    some.replace(ids(&[3, 4, 5, 6, 9]), at(143_000));
    assert!(some.is_in(EndpointId(3)), "it was forgotten");
    assert_eq!(
        some.snapshot(at(143_000)).endpoints[0].totals,
        EndpointTotals::default()
    );
}

#[test]
fn an_attempt_belongs_to_the_endpoint_that_it_began_at() {
    let mut some = endpoints(2);
    let take = |some: &mut Endpoints, now| {
        let pick = some.pick(now, 1, |id| match id.0 {
            1 => Candidate::Tried,
            _ => Candidate::Fresh,
        });
        some.begin(pick.unwrap(), now)
    };
    let (kept, forgotten) = (take(&mut some, at(0)), take(&mut some, at(0)));
    let in_flight = |some: &Endpoints| some.load(EndpointId(2)).map(Load::in_flight);
    some.replace(ids(&[1, 7]), at(1000));
    some.end(kept, Outcome::success(ms(1)), at(2000));
    some.replace(ids(&[0, 1, 2, 7]), at(3000));
    assert_eq!(in_flight(&some), Some(1));
    some.replace(ids(&[1, 7]), at(4000));
    some.replace(ids(&[1, 2, 7]), at(70_000));
    assert_eq!(in_flight(&some), Some(0));
    some.end(forgotten, Outcome::success(ms(1)), at(71_000));
    assert_eq!(in_flight(&some), Some(0));
    assert_eq!(some.snapshot(at(71_000)).endpoints[1].totals.success, 0);
}

#[test]
fn duplicates_and_more_than_1024_are_left_out() {
    let mut some = endpoints(0);
    let twice = [(EndpointId(5), 3), (EndpointId(4), 0), (EndpointId(5), 9)];
    some.replace(twice, at(0));
    let weights: Vec<_> = some
        .snapshot(at(0))
        .endpoints
        .iter()
        .map(|one| one.weight)
        .collect();
    assert_eq!(
        (some.ids().to_vec(), weights),
        (vec![EndpointId(4), EndpointId(5)], vec![1, 3])
    );
    some.replace((0..5000).rev().map(|id| (EndpointId(id), 1)), at(0));
    assert_eq!(
        (some.len(), some.ids()[0]),
        (MAX_ENDPOINTS, EndpointId(3976))
    );
    some.replace([], at(1));
    assert!(some.is_empty() && some.pick(at(1), 1, |_| Candidate::Fresh).is_none());
}

#[test]
fn with_fewer_endpoints_the_least_bad_of_those_out_comes_in() {
    let mut some = endpoints(4);
    run(&mut some, 0..30_000, 10, well);
    let mut luck = Rng::new(1);
    let events = run(&mut some, 30_000..45_000, 10, |id, now| match id {
        1 if now > 40_000 => Ends::Badly,
        2 if luck.unit() < 0.4 => Ends::Badly,
        _ => Ends::Well,
    });
    let out: Vec<_> = words(&events)
        .into_iter()
        .filter(|word| word.contains("out"))
        .collect();
    assert!(out.contains(&"1 out: errors".to_owned()), "{out:?}");
    if some.is_in(EndpointId(2)) {
        return;
    }
    some.replace(ids(&[1, 2, 3]), at(45_000));
    assert!(some.is_in(EndpointId(2)) && !some.is_in(EndpointId(1)));
}

#[test]
fn other_settings_are_in_force_at_once() {
    let mut some = endpoints(4);
    run(&mut some, 0..20_000, 10, well);
    run(&mut some, 20_000..21_000, 10, dead(&[2]));
    let until = |some: &Endpoints| some.snapshot(at(21_000)).endpoints[1].out_until.unwrap();
    let before = until(&some);
    let mut settings = EndpointSettings::default();
    settings.open.period = ms(10_000);
    some.set_settings(settings.clone(), at(21_000)).unwrap();
    let after = until(&some).saturating_since(at(20_000)).as_secs_f64();
    let before = before.saturating_since(at(20_000)).as_secs_f64();
    assert!((1.7..2.0).contains(&(after / before)), "{before} {after}");
    settings.probes = 0;
    assert!(some.set_settings(settings.clone(), at(21_000)).is_err());
    assert_eq!(some.settings().probes, 2);
    settings.probes = 1;
    settings.eject = false;
    some.set_settings(settings, at(21_500)).unwrap();
    assert!(some.is_in(EndpointId(2)));
    told(&mut some);
    assert_eq!(run(&mut some, 22_000..60_000, 10, dead(&[2])), []);
}

#[test]
fn an_endpoint_costs_at_most_2_kib() {
    for count in [2, 64, 1024] {
        let mut some = endpoints(count);
        run(&mut some, 0..3_000, 1, dead(&[1]));
        let bytes = some.snapshot(at(3_000)).bytes - size_of::<Endpoints>();
        assert!(bytes <= 2048 * count as usize, "{count}: {bytes}");
        // Those that left a moment ago are remembered for a minute, without their detectors.
        some.replace(
            (5000..5000 + count).map(|id| (EndpointId(id), 1)),
            at(3_000),
        );
        let bytes = some.snapshot(at(3_000)).bytes - size_of::<Endpoints>();
        assert!(bytes <= (2048 + 512) * count as usize, "{count}: {bytes}");
        some.handle_timeout(at(64_000));
        let bytes = some.snapshot(at(64_000)).bytes - size_of::<Endpoints>();
        assert!(bytes <= 2048 * count as usize, "{count}: {bytes}");
    }
    assert!(size_of::<Endpoints>() <= 2048, "{}", size_of::<Endpoints>());
}

#[test]
fn equal_inputs_give_equal_outputs() {
    let play = || {
        let mut some = endpoints(5);
        let mut events = run(&mut some, 0..20_000, 10, well);
        events.extend(run(&mut some, 20_000..50_000, 10, dead(&[3])));
        (events, some.snapshot(at(50_000)))
    };
    assert_eq!(play(), play());
    assert!(Ratio::ONE > Ratio::ZERO);
}
