//! Who is ejected, who comes back, and when.

use super::*;

#[test]
fn a_dead_one_of_five_is_out_within_half_a_second_and_in_again_after_two_probes() {
    let mut endpoints = endpoints(5);
    assert_eq!(run(&mut endpoints, 0..60_000, 10, well), []);
    let mut failures = 0;
    let events = run(&mut endpoints, 60_000..63_000, 10, |id, _| match id {
        3 => {
            failures += 1;
            Ends::Badly
        }
        _ => Ends::Well,
    });
    assert_eq!(words(&events), ["3 out: errors"]);
    assert!(failures <= 15, "{failures}");
    assert!(!endpoints.is_in(EndpointId(3)));
    // Its time is 5 s ± 20 %; then it is probed, is dead still, and is out for twice as long.
    let mut probes = Vec::new();
    let events = run(&mut endpoints, 63_000..90_000, 10, |id, now| {
        if id == 3 {
            probes.push(now);
            if now < 70_000 {
                Ends::Badly
            } else {
                Ends::Well
            }
        } else {
            Ends::Well
        }
    });
    assert_eq!(words(&events), ["3 in: Probes(2)"]);
    assert!((64_000..67_000).contains(&probes[0]), "{}", probes[0]);
    let second = probes[1] - probes[0];
    assert!((8_000..=12_100).contains(&second), "{second}");
    let rest = run(&mut endpoints, 90_000..200_000, 10, well);
    assert_eq!(rest, []);
    let state = endpoints.snapshot(at(200_000));
    assert!(
        state
            .endpoints
            .iter()
            .all(|one| one.grown == crate::Ratio::ONE)
    );
    assert!(state.endpoints.iter().all(|one| one.in_flight == 0));
}

#[test]
fn the_last_one_is_never_out_and_two_bad_ones_of_two_are_a_panic_that_ends() {
    let mut alone = endpoints(1);
    assert_eq!(run(&mut alone, 0..60_000, 10, dead(&[1])), []);
    let mut two = endpoints(2);
    assert_eq!(run(&mut two, 0..20_000, 10, well), []);
    let events = run(&mut two, 20_000..21_500, 10, dead(&[2]));
    assert_eq!(words(&events), ["2 out: errors"]);
    let events = run(&mut two, 21_500..24_000, 10, dead(&[1, 2]));
    assert_eq!(words(&events), ["panic by checks: false", "2 in: Panic"]);
    assert!(two.is_panicking() && two.is_in(EndpointId(1)) && two.is_in(EndpointId(2)));
    let events = run(&mut two, 24_000..60_000, 10, well);
    assert_eq!(words(&events), ["panic ended"]);
}

#[test]
fn what_befalls_all_ejects_none() {
    for share in [5, 20, 50, 100] {
        let mut endpoints = endpoints(5);
        let mut luck = Rng::new(share);
        run(&mut endpoints, 0..60_000, 10, well);
        let events = run(&mut endpoints, 60_000..660_000, 10, |_, _| {
            if luck.unit() * 100.0 < share as f64 {
                Ends::Badly
            } else {
                Ends::Well
            }
        });
        assert_eq!(words(&events), [""; 0], "{share} %");
    }
}

#[test]
fn an_endpoint_that_cannot_be_reached_says_so_and_a_good_check_lets_it_in() {
    let mut endpoints = endpoints(3);
    run(&mut endpoints, 0..20_000, 10, well);
    let gone = |id, _| {
        if id == 2 {
            Ends::Unreachable
        } else {
            Ends::Well
        }
    };
    let events = run(&mut endpoints, 20_000..22_000, 10, gone);
    assert_eq!(words(&events), ["2 out: unreachable"]);
    endpoints.checked(EndpointId(2), true, at(22_000));
    assert!(!endpoints.is_in(EndpointId(2)));
    endpoints.checked(EndpointId(2), true, at(23_000));
    assert_eq!(words(&told(&mut endpoints)), ["2 in: Checks"]);
}

#[test]
fn a_good_check_does_not_end_what_failing_requests_began() {
    let mut endpoints = endpoints(3);
    run(&mut endpoints, 0..20_000, 10, well);
    run(&mut endpoints, 20_000..22_000, 10, dead(&[2]));
    for second in 22..25 {
        endpoints.checked(EndpointId(2), true, at(second * 1000));
    }
    assert!(!endpoints.is_in(EndpointId(2)));
}

#[test]
fn three_bad_checks_take_out_and_two_good_ones_let_in() {
    let mut endpoints = endpoints(3);
    let verdicts = [
        true, false, false, true, false, false, false, true, false, true, true,
    ];
    let mut ins = String::new();
    for (second, good) in (1..).zip(verdicts) {
        endpoints.checked(EndpointId(1), good, at(second * 1000));
        ins.push(if endpoints.is_in(EndpointId(1)) {
            'i'
        } else {
            'o'
        });
    }
    assert_eq!(ins, "iiiiiiooooi");
    let snapshot = endpoints.snapshot(at(12_000));
    assert_eq!(snapshot.endpoints[0].totals.ejections, 1);
}

#[test]
fn the_first_check_counts_alone_if_it_is_bad() {
    let mut endpoints = endpoints(3);
    let mut ins = String::new();
    for (second, good) in (1..).zip([false, true, true, false, false, true, false, false, false]) {
        endpoints.checked(EndpointId(1), good, at(second * 1000));
        ins.push(if endpoints.is_in(EndpointId(1)) {
            'i'
        } else {
            'o'
        });
    }
    assert_eq!(ins, "ooiiiiiio");
    // Checks that start again know nothing either.
    endpoints.forget_checks(at(20_000));
    endpoints.checked(EndpointId(1), false, at(21_000));
    assert!(!endpoints.is_in(EndpointId(1)));
}

#[test]
fn checks_that_find_too_many_bad_are_not_heeded_until_fewer_are() {
    let mut endpoints = endpoints(4);
    for id in 1..=4 {
        for check in 1..=3 {
            endpoints.checked(EndpointId(id), false, at(id * 1000 + check));
        }
    }
    let events = told(&mut endpoints);
    let expected = [
        "1 out: checks",
        "2 out: checks",
        "panic by checks: true",
        "1 in: Change",
        "2 in: Change",
    ];
    assert_eq!(words(&events), expected);
    // Outcomes are heeded meanwhile.
    run(&mut endpoints, 6_000..16_000, 10, well);
    assert_eq!(
        words(&run(&mut endpoints, 16_000..18_000, 10, dead(&[4]))),
        ["4 out: errors"]
    );
    for id in [1, 2] {
        for check in 1..=2 {
            endpoints.checked(EndpointId(id), true, at(19_000 + id * 100 + check));
        }
    }
    assert_eq!(
        words(&told(&mut endpoints)),
        ["panic ended", "3 out: checks"]
    );
}

#[test]
fn hung_attempts_count_before_they_end_and_a_probe_that_is_as_slow_has_failed() {
    // P2C would leave it alone after the first of them.
    let settings = EndpointSettings {
        balance: Balance::RoundRobin,
        ..EndpointSettings::default()
    };
    let mut endpoints = with(settings, 3);
    run(&mut endpoints, 0..20_000, 10, well);
    let mut hung = Vec::new();
    let mut now = 20_000;
    while endpoints.is_in(EndpointId(1)) && now < 60_000 {
        let pick = endpoints.pick(at(now), now, |_| Candidate::Fresh).unwrap();
        let attempt = endpoints.begin(pick, at(now));
        if attempt.id() == EndpointId(1) {
            hung.push(attempt);
        } else {
            endpoints.end(attempt, Outcome::success(ms(2)), at(now + 2));
        }
        now += 10;
    }
    assert_eq!(words(&told(&mut endpoints)), ["1 out: deadline"]);
    assert!(now < 35_000, "{now}");
    let probe = std::iter::from_fn(|| {
        now += 10;
        let pick = endpoints.pick(at(now), now, |_| Candidate::Fresh).unwrap();
        let attempt = endpoints.begin(pick, at(now));
        if attempt.is_probe() {
            return Some(Some(attempt));
        }
        endpoints.end(attempt, Outcome::success(ms(2)), at(now));
        Some(None)
    });
    let probe = probe.flatten().next().unwrap();
    endpoints.end(probe, Outcome::success(ms(1200)), at(now + 1200));
    let until = endpoints.snapshot(at(now + 1200)).endpoints[0]
        .out_until
        .unwrap();
    assert!(until > at(now + 1200 + 7_900));
    for attempt in hung {
        endpoints.end(attempt, Outcome::failure(ms(5000)), at(now + 1300));
    }
    assert_eq!(endpoints.load(EndpointId(1)).unwrap().in_flight(), 0);
}

#[test]
fn a_lost_probe_has_failed_and_the_next_is_let_through() {
    let mut endpoints = endpoints(2);
    run(&mut endpoints, 0..20_000, 10, well);
    run(&mut endpoints, 20_000..21_000, 10, dead(&[2]));
    let due = endpoints.snapshot(at(21_000)).endpoints[1]
        .out_until
        .unwrap();
    let pick = endpoints.pick(due, 1, |_| Candidate::Fresh).unwrap();
    assert!(pick.is_probe());
    let lost = endpoints.begin(pick, due);
    // Exactly one at a time.
    assert!(
        !endpoints
            .pick(due, 1, |_| Candidate::Fresh)
            .unwrap()
            .is_probe()
    );
    let second = endpoints.begin(pick, due);
    assert!(!second.is_probe());
    endpoints.end(second, Outcome::success(ms(1)), due);
    endpoints.handle_timeout(due + ms(5000));
    let next = endpoints.snapshot(due + ms(5000)).endpoints[1]
        .out_until
        .unwrap();
    assert!((12_900..17_100).contains(&(next.saturating_since(due).as_millis() as u64)));
    let pick = endpoints.pick(next, 1, |_| Candidate::Fresh).unwrap();
    assert!(pick.is_probe());
    // Its late answer says nothing any more.
    endpoints.end(lost, Outcome::success(ms(9000)), next);
    assert!(!endpoints.is_in(EndpointId(2)));
    let good = endpoints.begin(pick, next);
    endpoints.end(good, Outcome::success(ms(1)), next);
    let pick = endpoints.pick(next, 1, |_| Candidate::Fresh).unwrap();
    let good = endpoints.begin(pick, next);
    endpoints.end(good, Outcome::success(ms(1)), next);
    assert!(endpoints.is_in(EndpointId(2)));
}

#[test]
fn attempts_from_before_an_ejection_say_nothing_after_it() {
    let mut endpoints = endpoints(2);
    run(&mut endpoints, 0..20_000, 10, well);
    let mut old = Vec::new();
    while old.len() < 100 {
        let pick = endpoints.pick(at(20_000), old.len() as u64, |id| match id.0 {
            1 => Candidate::Tried,
            _ => Candidate::Fresh,
        });
        old.push(endpoints.begin(pick.unwrap(), at(20_000)));
    }
    endpoints.eject(EndpointId(2), ms(10_000), at(20_500));
    endpoints.admit(EndpointId(2), at(21_000));
    told(&mut endpoints);
    for (index, attempt) in (0..).zip(old) {
        endpoints.end(attempt, Outcome::failure(ms(900)), at(21_000 + index * 10));
    }
    assert_eq!(words(&told(&mut endpoints)), [""; 0]);
    assert!(endpoints.is_in(EndpointId(2)));
}

#[test]
fn an_answer_that_breaks_off_after_it_was_good_so_far_is_one_failure_and_no_success() {
    let mut endpoints = endpoints(5);
    run(&mut endpoints, 0..20_000, 10, well);
    let mut first = None;
    for now in (20_000..24_000).step_by(10) {
        let pick = endpoints.pick(at(now), now, |_| Candidate::Fresh).unwrap();
        let mut attempt = endpoints.begin(pick, at(now));
        endpoints.responded(&mut attempt, ms(2), at(now + 2));
        endpoints.begun(&mut attempt, at(now + 2));
        let outcome = match attempt.id() {
            EndpointId(4) => Outcome::failure(ms(9)),
            _ => Outcome::success(ms(9)),
        };
        endpoints.end(attempt, outcome, at(now + 9));
        if first.is_none() && !endpoints.is_in(EndpointId(4)) {
            first = Some(now - 20_000);
        }
    }
    assert!(first.unwrap() < 1500, "{first:?}");
}

#[test]
fn an_upload_of_the_caller_does_not_age() {
    let mut endpoints = endpoints(2);
    run(&mut endpoints, 0..20_000, 10, well);
    let mut uploads = Vec::new();
    for now in (20_000..30_000).step_by(100) {
        let pick = endpoints.pick(at(now), now, |id| match id.0 {
            1 => Candidate::Tried,
            _ => Candidate::Fresh,
        });
        let mut attempt = endpoints.begin(pick.unwrap(), at(now));
        endpoints.uploading(&mut attempt);
        uploads.push(attempt);
    }
    run(&mut endpoints, 30_000..50_000, 10, well);
    assert_eq!(endpoints.snapshot(at(50_000)).endpoints[1].totals.late, 0);
    for mut attempt in uploads {
        endpoints.uploaded(&mut attempt, at(50_000));
        endpoints.end(attempt, Outcome::success(ms(5)), at(50_005));
    }
    assert_eq!(endpoints.snapshot(at(50_005)).endpoints[1].totals.late, 0);
}

#[test]
fn an_operator_ejects_for_a_time_and_admits() {
    let mut endpoints = endpoints(2);
    assert!(endpoints.eject(EndpointId(1), ms(10_000), at(0)));
    assert!(!endpoints.eject(EndpointId(9), ms(10_000), at(0)));
    assert!(endpoints.eject(EndpointId(2), ms(20_000), at(0)));
    // All of them: somebody is picked all the same.
    assert!(endpoints.pick(at(1), 1, |_| Candidate::Fresh).is_some());
    endpoints.handle_timeout(at(10_000));
    assert!(endpoints.is_in(EndpointId(1)) && !endpoints.is_in(EndpointId(2)));
    assert!(endpoints.admit(EndpointId(2), at(11_000)));
    let expected = [
        "1 out: operator",
        "2 out: operator",
        "1 in: Operator",
        "2 in: Operator",
    ];
    assert_eq!(words(&told(&mut endpoints)), expected);
    endpoints.handle_timeout(at(20_000));
    assert_eq!(endpoints.poll_timeout(), None);
}

#[test]
fn events_say_what_happened_with_numbers() {
    let mut endpoints = endpoints(5);
    run(&mut endpoints, 0..20_000, 10, well);
    let ejected = run(&mut endpoints, 20_000..21_000, 10, dead(&[3]));
    let text = ejected[0].to_string();
    assert!(
        text.starts_with(
            "endpoint 3 ejected: 100% of the requests fail, 1.02% among the others at most"
        ),
        "{text}"
    );
    let back = run(&mut endpoints, 21_000..40_000, 10, well);
    let text = back[0].to_string();
    assert!(text.ends_with("2 probes succeeded"), "{text}");
}
