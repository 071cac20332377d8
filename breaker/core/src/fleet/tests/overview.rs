//! What the aggregator can tell of the whole fleet.

use super::*;

#[test]
fn a_quiet_fleet_is_told_with_its_traffic_and_its_members() {
    let mut fleet = Fleet::new(10, 0.2, 5);
    fleet.warm_up();
    let overview = fleet.aggregator.overview(fleet.now());
    assert_eq!((overview.term, overview.members.len()), (1, 10));
    for (member, id) in overview.members.iter().zip(&fleet.ids) {
        assert_eq!(
            (member.instance, member.host.as_deref()),
            (*id, Some("web"))
        );
        assert_eq!((member.silent, member.newborn), Default::default());
        assert_eq!((member.not_closed, member.outlier), (0, 0));
    }
    let [route] = &overview.routes[..] else {
        panic!("{overview:?}")
    };
    assert_eq!((&route.name, &route.verdict), (&name("pay"), &None));
    assert_eq!((route.reporting, route.heard), (10, 10));
    // 10 × 0.2 requests a second.
    assert!((1.0..3.0).contains(&route.rate), "{}", route.rate);
    let [errors] = &route.signals[..] else {
        panic!("{route:?}")
    };
    assert!((35..85).contains(&errors.observations), "{errors:?}");
    assert!((errors.normal.get() - 0.015).abs() < 1e-9);
    assert!(
        errors.evidence < errors.line && errors.line > 10.0,
        "{errors:?}"
    );
}

#[test]
fn an_outage_is_told_with_its_evidence_and_what_the_breakers_do() {
    let mut fleet = Fleet::new(10, 0.2, 5);
    fleet.warm_up();
    for _ in 0..40 {
        fleet.pass_with(|_, requests, _| RouteReport {
            state: State::Open,
            led: true,
            ..errors(requests, requests)
        });
    }
    let overview = fleet.aggregator.overview(fleet.now());
    let route = &overview.routes[0];
    assert_eq!((route.not_closed, route.led), (10, 10));
    let verdict = route.verdict.as_ref().unwrap();
    assert_ne!(verdict.stage, Stage::Alarm);
    let errors = &route.signals[0];
    assert!(errors.hits * 2 > errors.observations, "{errors:?}");
    assert!(overview.members.iter().all(|member| member.not_closed == 1));
}

#[test]
fn who_sees_what_the_others_dont_is_told_and_so_is_who_is_new() {
    let mut fleet = Fleet::new(10, 1.0, 5);
    fleet.warm_up();
    for _ in 0..240 {
        fleet.pass(|index| if index == 3 { 1.0 } else { NORMAL });
    }
    let young = Report {
        age: Duration::from_secs(10),
        host: None,
        ..report(id(77), 1, errors(1, 0))
    };
    fleet.aggregator.report(fleet.now(), &young).unwrap();
    let overview = fleet.aggregator.overview(fleet.now());
    let outliers: Vec<_> = overview
        .members
        .iter()
        .filter(|member| member.outlier > 0)
        .collect();
    assert_eq!(outliers.len(), 1, "{outliers:?}");
    assert_eq!(outliers[0].instance, fleet.ids[3]);
    let young = overview.members.last().unwrap();
    assert_eq!((young.instance, &young.host), (id(77), &None));
    assert_eq!(young.newborn, Duration::from_secs(50));
    // It does not count, so it is not among those that were heard.
    assert_eq!(overview.routes[0].heard, 10);
}
