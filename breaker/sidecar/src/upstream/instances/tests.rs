use std::net::IpAddr;

use breaker_tower::breaker_core::{Candidate, Outcome};

use super::*;

fn upstream(endpoints: &[&str]) -> Upstream {
    let endpoints = endpoints.iter().map(|host| Endpoint::new(host, 80));
    Upstream::new("pay", endpoints.collect())
}

fn discovered() -> Upstream {
    Upstream {
        discovered: true,
        ..upstream(&["pay.example"])
    }
}

fn target(last: u8) -> Target {
    Target {
        address: IpAddr::from([10, 0, 0, last]),
        port: None,
        weight: 1,
    }
}

fn hosts(set: &InstanceSet) -> Vec<String> {
    let (current, _) = set.current();
    let hosts = current.instances.iter().map(|it| it.endpoint.to_string());
    let mut hosts: Vec<_> = hosts.collect();
    hosts.sort();
    hosts
}

#[test]
fn an_address_is_one_endpoint_however_it_is_written() {
    let upstream = discovered();
    let set = upstream.instances();
    let mapped = Target {
        address: "::ffff:10.0.0.1".parse().unwrap(),
        ..target(1)
    };
    set.found(&upstream, &[target(1), mapped, target(2)]);
    assert_eq!(hosts(set), ["10.0.0.1:80", "10.0.0.2:80"]);
}

/// Lets the endpoint at `host` fail until it is ejected.
fn eject(set: &InstanceSet, host: &str) {
    let (current, _) = set.current();
    for random in 0..10_000 {
        let mut state = set.state();
        let now = Timestamp::from_millis(1000 + random * 10);
        let pick = state.pick(now, random, |_| Candidate::Fresh).unwrap();
        let instance = current.instance(pick.id()).unwrap();
        let is_bad = instance.endpoint.host() == host;
        let attempt = state.begin(pick, now);
        let outcome = match is_bad {
            true => Outcome::failure(Duration::from_millis(1)),
            false => Outcome::success(Duration::from_millis(1)),
        };
        state.end(attempt, outcome, now);
        if state
            .snapshot(now)
            .endpoints
            .iter()
            .any(|it| it.reason.is_some())
        {
            return;
        }
    }
    panic!("{host} is still in");
}

#[test]
fn configured_endpoints_are_there_from_the_start() {
    let upstream = upstream(&["10.0.0.2", "10.0.0.1"]);
    let (current, version) = upstream.instances().current();
    let mut positions: Vec<_> = current
        .instances
        .iter()
        .map(|it| (it.endpoint.host(), it.position))
        .collect();
    positions.sort();
    assert_eq!(
        positions,
        [("10.0.0.1".to_owned(), 1), ("10.0.0.2".to_owned(), 0)]
    );
    assert_eq!(version, 1);
}

#[test]
fn found_addresses_replace_each_other_and_equal_ones_change_nothing() {
    let upstream = discovered();
    let set = upstream.instances();
    assert_eq!((hosts(set), set.version()), (Vec::new(), 0));
    set.found(&upstream, &[target(1), target(2)]);
    assert_eq!(hosts(set), ["10.0.0.1:80", "10.0.0.2:80"]);
    set.found(&upstream, &[target(2), target(1), target(2)]);
    assert_eq!(set.version(), 1);
    set.found(&upstream, &[target(2), target(3)]);
    assert_eq!((hosts(set).len(), set.version()), (2, 2));
    set.lost(ErrorKind::Resolve, "it is gone".into());
    assert_eq!((hosts(set).len(), set.version()), (0, 3));
    let error = set.current().0.error();
    assert_eq!(error.kind(), ErrorKind::Resolve);
}

#[test]
fn of_many_addresses_each_process_uses_its_own_sixteen() {
    let upstream = discovered();
    let targets: Vec<_> = (1..=33).map(target).collect();
    let set = upstream.instances();
    set.found(&upstream, &targets[..32]);
    assert_eq!(hosts(set).len(), 32);
    set.found(&upstream, &targets);
    let chosen = hosts(set);
    assert_eq!((chosen.len(), set.current().0.found), (16, 33));
    set.found(&upstream, &targets);
    assert_eq!(hosts(set), chosen);
}

#[test]
fn a_reload_keeps_what_is_known_of_endpoints_that_stay() {
    let before = upstream(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    eject(before.instances(), "10.0.0.1");
    let mut after = upstream(&["10.0.0.1", "10.0.0.3", "10.0.0.4"]);
    after.max_connection_age = None;
    after.inherit(&before);
    assert!(Arc::ptr_eq(before.instances(), after.instances()));
    let (current, snapshot) = after.instances().snapshot();
    let out = snapshot.endpoints.iter().filter(|it| it.reason.is_some());
    let out: Vec<_> = out
        .map(|it| current.instance(it.id).unwrap().endpoint.host())
        .collect();
    assert_eq!(out, ["10.0.0.1"]);
    assert_eq!(hosts(after.instances()).len(), 3);
}

#[test]
fn events_name_the_endpoint_that_they_are_about() {
    let upstream = upstream(&["10.0.0.1", "10.0.0.2"]);
    eject(upstream.instances(), "10.0.0.2");
    let events = upstream.instances().events();
    let [(EndpointEvent::Ejected { .. }, Some(endpoint))] = &*events else {
        panic!("{events:?}");
    };
    assert_eq!(endpoint.host(), "10.0.0.2");
    assert!(upstream.instances().events().is_empty());
}

#[test]
fn a_clone_of_an_upstream_has_endpoints_of_its_own_and_is_equal() {
    let upstream = upstream(&["10.0.0.1", "10.0.0.2"]);
    let clone = upstream.clone();
    eject(upstream.instances(), "10.0.0.1");
    assert_eq!(clone, upstream);
    assert!(clone.instances().events().is_empty());
}

#[test]
fn no_more_endpoints_are_used_than_the_core_keeps() {
    let upstream = Upstream {
        subset: Subset::All,
        ..discovered()
    };
    let targets = (0..4000_u16).map(|number| Target {
        port: Some(number + 1),
        ..target(1)
    });
    let set = upstream.instances();
    set.found(&upstream, &targets.collect::<Vec<_>>());
    let (current, snapshot) = set.snapshot();
    let used: Vec<_> = current.instances.iter().map(|it| it.id).collect();
    let kept: Vec<_> = snapshot.endpoints.iter().map(|it| it.id).collect();
    assert_eq!((used.len(), current.found), (MAX_ENDPOINTS, 4000));
    assert_eq!(used, kept);
}
