//! Requests that hang, or take another way, beside others that are well: no reason to keep those
//! away.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::policy::Signal;
use crate::rng::Rng;

/// A breaker in front of an upstream with a way for each request, and one queue.
struct Mixed {
    bench: Bench,
    luck: Rng,
    rate: f64,
    /// The share of requests that hang: they fail after 5 s.
    hangs: f64,
    /// The share of requests that take `aside` seconds longer than the others.
    slow: f64,
    aside: f64,
    /// How long a request keeps the others waiting, and when the last of them is done.
    turn: f64,
    free: f64,
    /// By the time of their end in nanoseconds, then by number.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    permits: Vec<Option<(Permit, Outcome)>>,
    tally: Tallied,
}

/// What became of the requests that would not hang, and how many were sent in all.
#[derive(Clone, Copy, Debug, Default)]
struct Tallied {
    good: u32,
    refused: u32,
    sent: u32,
}

impl Tallied {
    fn share_refused(self) -> f64 {
        f64::from(self.refused) / f64::from(self.good + self.refused)
    }
}

impl Mixed {
    /// One that was well for 3 min, 100 requests a second of 10 to 60 ms each, 25 ms at the median.
    fn new(policy: Policy, seed: u64) -> Self {
        let mut mixed = Self {
            bench: Bench::new(policy),
            luck: Rng::new(seed),
            rate: 100.0,
            hangs: 0.0,
            slow: 0.0,
            aside: 0.0,
            turn: 0.0,
            free: 0.0,
            ends: BinaryHeap::new(),
            permits: Vec::new(),
            tally: Tallied::default(),
        };
        let healthy = mixed.run(180.0);
        assert_eq!(healthy.refused, 0);
        assert_eq!(mixed.bench.events(), []);
        mixed
    }

    fn run(&mut self, seconds: f64) -> Tallied {
        self.tally = Tallied::default();
        let until = self.bench.now + seconds;
        while self.bench.now < until {
            // 0.5 to 1.5 of the gap: neither in step nor in heaps.
            let gap = (0.5 + self.luck.unit()) / self.rate;
            self.end(self.bench.now + gap);
            self.arrive();
        }
        self.tally
    }

    /// Ends what ends until `seconds`.
    fn end(&mut self, seconds: f64) {
        while let Some(Reverse((ends, index))) = self.ends.peek().copied()
            && ends <= at(seconds).as_nanos()
        {
            self.ends.pop();
            let ends = ends as f64 / 1e9;
            self.bench.pass_to(ends.max(self.bench.now));
            let (permit, outcome) = self.permits[index].take().unwrap();
            self.bench.record(permit, outcome);
        }
        self.bench.pass_to(seconds);
    }

    fn arrive(&mut self) {
        let now = self.bench.now;
        let hangs = self.luck.unit() < self.hangs;
        let is_slow = self.luck.unit() < self.slow;
        let own = 0.01 * (1.8 * self.luck.unit()).exp() + if is_slow { self.aside } else { 0.0 };
        let Ok(permit) = self.bench.acquire() else {
            self.tally.refused += u32::from(!hangs);
            return;
        };
        self.tally.sent += 1;
        self.tally.good += u32::from(!hangs);
        self.free = self.free.max(now) + self.turn;
        let latency = if hangs { 5.0 } else { self.free - now + own };
        let took = Duration::from_secs_f64(latency);
        let outcome = match hangs {
            true => Outcome::failure(took),
            false => Outcome::success(took),
        };
        self.ends
            .push(Reverse((at(now + latency).as_nanos(), self.permits.len())));
        self.permits.push(Some((permit, outcome)));
    }

    fn shedding_begins(&mut self) -> Vec<f64> {
        let events = self.bench.events();
        let begins = events.iter().filter_map(|event| match event {
            Event::SheddingStarted { at, .. } => Some(at.as_nanos() as f64 / 1e9),
            _ => None,
        });
        begins.collect()
    }
}

/// `adaptive` with its entry that sheds alone.
fn only_sheds() -> Policy {
    let entries = Policy::adaptive().trip().to_vec();
    let sheds = entries
        .into_iter()
        .filter(|entry| entry.action == Action::Shed);
    policy::Builder::from(Policy::adaptive())
        .trip(sheds.collect::<Vec<_>>())
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_share_hangs_below_the_opening_share_the_others_are_admitted(
        share in 0.0..0.25_f64,
        seed: u64,
    ) {
        let mut mixed = Mixed::new(Policy::adaptive(), seed);
        mixed.hangs = share;
        let tally = mixed.run(60.0);
        prop_assert_eq!(mixed.bench.transitions(), Vec::<String>::new());
        prop_assert!(tally.share_refused() < 0.005, "{:?}", tally);
    }

    #[test]
    fn a_limit_keeps_nobody_away_for_those_that_hang(share in 0.0..0.4_f64, seed: u64) {
        let mut mixed = Mixed::new(only_sheds(), seed);
        mixed.hangs = share;
        let tally = mixed.run(60.0);
        prop_assert!(tally.share_refused() < 0.005, "{:?}", tally);
    }

    #[test]
    fn nor_for_those_that_go_another_way(share in 0.0..0.4_f64, aside in 0.1..0.6_f64, seed: u64) {
        let mut mixed = Mixed::new(Policy::adaptive(), seed);
        (mixed.slow, mixed.aside) = (share, aside);
        let tally = mixed.run(60.0);
        prop_assert!(tally.share_refused() < 0.001, "{:?} {:?}", tally, mixed.bench.events());
    }
}

#[test]
fn where_the_others_are_well_it_alerts_and_does_not_shed() {
    let mut mixed = Mixed::new(Policy::adaptive(), 1);
    (mixed.slow, mixed.aside) = (0.3, 0.1);
    mixed.run(60.0);
    let events = mixed.bench.events();
    let [Event::Alert(alert)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(alert.signal(), "latency");
    mixed.slow = 0.0;
    mixed.run(120.0);
    let events = mixed.bench.events();
    assert!(
        matches!(events[..], [Event::AlertEnded { .. }]),
        "{events:?}"
    );
}

#[test]
fn an_overload_beside_requests_that_hang_is_shed_and_does_not_open() {
    for share in [0.05, 0.1, 0.2, 0.25] {
        let mut mixed = Mixed::new(Policy::adaptive(), 2);
        (mixed.hangs, mixed.turn) = (share, 1.0 / 80.0);
        mixed.run(20.0);
        // What is observed of the seconds before is displaced by nothing.
        for rate in [100.0, 400.0, 100.0] {
            mixed.rate = rate;
            mixed.run(5.0);
            let tally = mixed.run(30.0);
            let served = f64::from(tally.sent) / 30.0;
            assert!(
                (64.0..81.0).contains(&served),
                "{share}, {rate}: {served} of 80"
            );
        }
        assert_eq!(mixed.bench.transitions(), Vec::<String>::new(), "{share}");
    }
}

#[test]
fn where_every_request_hangs_a_limit_lets_few_through() {
    let mut mixed = Mixed::new(only_sheds(), 3);
    mixed.hangs = 1.0;
    mixed.run(10.0);
    assert!(mixed.bench.snapshot().shedding.is_some());
    let tally = mixed.run(20.0);
    assert!(tally.sent < 60, "{tally:?}");
}

#[test]
fn what_fewer_requests_do_not_make_faster_is_tried_ever_more_rarely() {
    let mut mixed = Mixed::new(Policy::adaptive(), 4);
    (mixed.slow, mixed.aside) = (1.0, 0.3);
    let tally = mixed.run(400.0);
    let begins = mixed.shedding_begins();
    let gaps: Vec<_> = begins.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps.len(), 3, "{begins:?}");
    for (gap, wait) in gaps.into_iter().zip([30.0, 60.0, 120.0]) {
        assert!((wait..wait + 5.0).contains(&gap), "{gap} of {wait}");
    }
    assert!(tally.share_refused() < 0.02, "{tally:?}");
    assert_eq!(mixed.bench.state(), State::Closed);
}

#[test]
fn a_queue_that_begins_while_it_is_not_tried_is_shed_at_once() {
    let mut mixed = Mixed::new(Policy::adaptive(), 5);
    (mixed.slow, mixed.aside) = (1.0, 0.3);
    mixed.run(60.0);
    assert!(!mixed.shedding_begins().is_empty());
    assert!(mixed.bench.snapshot().shedding.is_none());
    mixed.turn = 1.0 / 50.0;
    mixed.run(10.0);
    assert!(mixed.bench.snapshot().shedding.is_some());
    assert_eq!(mixed.bench.state(), State::Closed);
}

#[test]
fn a_queue_that_others_pass_by_is_a_queue() {
    // A quarter of the admitted is answered beside the queue, at once.
    let mut mixed = Mixed::new(only_sheds(), 6);
    mixed.turn = 1.0 / 50.0;
    mixed.run(5.0);
    assert!(mixed.bench.snapshot().shedding.is_some());
    for index in 0..1000 {
        let now = mixed.bench.now;
        mixed.end(now + 0.005);
        if index % 3 == 0
            && let Ok(permit) = mixed.bench.acquire()
        {
            mixed.bench.record(permit, Outcome::success(ms(1)));
        }
        mixed.end(now + 0.01);
        mixed.arrive();
        mixed.end(now + 0.02);
        mixed.arrive();
    }
    let snapshot = mixed.bench.snapshot();
    let limit = snapshot.shedding.unwrap().limit;
    assert!(
        snapshot.in_flight <= limit + 1,
        "{} of {limit}",
        snapshot.in_flight
    );
}

#[test]
fn the_watched_signal_is_latency() {
    let policy = only_sheds();
    let signals: Vec<_> = policy.signals().collect();
    assert_eq!(signals, [Signal::Latency]);
}

#[test]
fn those_that_hung_with_many_are_no_evidence_among_few() {
    for (share, seed) in [(0.1, 7), (0.1, 8), (0.2, 9), (0.2, 10)] {
        let mut mixed = Mixed::new(Policy::adaptive(), seed);
        mixed.hangs = share;
        for rate in [800.0, 100.0, 1600.0, 100.0] {
            mixed.rate = rate;
            mixed.run(10.0);
        }
        assert_eq!(mixed.bench.transitions(), Vec::<String>::new(), "{share}");
    }
}

#[test]
fn late_failures_without_anything_beside_them_open() {
    // No signal but that of failures: those that hang are seen when they fail.
    let opens = Policy::adaptive().trip()[..1].to_vec();
    let policy =
        policy::Builder::from(only_sheds()).trip([opens, only_sheds().trip().to_vec()].concat());
    let mut mixed = Mixed::new(policy.build().unwrap(), 11);
    mixed.hangs = 1.0;
    let began = mixed.bench.now;
    while mixed.bench.state() == State::Closed && mixed.bench.now < began + 20.0 {
        mixed.run(0.1);
    }
    let took = mixed.bench.now - began;
    assert!((5.0..5.8).contains(&took), "{took}, with a timeout of 5 s");
}
