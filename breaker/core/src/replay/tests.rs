use super::*;
use crate::policy::{Condition, TripEntry};
use crate::ratio::Ratio;

fn request(at: u64, latency: u64, classification: Classification) -> Request {
    Request {
        at: Timestamp::from_millis(at),
        latency: Some(Duration::from_millis(latency)),
        classification,
        timed_out: false,
    }
}

fn sensitive() -> Replay {
    Replay::new(Policy::sensitive(), 1, Timestamp::ZERO)
}

fn moves(replay: &mut Replay) -> Vec<(u64, State, State)> {
    std::iter::from_fn(|| replay.poll_event())
        .filter_map(|event| match event {
            Event::Transition(moved) => {
                Some((moved.at.as_nanos() / 1_000_000, moved.from, moved.to))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn an_outcome_is_known_one_latency_after_the_start_and_not_before() {
    let mut replay = sensitive();
    // Twenty failures begin in 200 ms; the breaker learns of the last 500 ms later.
    for number in 0..20 {
        assert!(replay.request(&request(number * 10, 500, Classification::Failure)));
    }
    assert!(replay.request(&request(689, 1, Classification::Success)));
    assert!(!replay.request(&request(691, 1, Classification::Success)));
    assert_eq!(moves(&mut replay), [(690, State::Closed, State::Open)]);
    let report = replay.report();
    assert_eq!(report.first_trip, Some(Timestamp::from_millis(690)));
    assert_eq!((report.rejected, report.rejected_good), (1, 1));
    assert_eq!(report.admitted_bad, 20);
}

#[test]
fn healthy_traffic_is_admitted_and_moves_nothing() {
    let mut replay = sensitive();
    for number in 0..10_000 {
        assert!(replay.request(&request(number * 10, 20, Classification::Success)));
    }
    replay.finish();
    assert_eq!(moves(&mut replay), []);
    assert_eq!(
        (replay.report().requests, replay.report().admitted),
        (10_000, 10_000)
    );
}

#[test]
fn a_route_that_recovers_is_closed_again() {
    let mut replay = sensitive();
    for number in 0..6_000 {
        let classification = match number < 100 {
            true => Classification::Failure,
            false => Classification::Success,
        };
        replay.request(&request(number * 10, 5, classification));
    }
    replay.finish();
    let states: Vec<_> = moves(&mut replay)
        .into_iter()
        .map(|moved| moved.2)
        .collect();
    assert_eq!(states, [State::Open, State::HalfOpen, State::Closed]);
    let report = replay.report();
    assert_eq!(report.trips, 1, "what follows a failed trial is none");
    assert_eq!(report.admitted + report.rejected, 6_000);
}

#[test]
fn a_request_that_was_never_answered_fails_at_the_timeout() {
    let mut replay = sensitive().with_timeout(Duration::from_secs(2));
    for number in 0..20 {
        let hung = Request {
            latency: None,
            ..request(number, 0, Classification::Success)
        };
        assert!(replay.request(&hung));
    }
    replay.finish();
    assert_eq!(replay.report().admitted_bad, 20);
    let first = replay.report().first_trip.expect("it has tripped");
    // Slow while they hang: after the second that the policy allows, and before the timeout.
    assert!(
        first >= Timestamp::from_millis(1_000) && first < Timestamp::from_millis(2_000),
        "{first:?}"
    );
}

#[test]
fn a_timeout_is_one_though_it_was_recorded_with_its_latency() {
    let policy = Policy::builder("late")
        .trip([TripEntry::open([Condition::TimeoutRate(Ratio::of(1, 2))])])
        .build()
        .expect("a good policy");
    let trips = |timed_out| {
        let mut replay = Replay::new(policy.clone(), 1, Timestamp::ZERO);
        for number in 0..200 {
            replay.request(&Request {
                timed_out,
                ..request(number * 10, 500, Classification::Failure)
            });
        }
        replay.finish();
        replay.report().trips
    };
    assert_eq!([true, false].map(trips), [1, 0]);
}

#[test]
fn ignored_requests_are_neither_good_nor_bad() {
    let mut replay = sensitive();
    for number in 0..40 {
        replay.request(&request(
            number,
            1,
            if number < 20 {
                Classification::Failure
            } else {
                Classification::Ignored
            },
        ));
    }
    replay.request(&request(100, 1, Classification::Ignored));
    let report = replay.report();
    assert!(report.rejected > 0);
    assert_eq!((report.rejected_good, report.admitted_bad), (0, 20));
}

#[test]
fn a_time_that_goes_backwards_is_taken_as_the_latest() {
    let mut replay = sensitive();
    replay.request(&request(10_000, 1, Classification::Success));
    replay.request(&request(0, 5, Classification::Success));
    replay.finish();
    assert_eq!(
        replay.now,
        Timestamp::from_millis(10_001),
        "it had ended long ago"
    );
}

#[test]
fn a_gap_of_a_year_and_the_end_of_time_are_survived() {
    let mut replay = sensitive();
    for at in [0, 31_536_000_000, u64::MAX / 1_000_000] {
        replay.request(&request(at, u64::MAX / 1_000_000, Classification::Failure));
    }
    replay.finish();
    assert_eq!(replay.report().requests, 3);
}

#[test]
fn requests_in_flight_are_bounded() {
    let mut replay = sensitive();
    for _ in 0..Replay::MAX_IN_FLIGHT + 10 {
        replay.request(&request(0, 1_000_000, Classification::Success));
    }
    assert_eq!(replay.in_flight.len(), Replay::MAX_IN_FLIGHT);
}

#[test]
fn the_same_requests_give_the_same_report() {
    let run = || {
        let mut replay = sensitive();
        for number in 0..20_000_u64 {
            let classification = match number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60 {
                0..3 => Classification::Failure,
                _ => Classification::Success,
            };
            replay.request(&request(number * 7, number % 900, classification));
        }
        replay.finish();
        (moves(&mut replay), *replay.report())
    };
    assert_eq!(run(), run());
}

#[test]
fn a_request_that_is_handed_over_late_ends_when_it_ended() {
    let mut replay = sensitive();
    for number in 0..19 {
        replay.request(&request(number * 10, 500, Classification::Failure));
    }
    replay.request(&request(500, 1, Classification::Success));
    // It began at 100 ms and was written only when it ended, after requests that began later.
    assert!(replay.request(&request(100, 550, Classification::Failure)));
    replay.request(&request(2000, 1, Classification::Success));
    assert_eq!(moves(&mut replay)[0], (670, State::Closed, State::Open));
}

#[test]
fn alerts_and_shedding_are_told_and_counted() {
    // Slow by most of the requests for a while: `adaptive` alerts or sheds, and opens not.
    let mut replay = Replay::new(Policy::adaptive(), 1, Timestamp::ZERO);
    for number in 0..120_000 {
        let is_slow = number >= 60_000 && number % 8 != 0;
        replay.request(&request(
            number * 5,
            if is_slow { 700 } else { 20 },
            Classification::Success,
        ));
    }
    replay.finish();
    let report = *replay.report();
    let events: Vec<_> = std::iter::from_fn(|| replay.poll_event()).collect();
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    let started = count(|event| matches!(event, Event::SheddingStarted { .. }));
    assert!(started > 0, "{events:?}");
    assert!(
        report.shed > 0 && report.shed <= report.rejected,
        "{report:?}"
    );
    let alerts = count(|event| matches!(event, Event::Alert(_)));
    assert_eq!(report.alerts, alerts as u64);
}
