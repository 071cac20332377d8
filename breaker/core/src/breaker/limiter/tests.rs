use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// An upstream that answers one request after the other, each within `turn`, `aside` of its turn;
/// and callers without patience for a limit.
struct World {
    limiter: Limiter,
    now: f64,
    turn: f64,
    aside: f64,
    free: f64,
    /// Sent and ends.
    in_flight: VecDeque<(f64, f64)>,
    admitted: u32,
    refused: u32,
}

impl World {
    fn new(limiter: Limiter, turn: f64, aside: f64) -> Self {
        Self {
            limiter,
            now: 0.0,
            turn,
            aside,
            free: 0.0,
            in_flight: VecDeque::new(),
            admitted: 0,
            refused: 0,
        }
    }

    /// For so many seconds `rate` requests arrive a second. Returns the share that was admitted.
    fn run(&mut self, seconds: f64, rate: f64) -> f64 {
        (self.admitted, self.refused) = (0, 0);
        for _ in 0..(seconds * rate) as u32 {
            self.now += 1.0 / rate;
            self.arrive();
        }
        f64::from(self.admitted) / f64::from(self.admitted + self.refused)
    }

    fn arrive(&mut self) {
        while let Some((sent, ends)) = self.in_flight.front().copied()
            && ends <= self.now
        {
            self.in_flight.pop_front();
            let latency = Duration::from_secs_f64(ends - sent);
            self.limiter.ended(at(sent), Some(latency));
            self.limiter.judge(at(ends));
        }
        self.limiter.judge(at(self.now));
        if !self.limiter.has_room(self.in_flight.len() as u64) {
            self.limiter.refused();
            self.refused += 1;
            return;
        }
        self.admitted += 1;
        self.limiter
            .sent(self.in_flight.len() as u64 + 1, at(self.now));
        self.free = self.free.max(self.now) + self.turn;
        self.in_flight.push_back((self.now, self.free + self.aside));
    }
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn limiter(limit: f64, target: u64) -> Limiter {
    Limiter::new(limit, ms(target), None, Timestamp::ZERO)
}

#[test]
fn an_overloaded_upstream_gets_what_it_completes_and_is_in_time() {
    // 80 turns a second, 200 requests a second.
    let mut world = World::new(limiter(20.0, 100), 1.0 / 80.0, 0.02);
    world.run(5.0, 200.0);
    let share = world.run(20.0, 200.0);
    assert!((0.38..=0.402).contains(&share), "{share}");
    let (sent, ends) = world.in_flight.back().copied().unwrap();
    assert!((0.05..0.15).contains(&(ends - sent)), "{}", ends - sent);
}

#[test]
fn an_upstream_that_can_do_more_gets_more() {
    let mut world = World::new(limiter(1.0, 100), 1.0 / 1000.0, 0.02);
    let first = world.run(1.0, 500.0);
    assert!(first < 0.5, "{first}");
    world.run(4.0, 500.0);
    assert_eq!(world.run(5.0, 500.0), 1.0);
}

#[test]
fn an_upstream_that_is_slow_by_itself_loses_a_second_or_two_of_its_requests() {
    // All take 500 ms, however few there are; before, 50 were in flight.
    let before = Level {
        in_flight: 50.0,
        latency: 0.5,
    };
    let limiter = Limiter::new(10.0, ms(100), Some(before), Timestamp::ZERO);
    let mut world = World::new(limiter, 0.0, 0.5);
    world.run(3.0, 100.0);
    assert!(world.refused < 200, "{} of 300", world.refused);
    assert_eq!(world.limiter.target(), ms(1000));
    assert_eq!(world.run(300.0, 100.0), 1.0);
}

#[test]
fn without_a_time_before_it_finds_by_itself_that_fewer_are_no_faster() {
    let mut world = World::new(limiter(10.0, 100), 0.0, 0.5);
    world.run(10.0, 100.0);
    assert!(world.limiter.target() >= ms(1000));
}

#[test]
fn a_queue_from_before_is_worked_off_and_not_taken_for_slowness() {
    let mut world = World::new(limiter(3.0, 100), 1.0 / 20.0, 0.02);
    world.free = 1.0;
    world.run(10.0, 100.0);
    assert_eq!(world.limiter.target(), ms(100));
    let share = world.run(20.0, 100.0);
    assert!((0.17..=0.21).contains(&share), "{share}");
}

#[test]
fn requests_that_hang_lower_the_limit_though_nothing_ends() {
    let mut limiter = limiter(20.0, 100);
    for millis in 0..20 {
        limiter.sent(millis + 1, Timestamp::from_millis(millis * 10));
    }
    limiter.judge(at(0.9));
    assert_eq!(limiter.limit(), 20, "it is not clear yet");
    limiter.judge(at(1.0));
    assert_eq!(limiter.limit(), 10);
}

#[test]
fn requests_from_before_and_ends_that_say_nothing_do_not_count() {
    let mut limiter = limiter(10.0, 100);
    limiter.restart(at(10.0));
    for index in 0..30 {
        let sent = 10.0 + 0.01 * f64::from(index);
        limiter.sent(1, at(sent));
        limiter.ended(at(9.0), Some(ms(5000)));
        limiter.ended(at(sent), None);
    }
    limiter.judge(at(100.0));
    assert_eq!(limiter.limit(), 10);
}

#[test]
fn a_limit_that_nobody_reaches_does_not_grow() {
    let mut world = World::new(limiter(10.0, 100), 0.0, 0.01);
    assert_eq!(world.run(60.0, 50.0), 1.0);
    assert_eq!(world.limiter.limit(), 10);
}

#[derive(Clone, Debug)]
enum Step {
    Sent(u64),
    Refused,
    Ended(u64, Option<u64>),
    Judge,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => any::<u64>().prop_map(Step::Sent),
        1 => Just(Step::Refused),
        4 => (any::<u64>(), proptest::option::of(any::<u64>())).prop_map(|(sent, latency)| Step::Ended(sent, latency)),
        2 => Just(Step::Judge),
        1 => Just(Step::Restart),
    ];
    let pause = prop_oneof![0..1_000_000_000_u64, any::<u64>()];
    proptest::collection::vec((pause, step), 0..300)
}

proptest! {
    #[test]
    fn whatever_happens_the_limit_and_the_target_are_within_bounds(
        limit in any::<f64>(),
        target in any::<u64>(),
        before in proptest::option::of((any::<f64>(), any::<f64>())),
        steps in steps(),
    ) {
        let before = before.map(|(in_flight, latency)| Level { in_flight, latency });
        let mut limiter = Limiter::new(limit, Duration::from_nanos(target), before, Timestamp::ZERO);
        let mut now = 0_u64;
        for (pause, step) in steps {
            now = now.saturating_add(pause);
            let now = Timestamp::from_nanos(now);
            match step {
                Step::Sent(in_flight) => limiter.sent(in_flight, now),
                Step::Refused => limiter.refused(),
                Step::Ended(sent, latency) => {
                    let latency = latency.map(Duration::from_nanos);
                    limiter.ended(Timestamp::from_nanos(sent), latency);
                }
                Step::Judge => limiter.judge(now),
                Step::Restart => limiter.restart(now),
            }
            prop_assert!((1..=1_000_000).contains(&limiter.limit()));
            prop_assert!(limiter.has_room(0), "one may always be sent");
            prop_assert!(limiter.target() <= Duration::from_secs(3600));
        }
    }

    #[test]
    fn more_than_the_limit_are_never_in_flight(
        rate in 1.0..500.0_f64,
        turn in 0.0..0.2_f64,
        aside in 0.0..1.0_f64,
        target in 1..2000_u64,
    ) {
        let mut world = World::new(limiter(5.0, target), turn, aside);
        for _ in 0..300 {
            world.now += 1.0 / rate;
            let before = world.in_flight.len();
            world.arrive();
            let after = world.in_flight.len();
            prop_assert!(after <= before || after as u64 <= world.limiter.limit());
        }
    }
}

#[test]
fn a_full_cohort_that_says_nothing_makes_room_for_another() {
    let at = Timestamp::from_millis;
    let mut limiter = Limiter::new(2.0, Duration::from_millis(100), None, at(0));
    for index in 0..30 {
        limiter.sent(1, at(index * 10));
    }
    for index in 0..30 {
        limiter.ended(at(index * 10), None);
    }
    limiter.judge(at(400));
    for index in 40..80 {
        limiter.refused();
        limiter.sent(1, at(index * 10));
        limiter.ended(at(index * 10), Some(Duration::from_millis(10)));
        limiter.judge(at(index * 10));
    }
    assert!(limiter.limit() > 2, "{}", limiter.limit());
}
