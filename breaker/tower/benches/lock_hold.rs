//! How long each use of a breaker holds its lock at most: the time of the whole call, alone on its
//! breaker, which is a little more than that of the lock. Requests wait for whoever holds it, so
//! the aim is 20 µs. Feeds tell of 256 samples at a time, as the sidecar's receiver does.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use breaker_tower::core::{Feed, Outcome, Sample, SourceId, Verdict};
use breaker_tower::{BreakerHandle, Mode, Policy};
use tokio::time::Instant;

/// One use of a breaker and its feed, by the number of the round.
type Use = Box<dyn Fn(&BreakerHandle, SourceId, u32)>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime without I/O");
    let _entered = runtime.enter();
    println!("| policy | use | p50 µs | p99 µs | p99.9 µs | longest µs |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for policy in ["sensitive", "combined", "adaptive"] {
        for (name, act) in uses(policy) {
            let (breaker, feed) = busy(policy);
            let mut took: Vec<_> = (0..ROUNDS)
                .map(|round| {
                    let begin = Instant::now();
                    act(&breaker, feed, round);
                    begin.elapsed()
                })
                .collect();
            took.sort();
            let at = |share: f64| micros(took[(took.len() as f64 * share) as usize]);
            let longest = took.last().copied().map_or(0.0, micros);
            println!(
                "| {policy} | {name} | {:.2} | {:.2} | {:.2} | {longest:.2} |",
                at(0.5),
                at(0.99),
                at(0.999),
            );
        }
    }
}

/// Everything that the sidecar does with the breaker of a route while requests want it.
fn uses(policy: &'static str) -> Vec<(&'static str, Use)> {
    let other = builtin(if policy == "sensitive" {
        "conservative"
    } else {
        "sensitive"
    });
    vec![
        ("a request", Box::new(|breaker, _, _| request(breaker))),
        (
            "256 samples of a feed",
            Box::new(|breaker, feed, round| {
                let now = breaker.now();
                let samples = (0..256).map(|index| {
                    let outcome = outcome_of(round.wrapping_mul(256) + index);
                    Sample::new(outcome.verdict, Some(outcome.latency), now)
                });
                breaker.observe(feed, samples.collect::<Vec<_>>(), |observed| {
                    black_box(observed);
                });
            }),
        ),
        (
            "snapshot",
            Box::new(|breaker, _, _| drop(black_box(breaker.snapshot()))),
        ),
        (
            "explain",
            Box::new(|breaker, _, _| drop(black_box(breaker.examine()))),
        ),
        (
            "baseline",
            Box::new(|breaker, _, _| drop(black_box(breaker.baseline()))),
        ),
        (
            "policy replaced",
            Box::new(move |breaker, _, round| {
                let next = if round.is_multiple_of(2) {
                    other.clone()
                } else {
                    builtin(policy)
                };
                breaker.set_policy(next);
            }),
        ),
        (
            "mode",
            Box::new(|breaker, _, round| {
                breaker.force(if round.is_multiple_of(2) {
                    Mode::ForcedClosed
                } else {
                    Mode::Auto
                });
            }),
        ),
        ("reset", Box::new(|breaker, _, _| breaker.reset())),
    ]
}

/// A breaker with a full window of latencies of three orders of magnitude.
fn busy(policy: &str) -> (BreakerHandle, SourceId) {
    let breaker = BreakerHandle::new("pay", builtin(policy));
    let feed = breaker.add_feed(Feed::new("app"));
    for round in 0..20_000 {
        request(&breaker);
        let outcome = outcome_of(round);
        let sample = Sample::new(outcome.verdict, Some(outcome.latency), breaker.now());
        breaker.observe(feed, [sample], |observed| {
            black_box(observed);
        });
    }
    (breaker, feed)
}

fn request(breaker: &BreakerHandle) {
    match breaker.try_acquire() {
        Ok(request) => request.finish(Verdict::Success),
        Err(rejected) => drop(black_box(rejected)),
    }
}

/// Rarely a failure, with latencies from 0.1 ms to 100 ms.
fn outcome_of(number: u32) -> Outcome {
    let latency =
        Duration::from_micros(100 + u64::from(number.wrapping_mul(7919) % 1000).pow(2) / 10);
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
