//! Whose matter a failure is: that of its endpoint, or that of all.

use std::time::Duration;

use super::*;
use crate::outcome::Outcome;

const MS: Duration = Duration::from_millis(1);

/// Five endpoints that get a request each 10 ms in turn, and how many failures are the upstream's.
fn failures_of_all(fails: impl Fn(u64, u64) -> bool, from: u64, requests: u64) -> (u64, u64) {
    let settings = EndpointSettings::default();
    let mut endpoints = Endpoints::new(settings, 1, Timestamp::ZERO).unwrap();
    endpoints.replace((0..5).map(|id| (EndpointId(id), 1)), Timestamp::ZERO);
    let (mut all, mut own) = (0, 0);
    for request in 0..requests {
        let now = Timestamp::from_millis(1000 + request * 10);
        let id = request % 5;
        if !endpoints.is_in(EndpointId(id)) {
            continue;
        }
        let pick = endpoints.at(EndpointId(id), now).unwrap();
        let mut attempt = endpoints.begin(pick, now);
        if request >= from && fails(id, request) {
            match endpoints.is_own_failure(&mut attempt, now + MS) {
                true => own += 1,
                false => all += 1,
            }
            endpoints.end(attempt, Outcome::failure(MS), now + MS);
        } else {
            endpoints.end(attempt, Outcome::success(MS), now + MS);
        }
    }
    (all, own)
}

#[test]
fn failures_of_one_that_dies_are_its_own_but_for_the_first_few() {
    // After good requests, of which the window of a route has more too, some more.
    for (from, most) in [(0, 1), (100, 2), (1000, 3)] {
        let (all, own) = failures_of_all(|id, _| id == 3, from, from + 200);
        assert!(all <= most && own >= 3, "from {from}: {all} and {own}");
    }
}

#[test]
fn failures_of_all_are_the_upstreams_but_for_the_first_few() {
    for from in [0, 100, 1000] {
        let (all, own) = failures_of_all(|_, _| true, from, from + 200);
        assert!(own <= 5 && all >= 190, "from {from}: {all} and {own}");
    }
}

#[test]
fn a_fifth_that_fails_everywhere_is_the_upstreams() {
    let fails = |_: u64, request: u64| request.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61 == 0;
    for from in [0, 1000] {
        let (all, own) = failures_of_all(fails, from, from + 2000);
        assert!(own * 5 <= all, "from {from}: {all} and {own}");
    }
}

#[test]
fn of_two_that_die_where_one_may_be_out_the_second_is_the_upstreams() {
    let settings = EndpointSettings::default();
    let mut endpoints = Endpoints::new(settings, 1, Timestamp::ZERO).unwrap();
    endpoints.replace((0..3).map(|id| (EndpointId(id), 1)), Timestamp::ZERO);
    let mut all = 0;
    for request in 0..600 {
        let now = Timestamp::from_millis(1000 + request * 10);
        let id = EndpointId(request % 3);
        if !endpoints.is_in(id) {
            continue;
        }
        let pick = endpoints.at(id, now).unwrap();
        let mut attempt = endpoints.begin(pick, now);
        if id.0 > 0 && request > 100 {
            all += u64::from(!endpoints.is_own_failure(&mut attempt, now));
            endpoints.end(attempt, Outcome::failure(MS), now + MS);
        } else {
            endpoints.end(attempt, Outcome::success(MS), now + MS);
        }
    }
    assert!(all > 100, "{all}");
}

#[test]
fn who_ejects_nothing_blames_nothing() {
    let settings = EndpointSettings {
        eject: false,
        ..EndpointSettings::default()
    };
    let mut endpoints = Endpoints::new(settings, 1, Timestamp::ZERO).unwrap();
    endpoints.replace((0..3).map(|id| (EndpointId(id), 1)), Timestamp::ZERO);
    for request in 0..100 {
        let now = Timestamp::from_millis(1000 + request * 10);
        let pick = endpoints.at(EndpointId(request % 3), now).unwrap();
        let mut attempt = endpoints.begin(pick, now);
        assert!(!endpoints.is_own_failure(&mut attempt, now));
        endpoints.end(attempt, Outcome::failure(MS), now + MS);
    }
}
