//! Whatever happens to a breaker that sheds.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::policy::Recovery;

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    /// So many milliseconds pass.
    Pass(u64),
    /// So many requests ask at once; the last of them is uploaded first.
    Ask {
        requests: u64,
        uploads: bool,
    },
    /// So many of the oldest requests end.
    End {
        requests: usize,
        classification: Classification,
        head_first: bool,
    },
    /// A feed tells of a request.
    Tell {
        failed: bool,
        millis: u64,
        ago: u64,
    },
    /// Classifications are asked for.
    Classifications(u32),
    Reset,
    Force(Mode),
    SetPolicy(usize),
    /// Feeds come and go.
    SetFeed(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let classification = prop_oneof![
        4 => Just(Classification::Success),
        2 => Just(Classification::Failure),
        1 => Just(Classification::Ignored),
    ];
    prop_oneof![
        6 => prop_oneof![4 => 0_u64..400, 1 => 400_u64..30_000].prop_map(Act::Pass),
        6 => (1_u64..40, any::<bool>()).prop_map(|(requests, uploads)| Act::Ask { requests, uploads }),
        6 => (1_usize..40, classification, any::<bool>())
            .prop_map(|(requests, classification, head_first)| Act::End { requests, classification, head_first }),
        2 => (any::<bool>(), 0_u64..2000, 0_u64..12_000)
            .prop_map(|(failed, millis, ago)| Act::Tell { failed, millis, ago }),
        1 => (1_u32..10).prop_map(Act::Classifications),
        1 => Just(Act::Reset),
        1 => prop::sample::select(Mode::ALL.to_vec()).prop_map(Act::Force),
        1 => (0_usize..4).prop_map(Act::SetPolicy),
        1 => any::<bool>().prop_map(Act::SetFeed),
    ]
}

/// Policies that shed and open, with each recovery; one that learns; and one that does not shed.
fn policies() -> [Policy; 4] {
    let shedding = |recovery| {
        let slow = Condition::SlowRate {
            share: Ratio::of(1, 2),
            threshold: ms(200),
        };
        let entries = [
            TripEntry::open([Condition::ErrorRate(Ratio::of(1, 2))]),
            TripEntry::shed([slow]),
        ];
        policy::Builder::from(sensitive())
            .recovery(recovery)
            .trip(entries)
            .build()
            .unwrap()
    };
    [
        shedding(Recovery::Counted),
        shedding(Recovery::Sequential),
        Policy::adaptive(),
        sensitive(),
    ]
}

/// A breaker, the permits that are out, the feed, and what was rejected before.
struct World {
    bench: Bench,
    permits: VecDeque<Permit>,
    feed: SourceId,
    rejected: u64,
}

impl World {
    /// One that sheds: each of 40 requests took 500 ms.
    fn shedding(policy: Policy) -> Self {
        let mut bench = Bench::new(policy);
        let feed = bench.breaker.add_feed(Feed::new("ledger"));
        let permits: Vec<_> = (0..40).map(|_| bench.acquire().unwrap()).collect();
        bench.pass(0.5);
        for permit in permits {
            bench.record(permit, Outcome::success(ms(500)));
        }
        bench.pass(0.1);
        assert!(bench.snapshot().shedding.is_some());
        Self {
            bench,
            permits: VecDeque::new(),
            feed,
            rejected: 0,
        }
    }

    fn play(&mut self, act: &Act) {
        let now = at(self.bench.now);
        match *act {
            Act::Pass(millis) => self.bench.pass(millis as f64 / 1e3),
            Act::Ask { requests, uploads } => {
                let admitted = (0..requests).filter_map(|_| self.bench.acquire().ok());
                self.permits.extend(admitted);
                if let Some(last) = self.permits.back_mut().filter(|_| uploads) {
                    self.bench.breaker.uploading(last);
                }
            }
            Act::End {
                requests,
                classification,
                head_first,
            } => {
                for _ in 0..requests.min(self.permits.len()) {
                    let permit = self.permits.pop_front().unwrap();
                    self.end(permit, classification, head_first);
                }
            }
            Act::Tell {
                failed,
                millis,
                ago,
            } => {
                let outcome = match failed {
                    true => Outcome::failure(ms(millis)),
                    false => Outcome::success(ms(millis)),
                };
                let ended = (self.bench.now - ago as f64 / 1e3).max(0.0);
                self.bench.tell_of(self.feed, 20, outcome, ended);
            }
            Act::Classifications(requests) => drop(self.bench.ask(requests)),
            Act::Reset => self.bench.breaker.reset(now),
            Act::Force(mode) => self.bench.breaker.force(mode, now),
            Act::SetPolicy(index) => {
                self.bench
                    .breaker
                    .set_policy(policies()[index].clone(), now);
            }
            Act::SetFeed(own) => {
                let feed = Feed::new("ledger");
                let feed = match own {
                    true => feed.with_policy(policies()[0].clone()),
                    false => feed,
                };
                self.feed = self.bench.breaker.set_feeds([feed], now)[0];
            }
        }
        self.check();
    }

    fn end(&mut self, mut permit: Permit, classification: Classification, head_first: bool) {
        let now = at(self.bench.now);
        self.bench.breaker.uploaded(&mut permit, now);
        let latency = now.saturating_since(permit.admitted());
        if head_first {
            self.bench.breaker.responded(&mut permit, latency, now);
        }
        self.bench
            .record(permit, Outcome::new(classification, latency));
    }

    fn check(&mut self) {
        let breaker = &self.bench.breaker;
        assert!(breaker.waiting <= breaker.permits_out);
        assert!(breaker.recent_latency.is_finite());
        let snapshot = self.bench.snapshot();
        assert_eq!(snapshot.in_flight, self.permits.len() as u64);
        if let Some(shedding) = snapshot.shedding {
            assert!((1..=1_000_000).contains(&shedding.limit), "{shedding:?}");
            assert!(shedding.target > Duration::ZERO && shedding.target <= ms(3_600_000));
            assert_ne!(snapshot.state, State::Open);
            assert_ne!(snapshot.mode, Mode::ForcedClosed);
        }
        let rejected = snapshot.totals.rejected;
        if matches!(snapshot.mode, Mode::Shadow | Mode::ForcedClosed) {
            assert_eq!(rejected, self.rejected, "in {} mode", snapshot.mode);
        }
        self.rejected = rejected;
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_limit_is_one_at_least_and_all_permits_come_back(
        policy in 0_usize..2,
        acts in vec(act(), 0..120),
    ) {
        let mut world = World::shedding(policies()[policy].clone());
        for act in acts {
            world.play(&act);
        }
        while let Some(permit) = world.permits.pop_front() {
            world.end(permit, Classification::Success, false);
        }
        let breaker = &world.bench.breaker;
        prop_assert_eq!((breaker.waiting, breaker.permits_out), (0, 0));
        // Then there is nothing to shed any more.
        world.bench.breaker.force(Mode::Auto, at(world.bench.now));
        world.bench.pass(60.0);
        prop_assert!(world.bench.snapshot().shedding.is_none_or(|shedding| shedding.remaining.is_none()));
    }
}
