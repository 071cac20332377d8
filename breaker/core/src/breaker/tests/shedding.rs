//! Shedding: the action `shed`, and the limit of a ramp.

use std::collections::VecDeque;

use super::*;

/// Sheds when half of the requests take 200 ms; the target is 100 ms.
fn shedding() -> Policy {
    tripping_on([TripEntry::shed([Condition::SlowRate {
        share: Ratio::of(1, 2),
        threshold: ms(200),
    }])])
}

/// A breaker in front of an upstream that does one request after the other.
struct Upstream {
    bench: Bench,
    /// How long a request takes when its turn has come.
    turn: f64,
    free: f64,
    in_flight: VecDeque<(Permit, f64, f64)>,
    most_in_flight: usize,
    refused: Vec<Rejected>,
}

impl Upstream {
    fn new(policy: Policy) -> Self {
        Self {
            bench: Bench::new(policy),
            turn: 0.005,
            free: 0.0,
            in_flight: VecDeque::new(),
            most_in_flight: 0,
            refused: Vec::new(),
        }
    }

    /// 100 requests a second for so many seconds; returns how many were admitted.
    fn traffic(&mut self, seconds: f64) -> u32 {
        let requests = (seconds * 100.0) as u32;
        (0..requests).map(|_| u32::from(self.arrive())).sum()
    }

    fn arrive(&mut self) -> bool {
        let next = self.bench.now + 0.01;
        while let Some((.., ends)) = self.in_flight.front()
            && *ends <= next
        {
            let (permit, sent, ends) = self.in_flight.pop_front().unwrap();
            self.bench.pass_to(ends.max(self.bench.now));
            let latency = Duration::from_secs_f64(ends - sent);
            self.bench.record(permit, Outcome::success(latency));
        }
        self.bench.pass_to(next);
        match self.bench.acquire() {
            Ok(permit) => {
                self.free = self.free.max(next) + self.turn;
                self.in_flight.push_back((permit, next, self.free));
                self.most_in_flight = self.most_in_flight.max(self.in_flight.len());
                true
            }
            Err(refusal) => {
                self.refused.push(refusal);
                false
            }
        }
    }
}

/// An upstream that was well for 60 s, and then could do half of what arrives for 10 s.
fn overloaded() -> Upstream {
    let mut upstream = Upstream::new(shedding());
    assert_eq!(upstream.traffic(60.0), 6000);
    assert_eq!(upstream.bench.events(), []);
    upstream.turn = 0.02;
    upstream.traffic(10.0);
    upstream
}

#[test]
fn an_overloaded_upstream_gets_what_it_can_do_and_the_breaker_stays_closed() {
    let mut upstream = overloaded();
    let events = upstream.bench.events();
    let [Event::SheddingStarted { reason, limit, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    let reason = reason.to_string();
    assert!(
        reason.contains("of the requests took 200ms or longer"),
        "{reason}"
    );
    assert_eq!(*limit, 10, "100 a second, 100 ms each");
    upstream.most_in_flight = 0;
    let admitted = upstream.traffic(20.0);
    assert!((940..=1010).contains(&admitted), "{admitted} of 2000");
    assert!(upstream.most_in_flight <= 10, "{}", upstream.most_in_flight);
    assert_eq!(upstream.bench.state(), State::Closed);
    assert_eq!(upstream.bench.events(), []);

    let snapshot = upstream.bench.snapshot();
    let shedding = snapshot.shedding.unwrap();
    assert!((3..=10).contains(&shedding.limit), "{shedding:?}");
    assert_eq!(shedding.target, ms(100));
    let remaining = shedding.remaining.unwrap().as_secs_f64();
    assert!((9.0..=10.0).contains(&remaining), "it still refuses");
    let share = shedding.admitted_share.get();
    assert!((0.4..0.6).contains(&share), "{share}");
    assert_eq!(snapshot.admitted_share, shedding.admitted_share);
    assert_eq!(snapshot.totals.rejected, upstream.refused.len() as u64);
}

#[test]
fn a_refusal_says_how_many_are_in_flight_and_that_it_may_soon_be_tried_again() {
    let mut upstream = overloaded();
    upstream.refused.clear();
    upstream.traffic(5.0);
    let refusal = upstream.refused.last().unwrap();
    let shed = refusal.shed.unwrap();
    assert!(shed.in_flight >= shed.limit);
    assert_eq!(refusal.state, State::Closed);
    assert_eq!(refusal.cause().label(), "shedding");
    let told = refusal.cause().to_string();
    let begins = format!(
        "shedding: {} in flight of at most {}; ",
        shed.in_flight, shed.limit
    );
    assert!(told.starts_with(&begins), "{told}");
    assert!(told.ends_with("(source proxy)"), "{told}");
    assert!((ms(500)..=ms(1000)).contains(&refusal.retry_after));
    let [.., one, other] = &upstream.refused[..] else {
        panic!("too few");
    };
    assert!(Arc::ptr_eq(&one.ground, &other.ground), "they share it");
}

#[test]
fn it_ends_when_for_ten_seconds_nothing_was_refused_and_nothing_held() {
    let mut upstream = overloaded();
    upstream.bench.events();
    upstream.turn = 0.005;
    let ended = (0..3000).find_map(|_| {
        upstream.arrive();
        let now = upstream.bench.now;
        upstream.bench.events().pop().map(|event| (now, event))
    });
    let (at, event) = ended.unwrap();
    assert!((80.0..84.0).contains(&at), "{at}");
    let Event::SheddingEnded {
        lasted,
        admitted,
        rejected,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert!((10.0..25.0).contains(&lasted.as_secs_f64()), "{lasted:?}");
    assert_eq!(rejected, upstream.refused.len() as u64);
    assert!(admitted > 1000, "{admitted}");
    assert!(upstream.bench.snapshot().shedding.is_none());
    assert_eq!(upstream.traffic(10.0), 1000);
}

#[test]
fn it_does_not_end_because_the_limit_works() {
    let mut upstream = overloaded();
    upstream.bench.events();
    upstream.traffic(120.0);
    assert_eq!(upstream.bench.events(), []);
    assert!(upstream.bench.snapshot().shedding.is_some());
}

#[test]
fn what_is_refused_is_in_no_window() {
    let mut upstream = overloaded();
    upstream.traffic(20.0);
    let snapshot = upstream.bench.snapshot();
    let requests = snapshot.sources[0].requests();
    assert!((450..=520).contains(&requests), "{requests} in 10 s");
    assert_eq!(snapshot.sources[0].failure, 0);
}

#[test]
fn an_upstream_that_is_slow_by_itself_loses_next_to_nothing() {
    let mut bench = Bench::new(shedding());
    let mut in_flight = VecDeque::new();
    let mut refused = 0;
    for index in 0..12_000 {
        let now = f64::from(index) * 0.01;
        while let Some((_, ends)) = in_flight.front()
            && *ends <= now
        {
            let (permit, _) = in_flight.pop_front().unwrap();
            bench.record(permit, Outcome::success(ms(500)));
        }
        bench.pass_to(now);
        match bench.acquire() {
            Ok(permit) => in_flight.push_back((permit, now + 0.5)),
            Err(_) => refused += 1,
        }
    }
    let events = bench.events();
    let told = events.iter().map(|event| match event {
        Event::SheddingStarted { .. } => "begins",
        Event::SheddingEnded { .. } => "ends",
        Event::Alert(_) => "alert",
        _ => "other",
    });
    let told: Vec<_> = told.collect();
    // The first 100 ms nothing was answered; for the rest there are 30 and 60 s between.
    assert_eq!(
        told[..5],
        ["alert", "begins", "ends", "begins", "ends"],
        "{events:?}"
    );
    assert!(refused < 300, "{refused} of 12000");
}

#[test]
fn in_shadow_mode_it_counts_and_refuses_nothing() {
    let mut upstream = Upstream::new(shedding());
    upstream.bench.breaker.force(Mode::Shadow, at(0.0));
    upstream.traffic(60.0);
    upstream.turn = 0.02;
    assert_eq!(upstream.traffic(20.0), 2000);
    let totals = upstream.bench.snapshot().totals;
    assert!(totals.would_reject > 500, "{totals:?}");
    assert_eq!(totals.rejected, 0);
}

#[test]
fn a_forced_breaker_and_another_policy_end_it() {
    let ends = |act: fn(&mut Breaker, Timestamp)| {
        let mut upstream = overloaded();
        upstream.bench.events();
        let now = at(upstream.bench.now);
        act(&mut upstream.bench.breaker, now);
        let events = upstream.bench.events();
        let ended = |event: &Event| matches!(event, Event::SheddingEnded { .. });
        assert!(events.iter().any(ended), "{events:?}");
        assert!(upstream.bench.snapshot().shedding.is_none());
    };
    ends(|breaker, now| breaker.force(Mode::ForcedClosed, now));
    ends(|breaker, now| breaker.force(Mode::ForcedOpen, now));
    ends(|breaker, now| breaker.set_policy(Policy::sensitive(), now));
}

#[test]
fn requests_that_are_uploaded_take_no_place() {
    let mut upstream = overloaded();
    upstream.traffic(5.0);
    let mut uploading = Vec::new();
    while let Ok(mut permit) = upstream.bench.acquire() {
        upstream.bench.breaker.uploading(&mut permit);
        uploading.push(permit);
        if uploading.len() == 100 {
            break;
        }
    }
    assert_eq!(uploading.len() % 100, 0, "all, or none had a place free");
    upstream.traffic(1.0);
    let before = upstream.refused.len();
    upstream.traffic(5.0);
    assert!(upstream.refused.len() - before < 300);
}

#[test]
fn a_ramp_has_a_limit_where_the_policy_sheds() {
    let mut upstream = Upstream::new(Policy::adaptive());
    upstream.traffic(60.0);
    // For 10 s nothing is answered; then 20 requests a second.
    upstream.free += 10.0;
    upstream.turn = 0.05;
    upstream.traffic(10.0);
    let mut left_open = false;
    for _ in 0..6000 {
        upstream.arrive();
        left_open |= upstream.bench.state() == State::HalfOpen;
    }
    assert!(left_open);
    upstream.most_in_flight = 0;
    let admitted = upstream.traffic(20.0);
    assert!((350..=405).contains(&admitted), "{admitted} of 2000");
    assert!(upstream.most_in_flight < 15, "{}", upstream.most_in_flight);
    let snapshot = upstream.bench.snapshot();
    let shedding = snapshot.shedding.expect("the limit binds after the ramp");
    assert_eq!(
        *shedding.reason,
        Reason::RampLimit,
        "not what failed before"
    );
}
