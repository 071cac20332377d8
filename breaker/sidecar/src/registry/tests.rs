use breaker_tower::{Mode, OnDrop, State};

use super::*;

fn entry(name: &str, policy: Policy) -> RegisteredBreaker {
    let policy = Arc::new(policy);
    RegisteredBreaker::new(BreakerHandle::new(name, policy.clone()), policy)
}

fn two() -> Registry {
    [
        entry("pay", Policy::sensitive()),
        entry("search", Policy::conservative()),
    ]
    .into_iter()
    .collect()
}

fn names(registry: &Registry) -> Vec<String> {
    let entries = registry.list();
    entries
        .iter()
        .map(|entry| entry.name().to_string())
        .collect()
}

#[test]
fn an_override_is_in_force_until_it_is_dropped() {
    let registry = two();
    let pay = registry.find("pay").unwrap();
    let over = Some(Arc::new(Policy::conservative()));
    let changed = registry.set_override("pay", over).unwrap();
    assert_eq!(
        (changed.origin(), changed.policy().name()),
        (Origin::Override, "conservative")
    );
    assert_eq!(pay.breaker().policy().name(), "conservative");
    let dropped = registry.set_override("pay", None).unwrap();
    assert_eq!(
        (dropped.origin(), dropped.policy().name()),
        (Origin::Configuration, "sensitive")
    );
    assert_eq!(pay.breaker().policy().name(), "sensitive");
}

#[test]
fn a_reload_keeps_overrides_and_the_state_of_what_stays() {
    let registry = two();
    let pay = registry.find("pay").unwrap().breaker().clone();
    pay.force(Mode::ForcedOpen);
    registry
        .set_override("pay", Some(Arc::new(Policy::conservative())))
        .unwrap();
    let stays = RegisteredBreaker::new(pay.clone(), Arc::new(Policy::combined()));
    registry.replace(
        [stays, entry("new", Policy::adaptive())],
        Policies::default(),
    );
    assert_eq!(names(&registry), ["pay", "new"]);
    assert_eq!(
        (pay.state(), pay.policy().name()),
        (State::Open, "conservative")
    );
    // What the override hides is the new configuration.
    let dropped = registry.set_override("pay", None).unwrap();
    assert_eq!(dropped.policy().name(), "combined");
    assert_eq!(pay.policy().name(), "combined");
}

#[test]
fn a_reload_sets_the_policy_where_nothing_overrides_it() {
    let registry = two();
    let pay = registry.find("pay").unwrap().breaker().clone();
    registry.replace(
        [RegisteredBreaker::new(
            pay.clone(),
            Arc::new(Policy::combined()),
        )],
        Policies::default(),
    );
    assert_eq!(pay.policy().name(), "combined");
}

#[test]
fn what_telemetry_watches_follows_a_reload() {
    let registry = two();
    let watched = registry.watched();
    let watching = || -> Vec<String> {
        let list = watched.list();
        list.iter()
            .map(|breaker| breaker.name().to_string())
            .collect()
    };
    assert_eq!(watching(), ["pay", "search"]);
    registry.replace([entry("new", Policy::adaptive())], Policies::default());
    assert_eq!(watching(), ["new"]);
}

#[test]
fn an_unknown_name_is_told_with_those_that_are_near() {
    let unknown = two().find("serch").unwrap_err();
    assert_eq!(unknown.nearest, ["search"]);
    assert_eq!(
        unknown.to_string(),
        "no breaker is called 'serch'; did you mean search?"
    );
    assert_eq!(two().find("pya").unwrap_err().nearest, ["pay"]);
    let unknown = two().set_override("zzz", None).unwrap_err();
    assert_eq!(unknown.to_string(), "no breaker is called 'zzz'");
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_is_declared_again_keeps_its_begin_and_its_reason() {
    let registry = two();
    let hour = Some(Duration::from_secs(3_600));
    registry.declare_panic(100.0, hour, Some("they do harm".to_owned()));
    registry.declare_panic(200.0, None, None);
    let panic = registry.panic().unwrap();
    assert_eq!((panic.since, panic.remaining), (100.0, None));
    assert_eq!(panic.reason.as_deref(), Some("they do harm"));
    registry.declare_panic(300.0, hour, Some("still".to_owned()));
    let panic = registry.panic().unwrap();
    assert_eq!((panic.since, panic.remaining), (100.0, Some(3_600.0)));
    assert_eq!(panic.reason.as_deref(), Some("still"));
    registry.end_panic();
    assert_eq!(registry.panic(), None);
    registry.declare_panic(400.0, None, None);
    assert_eq!(registry.panic().unwrap().reason, None);
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_modes_are_as_they_would_be_and_policies_decide_anew_from_closed() {
    let registry = two();
    let breakers = ["pay", "search"].map(|name| registry.find(name).unwrap().breaker().clone());
    let [pay, search] = &breakers;
    pay.force_for(Mode::ForcedOpen, Duration::from_secs(60));
    search.force_for(Mode::ForcedOpen, Duration::from_secs(600));
    registry.declare_panic(0.0, None, None);
    assert!(
        breakers
            .iter()
            .all(|breaker| breaker.try_acquire(OnDrop::Ignored).is_ok())
    );
    tokio::time::advance(Duration::from_secs(120)).await;
    registry.end_panic();
    // The time of one has passed: nobody wants it open, and it was just carrying its traffic.
    assert_eq!((pay.mode(), pay.state()), (Mode::Auto, State::Closed));
    // That of the other has not.
    assert_eq!(
        (search.mode(), search.state()),
        (Mode::ForcedOpen, State::Open)
    );
    let remaining = search.snapshot().mode_remaining;
    assert_eq!(remaining, Some(Duration::from_secs(480)));
}
