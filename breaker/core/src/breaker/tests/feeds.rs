use super::*;
use crate::trace::TraceId;

const GOOD: Outcome = Outcome::success(Duration::from_millis(3));
const BAD: Outcome = Outcome::failure(Duration::from_millis(3));

fn fed() -> (Bench, SourceId) {
    let mut bench = Bench::new(sensitive());
    let feed = bench.breaker.add_feed(Feed::new("ledger-db"));
    (bench, feed)
}

/// A breaker that its feed has just tripped, half-open at 10 s.
fn half_open() -> (Bench, SourceId) {
    let (mut bench, feed) = fed();
    bench.tell(feed, 20, BAD);
    bench.pass_to(10.0);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.events();
    (bench, feed)
}

fn is_ramping(bench: &Bench) -> bool {
    matches!(bench.breaker.phase, Phase::Ramp(_))
}

fn trace(id: u128) -> Option<TraceId> {
    TraceId::new(id)
}

#[test]
fn a_feed_is_a_source_of_its_own_and_is_named_in_the_reason() {
    let (mut bench, feed) = fed();
    bench.run(1000, Outcome::success(ms(1)));
    for _ in 0..20 {
        bench.tell(feed, 1, BAD);
    }
    assert_eq!(
        bench.transitions(),
        ["closed → open: error rate 100% ≥ 8%, 20 requests in 10s (source ledger-db)"]
    );
    assert_eq!(bench.snapshot().sources[0].failure, 0);
}

#[test]
fn sources_are_never_added_together() {
    let (mut bench, feed) = fed();
    let other = bench.breaker.add_feed(Feed::new("other"));
    for source in [feed, other] {
        bench.tell(source, 19, BAD);
    }
    bench.run(19, Outcome::failure(ms(1)));
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn a_feed_is_judged_by_its_own_policy() {
    let mut bench = Bench::new(sensitive());
    let feed = Feed::new("slow").with_policy(Policy::conservative());
    let feed = bench.breaker.add_feed(feed);
    bench.tell(feed, 99, BAD);
    assert_eq!(bench.state(), State::Closed);
    bench.tell(feed, 1, BAD);
    assert_eq!(
        bench.transitions(),
        ["closed → open: error rate 100% ≥ 3%, 100 requests in 1m (source slow)"]
            .map(|line| line.replace("1m", "60s"))
    );
}

#[test]
fn what_ended_before_the_window_is_late_and_does_not_count() {
    let (mut bench, feed) = fed();
    bench.pass_to(100.0);
    assert_eq!(bench.tell_of(feed, 20, BAD, 89.9), Observed::Late);
    assert_eq!(bench.tell_of(feed, 10, BAD, 91.5), Observed::Counted);
    bench.pass_to(101.5);
    assert_eq!(bench.tell_of(feed, 10, BAD, 101.0), Observed::Counted);
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.snapshot().sources[1].failure, 10);
}

#[test]
fn what_is_yet_to_come_does_not_count() {
    let (mut bench, feed) = fed();
    bench.pass_to(100.0);
    assert_eq!(bench.tell_of(feed, 20, BAD, 3700.0), Observed::Future);
    assert_eq!(bench.tell_of(feed, 20, BAD, 101.1), Observed::Future);
    assert_eq!(bench.state(), State::Closed);
    // Clocks differ a little.
    assert_eq!(bench.tell_of(feed, 20, BAD, 100.9), Observed::Counted);
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn the_proxy_is_no_feed() {
    let (mut bench, _) = fed();
    assert_eq!(
        bench.tell_of(SourceId::PROXY, 20, BAD, 0.0),
        Observed::Unknown
    );
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn good_probes_do_not_close_while_the_feed_that_tripped_is_sick() {
    let (mut bench, feed) = half_open();
    bench.run(5, Outcome::success(ms(1)));
    assert!(!is_ramping(&bench));
    bench.tell(feed, 2, BAD);
    assert_eq!(
        bench.transitions(),
        [
            "half_open → open: 0 of 2 requests succeeded since the trial began, 80% were needed (source ledger-db)"
        ]
    );
    assert_eq!(bench.snapshot().open_remaining, Some(ms(20_000)));
}

#[test]
fn the_ramp_begins_when_probes_and_feed_are_good_in_either_order() {
    let (mut bench, feed) = half_open();
    bench.tell(feed, 5, GOOD);
    assert!(!is_ramping(&bench));
    bench.run(4, Outcome::success(ms(1)));
    assert!(is_ramping(&bench));

    let (mut bench, feed) = half_open();
    bench.run(4, Outcome::success(ms(1)));
    bench.tell(feed, 3, GOOD);
    assert!(!is_ramping(&bench));
    bench.tell(feed, 1, GOOD);
    assert!(is_ramping(&bench));
}

#[test]
fn what_ended_before_the_trial_says_nothing_in_it() {
    let (mut bench, feed) = half_open();
    assert_eq!(bench.tell_of(feed, 100, BAD, 9.9), Observed::Late);
    assert_eq!(bench.tell_of(feed, 100, GOOD, 9.9), Observed::Late);
    bench.run(4, Outcome::success(ms(1)));
    assert_eq!(bench.state(), State::HalfOpen);
    assert!(!is_ramping(&bench));
}

#[test]
fn a_feed_that_stays_silent_for_its_quiet_time_says_nothing_against_recovery() {
    let (mut bench, _) = half_open();
    bench.run(4, Outcome::success(ms(1)));
    bench.pass_to(39.9);
    assert!(!is_ramping(&bench));
    bench.pass_to(40.0);
    assert!(is_ramping(&bench));
}

#[test]
fn silence_does_not_close_what_the_probes_have_not_shown() {
    let (mut bench, _) = half_open();
    bench.pass_to(1000.0);
    assert_eq!(bench.state(), State::HalfOpen);
    assert!(!is_ramping(&bench));
}

#[test]
fn a_recovery_from_a_trip_of_the_proxy_does_not_wait_for_feeds() {
    let (mut bench, _) = fed();
    bench.run(20, Outcome::failure(ms(1)));
    bench.pass_to(10.0);
    bench.run(4, Outcome::success(ms(1)));
    assert!(is_ramping(&bench));
}

#[test]
fn slow_answers_of_a_feed_that_tripped_on_latency_are_no_recovery() {
    let (mut bench, feed) = fed();
    bench.tell(feed, 20, Outcome::success(ms(1500)));
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(10.0);
    bench.run(4, Outcome::success(ms(1)));
    bench.tell(feed, 5, Outcome::success(ms(1500)));
    assert_eq!(bench.state(), State::Open);
}

#[test]
fn a_ramp_in_which_the_feed_fails_goes_back_to_open() {
    let (mut bench, feed) = half_open();
    bench.run(4, Outcome::success(ms(1)));
    bench.tell(feed, 5, GOOD);
    bench.pass_to(12.0);
    bench.tell(feed, 5, BAD);
    assert_eq!(
        bench.transitions(),
        [
            "half_open → open: 0 of 5 requests succeeded since the trial began, 80% were needed (source ledger-db)"
        ]
    );
}

#[test]
fn a_breaker_without_a_proxy_recovers_by_its_feed_alone() {
    let mut bench = Bench {
        breaker: Breaker::new(sensitive(), 1, Timestamp::ZERO).telemetry_only(),
        now: 0.0,
    };
    let feed = bench.breaker.add_feed(Feed::new("ledger-db"));
    bench.tell(feed, 20, BAD);
    bench.pass_to(10.0);
    bench.tell(feed, 2, BAD);
    assert_eq!(bench.state(), State::Open);
    bench.pass_to(30.0);
    bench.tell(feed, 5, GOOD);
    assert!(is_ramping(&bench));
    bench.pass_to(40.0);
    assert_eq!(bench.state(), State::Closed);
    // A full window of health gives the back-off its start again.
    bench.pass_to(50.0);
    bench.tell(feed, 20, GOOD);
    bench.pass_to(61.0);
    bench.tell(feed, 20, BAD);
    assert_eq!(bench.snapshot().open_remaining, Some(ms(10_000)));
}

#[test]
fn a_breaker_without_a_proxy_whose_feed_is_silent_closes_after_its_quiet_time() {
    let mut bench = Bench {
        breaker: Breaker::new(sensitive(), 1, Timestamp::ZERO).telemetry_only(),
        now: 0.0,
    };
    let feed = Feed::new("ledger-db").with_silence_timeout(ms(5_000));
    let feed = bench.breaker.add_feed(feed);
    bench.tell(feed, 20, BAD);
    bench.pass_to(14.9);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.pass_to(25.0);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn a_trip_names_the_last_five_traces_that_failed_or_were_slow() {
    let (mut bench, feed) = fed();
    bench.tell(feed, 1, GOOD.traced(trace(99)));
    bench.tell(feed, 1, Outcome::success(ms(2000)).traced(trace(1)));
    for id in 2..=20 {
        bench.tell(feed, 1, BAD.traced(trace(id)));
    }
    let events = bench.events();
    let Event::Transition(trip) = &events[0] else {
        panic!("{events:?}");
    };
    let traces: Vec<_> = trip.traces.iter().map(|trace| trace.get()).collect();
    assert_eq!(traces, [15, 16, 17, 18, 19].map(|id: u128| id));
}

#[test]
fn a_trip_by_the_proxy_names_traces_too() {
    let mut bench = Bench::new(sensitive());
    bench.run(19, Outcome::failure(ms(1)));
    bench.run(1, Outcome::failure(ms(1)).traced(trace(7)));
    let events = bench.events();
    let Event::Transition(trip) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(trip.traces, [trace(7).unwrap()]);
    assert_eq!(
        trip.traces[0].to_string(),
        "00000000000000000000000000000007"
    );
}

fn set(bench: &mut Bench, feeds: impl IntoIterator<Item = Feed>) -> Vec<SourceId> {
    bench.breaker.set_feeds(feeds, at(bench.now))
}

#[test]
fn feeds_that_stay_keep_their_ids_and_what_they_observed_whatever_their_order() {
    let (mut bench, ledger) = fed();
    let gone = bench.breaker.add_feed(Feed::new("gone"));
    bench.tell(ledger, 19, BAD);
    let ids = set(&mut bench, [Feed::new("new"), Feed::new("ledger-db")]);
    assert_eq!(ids[1], ledger);
    assert!(![SourceId::PROXY, ledger, gone].contains(&ids[0]));
    assert_eq!(
        bench.tell_of(gone, 100, BAD, bench.now),
        Observed::Unknown,
        "an id is not given to another feed"
    );
    assert_eq!(bench.state(), State::Closed);
    bench.tell(ledger, 1, BAD);
    assert_eq!(
        bench.transitions(),
        ["closed → open: error rate 100% ≥ 8%, 20 requests in 10s (source ledger-db)"]
    );
}

#[test]
fn a_feed_that_stays_follows_its_new_policy() {
    let (mut bench, feed) = fed();
    bench.tell(feed, 19, BAD);
    let strict = policy::Builder::from(sensitive())
        .min_requests(10)
        .build()
        .unwrap();
    set(&mut bench, [Feed::new("ledger-db").with_policy(strict)]);
    assert_eq!(bench.snapshot().sources[1].failure, 19);
    bench.tell(feed, 1, BAD);
    assert_eq!(bench.state(), State::Open);

    let (mut bench, feed) = fed();
    bench.tell(feed, 19, BAD);
    let conservative = Feed::new("ledger-db").with_policy(Policy::conservative());
    set(&mut bench, [conservative]);
    bench.tell(feed, 99, BAD);
    assert_eq!(bench.state(), State::Closed, "another window begins empty");
    set(&mut bench, [Feed::new("ledger-db")]);
    bench.tell(feed, 20, BAD);
    assert_eq!(bench.state(), State::Open, "the breaker's policy again");
}

#[test]
fn the_feed_that_tripped_is_still_waited_for_after_the_feeds_are_set_again() {
    let (mut bench, feed) = half_open();
    set(&mut bench, [Feed::new("other"), Feed::new("ledger-db")]);
    bench.run(5, Outcome::success(ms(1)));
    assert!(!is_ramping(&bench));
    bench.tell(feed, 4, GOOD);
    assert!(is_ramping(&bench));
}

#[test]
fn probes_that_waited_for_a_feed_that_is_gone_wait_no_longer() {
    let (mut bench, _) = half_open();
    bench.run(5, Outcome::success(ms(1)));
    assert!(!is_ramping(&bench));
    set(&mut bench, []);
    assert!(is_ramping(&bench));
}

#[test]
fn the_numbers_of_a_breaker_are_those_of_the_source_that_decides() {
    let (mut bench, feed) = fed();
    let deciding = |bench: &mut Bench| bench.snapshot().deciding().name.to_string();
    // Silence everywhere is the proxy's.
    assert_eq!(deciding(&mut bench), "proxy");
    // Fed by telemetry alone, refusals included.
    bench.tell(feed, 5, GOOD);
    bench.breaker.force(Mode::ForcedOpen, at(0.0));
    assert!(bench.acquire().is_err());
    assert_eq!(deciding(&mut bench), "ledger-db");
    bench.breaker.force(Mode::ForcedClosed, at(0.0));
    bench.breaker.force(Mode::Auto, at(0.0));
    // Requests through the proxy decide over the feed.
    bench.run(10, Outcome::success(ms(1)));
    assert_eq!(deciding(&mut bench), "proxy");
    // A feed that trips the breaker is what it is open for, until it is closed.
    bench.tell(feed, 20, BAD);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(deciding(&mut bench), "ledger-db");
    bench.pass_to(10.0);
    assert_eq!(bench.state(), State::HalfOpen);
    assert_eq!(deciding(&mut bench), "ledger-db");
    bench.breaker.reset(at(10.0));
    assert_eq!(deciding(&mut bench), "proxy");
}
