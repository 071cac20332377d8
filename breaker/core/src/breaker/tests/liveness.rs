//! The other half of every bound: after trouble of whatever kind ends, everything is admitted and
//! everything is back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::outcome::Attribution;

/// Something that happens to a route.
#[derive(Clone, Debug)]
enum Act {
    /// So many milliseconds pass, without a request.
    Silence(u64),
    /// So many requests a second for so many milliseconds, which all end in one way.
    Traffic {
        rate: u64,
        millis: u64,
        end: End,
    },
    /// A feed tells of so many requests.
    Tell {
        requests: u32,
        failed: bool,
        latency: u64,
    },
    Force(Mode),
    ForceFor(Mode, u64),
    SetPolicy(usize),
    Reset,
}

/// How a request ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Success(u64),
    Failure(u64),
    /// It is never answered, and ends with the trouble.
    Hang,
    /// Its caller leaves before the answer.
    Abandoned(u64),
    /// The head of its answer comes, and its body lasts as long as the trouble.
    Stream,
    /// The same, and its caller reads nothing.
    Unread,
    /// Its caller never stops sending.
    Upload,
}

const POLICIES: [&str; 4] = ["conservative", "sensitive", "combined", "adaptive"];

/// Seconds of healthy traffic after which everything is admitted, whatever was before: the longest
/// open time with its jitter, the trial, and a window.
fn patience(policy: &str) -> f64 {
    match policy {
        "conservative" => 900.0,
        "adaptive" => 240.0,
        _ => 480.0,
    }
}

fn act() -> impl Strategy<Value = Act> {
    let end = prop_oneof![
        3 => (1_u64..200).prop_map(End::Success),
        1 => (900_u64..3000).prop_map(End::Success),
        3 => (1_u64..200).prop_map(End::Failure),
        1 => Just(End::Hang),
        1 => (1_u64..2000).prop_map(End::Abandoned),
        1 => Just(End::Stream),
        1 => Just(End::Unread),
        1 => Just(End::Upload),
    ];
    let mode = prop::sample::select(Mode::ALL.to_vec());
    prop_oneof![
        2 => prop_oneof![0_u64..2000, 0_u64..100_000_000].prop_map(Act::Silence),
        8 => (1_u64..100, 0_u64..5000, end)
            .prop_map(|(rate, millis, end)| Act::Traffic { rate, millis, end }),
        2 => (1_u32..50, any::<bool>(), 1_u64..3000)
            .prop_map(|(requests, failed, latency)| Act::Tell { requests, failed, latency }),
        1 => mode.clone().prop_map(Act::Force),
        1 => (mode, 1_u64..100_000).prop_map(|(mode, millis)| Act::ForceFor(mode, millis)),
        1 => (0..POLICIES.len()).prop_map(Act::SetPolicy),
        1 => Just(Act::Reset),
    ]
}

/// A breaker with a feed, and the permits that are out: each ends at a time, or with the trouble.
struct World {
    bench: Bench,
    feed: SourceId,
    ending: Vec<(f64, Permit, Outcome)>,
    hanging: Vec<Permit>,
}

impl World {
    fn new(policy: &str) -> Self {
        let mut bench = Bench::new(Policy::builtin(policy).unwrap());
        let feed = bench.breaker.add_feed(Feed::new("ledger"));
        Self {
            bench,
            feed,
            ending: Vec::new(),
            hanging: Vec::new(),
        }
    }

    fn play(&mut self, act: &Act) {
        match *act {
            Act::Silence(millis) => self.pass(millis as f64 / 1e3),
            Act::Traffic { rate, millis, end } => {
                for _ in 0..rate * millis / 1000 {
                    self.send(end);
                    self.pass(1.0 / rate as f64);
                }
            }
            Act::Tell {
                requests,
                failed,
                latency,
            } => {
                let outcome = match failed {
                    true => Outcome::failure(ms(latency)),
                    false => Outcome::success(ms(latency)),
                };
                self.bench.tell(self.feed, requests, outcome);
            }
            Act::Force(mode) => self.bench.breaker.force(mode, at(self.bench.now)),
            Act::ForceFor(mode, millis) => {
                let now = at(self.bench.now);
                self.bench.breaker.force_for(mode, ms(millis), now);
            }
            Act::SetPolicy(index) => self.set_policy(POLICIES[index]),
            Act::Reset => self.bench.breaker.reset(at(self.bench.now)),
        }
    }

    fn set_policy(&mut self, name: &str) {
        let policy = Policy::builtin(name).unwrap();
        self.bench.breaker.set_policy(policy, at(self.bench.now));
    }

    /// Sends a request; returns whether it was admitted.
    fn send(&mut self, end: End) -> bool {
        let Ok(mut permit) = self.bench.acquire() else {
            return false;
        };
        let now = self.bench.now;
        let mut ends = |permit, millis: u64, outcome| {
            self.ending
                .push((now + millis as f64 / 1e3, permit, outcome));
        };
        match end {
            End::Success(millis) => ends(permit, millis, Outcome::success(ms(millis))),
            End::Failure(millis) => ends(permit, millis, Outcome::failure(ms(millis))),
            End::Abandoned(millis) => {
                let outcome = Outcome::ignored(ms(millis)).caused_by(Attribution::Caller);
                ends(permit, millis, outcome);
            }
            End::Hang => self.hanging.push(permit),
            End::Stream | End::Unread => {
                self.bench.breaker.responded(&mut permit, ms(1), at(now));
                self.bench.breaker.begun(&mut permit, at(now));
                if matches!(end, End::Unread) {
                    self.bench.breaker.paused(&mut permit, at(now));
                }
                self.hanging.push(permit);
            }
            End::Upload => {
                self.bench.breaker.uploading(&mut permit);
                self.hanging.push(permit);
            }
        }
        true
    }

    /// Lets time pass; what ends meanwhile ends at its time.
    fn pass(&mut self, seconds: f64) {
        let until = self.bench.now + seconds;
        self.ending.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        while self.ending.last().is_some_and(|(ends, ..)| *ends <= until) {
            let (ends, permit, outcome) = self.ending.pop().unwrap();
            self.bench.pass_to(ends.max(self.bench.now));
            self.bench.record(permit, outcome);
        }
        self.bench.pass_to(until);
    }

    /// The trouble ends: what hangs is given up, and an operator lets the policy decide.
    fn end_trouble(&mut self, policy: &str) {
        for permit in std::mem::take(&mut self.hanging) {
            self.bench.record(permit, Outcome::ignored(ms(1000)));
        }
        self.pass(5.0);
        let now = at(self.bench.now);
        self.bench.breaker.force(Mode::Auto, now);
        self.set_policy(policy);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_the_trouble_everything_is_admitted_and_everything_is_back(
        policy in prop::sample::select(POLICIES.to_vec()),
        first in prop::sample::select(POLICIES.to_vec()),
        acts in vec(act(), 0..24),
    ) {
        let mut world = World::new(first);
        for act in &acts {
            world.play(act);
        }
        world.end_trouble(policy);
        for _ in 0..(patience(policy) * 5.0) as u32 {
            world.send(End::Success(20));
            world.pass(0.2);
        }
        world.bench.events();
        for _ in 0..300 {
            prop_assert!(world.send(End::Success(20)), "{:?}", world.bench.breaker.reason);
            world.pass(0.2);
        }
        prop_assert_eq!(world.bench.events(), []);
        world.pass(1.0);
        let snapshot = world.bench.snapshot();
        prop_assert_eq!((snapshot.state, snapshot.in_flight), (State::Closed, 0));
        prop_assert!(snapshot.shedding.is_none());
        prop_assert_eq!(world.bench.breaker.waiting, 0);
        world.pass(3600.0);
        prop_assert_eq!(world.bench.events(), []);
    }
}
