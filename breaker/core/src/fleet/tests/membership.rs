//! Who counts: bounded, not the newborn, each once, by name.

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn a_million_ids_are_bounded_and_evicted_after_a_minute() {
    let mut aggregator = aggregator(errors_only());
    let mut full = 0;
    for index in 0..1_000_000 {
        let report = report(id(index), 1, errors(1, 1));
        full += u32::from(aggregator.report(at(1), &report) == Err(Dropped::Full));
    }
    assert_eq!((aggregator.members(), full), (1000, 999_000));
    assert!(aggregator.bytes() < 1 << 20, "{}", aggregator.bytes());
    aggregator.slice(at(59_000));
    assert_eq!(aggregator.members(), 1000);
    aggregator.slice(at(61_000));
    assert_eq!(aggregator.members(), 0);
    let report = report(id(2_000_000), 1, errors(1, 0));
    assert_eq!(aggregator.report(at(61_500), &report), Ok(()));
}

#[test]
fn five_hundred_members_with_a_hundred_routes_take_less_than_sixteen_mebibytes() {
    let routes: Vec<_> = (0..100).map(|route| name(&format!("r{route}"))).collect();
    let made = routes
        .iter()
        .map(|name| FleetRoute::new(name.clone(), Policy::adaptive()));
    let settings = AggregatorSettings::default();
    let mut aggregator = Aggregator::new(1, &settings, made, 1, at(0)).unwrap();
    let names: Arc<[RouteName]> = routes.into();
    for index in 0..500 {
        let route = |route| RouteReport {
            route,
            ..errors(2, 0)
        };
        let report = Report {
            names: Some(names.clone()),
            routes: (0..100).map(route).collect(),
            ..report(id(index), 1, errors(0, 0))
        };
        aggregator.report(at(1), &report).unwrap();
    }
    aggregator.slice(at(500));
    let mebibytes = aggregator.bytes() as f64 / f64::from(1 << 20);
    assert!(mebibytes <= 16.0, "{mebibytes}");
}

#[test]
fn the_newborn_report_and_do_not_count() {
    let mut aggregator = aggregator(errors_only());
    for slice in 1..=200_u64 {
        for index in 0..20 {
            let report = Report {
                age: Duration::from_millis(slice * 500),
                ..report(id(index), slice, errors(1, 1))
            };
            aggregator.report(at(slice * 500), &report).unwrap();
        }
        aggregator.slice(at(slice * 500));
        let opened = aggregator.poll_event().is_some();
        // From a minute on they count, and two slices are enough.
        assert_eq!(opened, slice == 121, "{slice}");
        if opened {
            return;
        }
    }
}

#[test]
fn a_boot_that_goes_back_and_more_hits_than_requests_are_dropped() {
    let mut aggregator = aggregator(errors_only());
    let of_boot = |boot, seq| Report {
        boot,
        ..report(id(0), seq, errors(1, 0))
    };
    assert_eq!(aggregator.report(at(1), &of_boot(2, 5)), Ok(()));
    assert_eq!(
        aggregator.report(at(2), &of_boot(1, 9)),
        Err(Dropped::Replayed)
    );
    assert_eq!(aggregator.report(at(3), &of_boot(3, 1)), Ok(()));
    let lie = report(id(1), 1, errors(1, 2));
    assert_eq!(aggregator.report(at(4), &lie), Err(Dropped::Invalid));
    assert_eq!(aggregator.members(), 1);
}

#[test]
fn other_configurations_count_by_the_names_of_their_routes() {
    let routes = ["pay", "cart"].map(|route| FleetRoute::new(name(route), errors_only()));
    let settings = AggregatorSettings::default();
    let mut aggregator = Aggregator::new(1, &settings, routes, 1, at(0)).unwrap();
    for slice in 1..=20_u64 {
        for index in 0..20 {
            // Half of them have the routes the other way round, and one that nobody knows.
            let other = index % 2 == 1;
            let names: Vec<_> = match other {
                false => vec![name("pay"), name("cart")],
                true => vec![name("unknown"), name("cart"), name("pay")],
            };
            let pay = RouteReport {
                route: if other { 2 } else { 0 },
                ..errors(1, 1)
            };
            let cart = RouteReport {
                route: 1,
                ..errors(1, 0)
            };
            let unknown = RouteReport {
                route: if other { 0 } else { 9 },
                ..errors(1, 1)
            };
            let report = Report {
                config: u64::from(other),
                names: (slice == 1).then(|| names.into()),
                routes: vec![pay, cart, unknown],
                ..report(id(index), slice, errors(0, 0))
            };
            aggregator.report(at(slice * 500), &report).unwrap();
        }
        aggregator.slice(at(slice * 500));
    }
    let opened = std::iter::from_fn(|| aggregator.poll_event()).map(|event| match event {
        FleetEvent::Opened { name, .. } => name,
        other => panic!("{other:?}"),
    });
    let opened: Vec<_> = opened.collect();
    assert!(
        opened.iter().all(|opened| *opened == name("pay")),
        "{opened:?}"
    );
    assert!(!opened.is_empty());
}

#[test]
fn routes_of_another_hash_than_that_of_the_names_are_left_out() {
    let mut aggregator = aggregator(errors_only());
    for slice in 1..=20_u64 {
        for index in 0..20 {
            let report = Report {
                config: if slice == 1 { 1 } else { 2 },
                ..report(
                    id(index),
                    slice,
                    errors(u32::from(slice > 1), u32::from(slice > 1)),
                )
            };
            aggregator.report(at(slice * 500), &report).unwrap();
        }
        aggregator.slice(at(slice * 500));
    }
    assert_eq!(aggregator.poll_event(), None);
}

#[test]
fn settings_keep_their_ranges() {
    let of = |left_out, max_members, routes: &[&str]| {
        let settings = AggregatorSettings {
            left_out,
            max_members,
        };
        let routes = routes
            .iter()
            .map(|route| FleetRoute::new(name(route), errors_only()));
        let made = Aggregator::new(1, &settings, routes, 1, at(0));
        made.err().map(|error| error.to_string())
    };
    assert_eq!(of(Some(5), 1, &["a"]), None);
    assert_eq!(of(Some(6), 1, &["a"]).unwrap(), "left_out: must be 1..=5");
    assert_eq!(of(Some(0), 1, &["a"]).unwrap(), "left_out: must be 1..=5");
    assert_eq!(
        of(None, 0, &["a"]).unwrap(),
        "max_members: must be 1..=65535"
    );
    assert_eq!(
        of(None, 1, &["a", "a"]).unwrap(),
        "routes: must have each route once"
    );
}
