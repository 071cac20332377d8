//! How long each use of a breaker holds the lock that requests wait for: the time of what is done
//! under it. The aim is 20 µs. A feed tells of as many samples at a time as the sidecar's receiver
//! does. On a machine with other work, the longest times are those of the scheduler.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use breaker_tower::breaker_core::{Breaker, Feed, Outcome, Sample, SourceId, Timestamp};
use breaker_tower::{Mode, Policy};
use tokio::time::Instant;

/// A breaker that has seen enough, and the time it is.
struct Busy {
    breaker: Breaker,
    feed: SourceId,
    now: Timestamp,
}

type Use = fn(&mut Busy, round: u32);

fn main() {
    println!("| policy | use | p50 µs | p99 µs | p99.9 µs | longest µs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for policy in ["sensitive", "combined", "adaptive"] {
        for (name, act) in USES {
            let mut busy = Busy::with(policy);
            let mut took: Vec<_> = (0..ROUNDS)
                .map(|round| {
                    busy.now = busy.now + BETWEEN;
                    let begin = Instant::now();
                    act(&mut busy, round);
                    begin.elapsed()
                })
                .collect();
            took.sort();
            let at = |share: f64| micros(took[(took.len() as f64 * share) as usize]);
            println!(
                "| {policy} | {name} | {:.2} | {:.2} | {:.2} | {:.2} |",
                at(0.5),
                at(0.99),
                at(0.999),
                took.last().copied().map_or(0.0, micros),
            );
        }
    }
}

/// What the sidecar does with the breaker of a route while requests want it.
const USES: [(&str, Use); 10] = [
    ("a request", |busy, round| busy.request(round)),
    ("samples of a feed", |busy, round| busy.tell(SAMPLES, round)),
    ("time passes", |busy, _| {
        busy.breaker.handle_timeout(busy.now);
    }),
    ("snapshot", |busy, _| {
        drop(black_box(busy.breaker.snapshot(busy.now)));
    }),
    ("copy to explain", |busy, _| {
        drop(black_box(busy.breaker.clone()));
    }),
    ("baseline", |busy, _| {
        drop(black_box(busy.breaker.baseline()));
    }),
    ("baseline restored", |busy, _| {
        let baseline = busy.breaker.baseline();
        black_box(busy.breaker.restore_baseline(&baseline));
    }),
    ("policy replaced", |busy, round| {
        let name = ["adaptive", "combined", "conservative"][round as usize % 3];
        busy.breaker.set_policy(builtin(name), busy.now);
    }),
    ("mode", |busy, round| {
        let mode = [Mode::ForcedClosed, Mode::Auto][round as usize % 2];
        busy.breaker.force(mode, busy.now);
    }),
    ("reset", |busy, _| busy.breaker.reset(busy.now)),
];

impl Busy {
    /// Its window is full of latencies of three orders of magnitude.
    fn with(policy: &str) -> Self {
        let mut breaker = Breaker::new(builtin(policy), 1, Timestamp::ZERO);
        let feed = breaker.add_feed(Feed::new("app"));
        let mut busy = Self {
            breaker,
            feed,
            now: Timestamp::ZERO,
        };
        for round in 0..20_000 {
            busy.now = busy.now + BETWEEN;
            busy.request(round);
            busy.tell(1, round);
        }
        busy
    }

    fn request(&mut self, round: u32) {
        if let Ok(permit) = self.breaker.try_acquire(self.now) {
            self.breaker.record(permit, outcome_of(round), self.now);
        }
        while let Some(event) = self.breaker.poll_event() {
            drop(black_box(event));
        }
    }

    fn tell(&mut self, samples: u32, round: u32) {
        for index in 0..samples {
            let outcome = outcome_of(round.wrapping_mul(samples) + index);
            let sample = Sample::new(outcome.classification, Some(outcome.latency), self.now);
            black_box(self.breaker.observe(self.feed, &sample, self.now));
        }
    }
}

/// Rarely a failure, and latencies from 0.1 ms to 100 ms.
fn outcome_of(number: u32) -> Outcome {
    let spread = u64::from(number.wrapping_mul(7919) % 1000);
    let latency = Duration::from_micros(100 + spread.pow(2) / 10);
    if number.is_multiple_of(997) {
        Outcome::failure(latency)
    } else {
        Outcome::success(latency)
    }
}

fn builtin(name: &str) -> Policy {
    Policy::builtin(name).expect("it is one")
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

const ROUNDS: u32 = 20_000;
/// A thousand requests a second.
const BETWEEN: Duration = Duration::from_millis(1);
/// As `PIECE` of the sidecar's sampler.
const SAMPLES: u32 = 128;
