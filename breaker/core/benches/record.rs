//! What a request pays to the state machine: time is an argument, so no clock is in these numbers.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use breaker_core::{Breaker, Mode, Outcome, Policy, Timestamp};
use criterion::{Criterion, criterion_group, criterion_main};

/// 10,000 requests a second, each of 2 ms.
const GAP: u64 = 100_000;
const LATENCY: Duration = Duration::from_millis(2);

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    let mut breaker = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
    let mut nanos = 0;
    group.bench_function("try_acquire + record, closed", |bencher| {
        bencher.iter(|| {
            nanos += GAP;
            let now = Timestamp::from_nanos(nanos);
            if let Ok(permit) = breaker.try_acquire(now) {
                breaker.record(permit, Outcome::success(LATENCY), now + LATENCY);
            }
            while breaker.poll_event().is_some() {}
        });
    });
    let now = Timestamp::from_nanos(nanos);
    group.bench_function("snapshot", |bencher| {
        bencher.iter(|| black_box(breaker.snapshot(now)));
    });
    println!(
        "bytes: {} of a window with traffic and the struct, {} of the struct alone",
        breaker.snapshot(now).window_bytes + size_of::<Breaker>(),
        size_of::<Breaker>()
    );
    breaker.force(Mode::ForcedOpen, now);
    group.bench_function("rejecting", |bencher| {
        bencher.iter(|| black_box(breaker.try_acquire(black_box(now)).is_err()));
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
