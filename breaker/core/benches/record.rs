//! What a request pays to the state machine: time is an argument, so no clock is in these numbers.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use breaker_core::policy::{Condition, TripEntry};
use breaker_core::{Breaker, Outcome, Policy, State, Timestamp};
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
    // The same while the window has failures in it, so that conditions must be looked at.
    let mut failing = Breaker::new(Policy::sensitive(), 1, Timestamp::ZERO);
    let mut requests = 0_u64;
    group.bench_function("try_acquire + record, closed, 0.1 % fail", |bencher| {
        bencher.iter(|| {
            requests += 1;
            let now = Timestamp::from_nanos(requests * GAP);
            if let Ok(permit) = failing.try_acquire(now) {
                let outcome = match requests.is_multiple_of(1000) {
                    true => Outcome::failure(LATENCY),
                    false => Outcome::success(LATENCY),
                };
                failing.record(permit, outcome, now + LATENCY);
            }
            while failing.poll_event().is_some() {}
        });
    });
    // Ten detectors on three signals, beside the window; what is usual has been learned by then.
    let mut adaptive = Breaker::new(Policy::adaptive(), 1, Timestamp::ZERO);
    let mut elapsed = 0;
    group.bench_function("try_acquire + record, closed, adaptive", |bencher| {
        bencher.iter(|| {
            elapsed += GAP;
            let now = Timestamp::from_nanos(elapsed);
            if let Ok(permit) = adaptive.try_acquire(now) {
                adaptive.record(permit, Outcome::success(LATENCY), now + LATENCY);
            }
            while adaptive.poll_event().is_some() {}
        });
    });
    // A breaker whose policy has the same window and conditions on counts only: the difference is
    // what the detectors cost.
    let counts = [TripEntry::open([Condition::ConsecutiveFailures(100)])];
    let counts = Policy::builder("counts").trip(counts).build();
    let mut counts = Breaker::new(counts.expect("keeps the rules"), 1, Timestamp::ZERO);
    let mut elapsed = 0;
    group.bench_function("try_acquire + record, closed, no detectors", |bencher| {
        bencher.iter(|| {
            elapsed += GAP;
            let now = Timestamp::from_nanos(elapsed);
            if let Ok(permit) = counts.try_acquire(now) {
                counts.record(permit, Outcome::success(LATENCY), now + LATENCY);
            }
            while counts.poll_event().is_some() {}
        });
    });

    let now = Timestamp::from_nanos(nanos);
    group.bench_function("snapshot", |bencher| {
        bencher.iter(|| black_box(breaker.snapshot(now)));
    });

    // The bounds of both are tests: `an_active_window_costs_at_most_64_kib` and
    // `an_idle_breaker_costs_at_most_1_kib`.
    for request in 1..=100_000_u32 {
        // 10 s of latencies of 1 to 100 ms, as many in each octave.
        let share = f64::from(request.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX);
        let latency = Duration::from_secs_f64(0.001 * 100_f64.powf(share));
        nanos += GAP;
        let now = Timestamp::from_nanos(nanos);
        if let Ok(permit) = breaker.try_acquire(now) {
            breaker.record(permit, Outcome::success(latency), now);
        }
    }
    let now = Timestamp::from_nanos(nanos);
    let active = breaker.snapshot(now).window_bytes;
    let later = now + Duration::from_secs(60);
    breaker.handle_timeout(later);
    let idle = breaker.snapshot(later).window_bytes;
    println!(
        "bytes of a route: {} active, {} idle ({} of them the struct)",
        size_of::<Breaker>() + active,
        size_of::<Breaker>() + idle,
        size_of::<Breaker>()
    );

    let later_adaptive = adaptive_idle(&mut adaptive, elapsed);
    println!("bytes of an idle route with detectors: {later_adaptive}");

    while breaker.state() == State::Closed
        && let Ok(permit) = breaker.try_acquire(later)
    {
        breaker.record(permit, Outcome::failure(LATENCY), later);
    }
    group.bench_function("try_acquire, open", |bencher| {
        bencher.iter(|| black_box(breaker.try_acquire(black_box(later)).is_err()));
    });
    group.finish();
}

/// Bytes of a breaker in whose window nothing is left: the struct, and the detectors with what they
/// have learned.
fn adaptive_idle(breaker: &mut Breaker, elapsed: u64) -> usize {
    let later = Timestamp::from_nanos(elapsed) + Duration::from_secs(3600);
    breaker.handle_timeout(later);
    size_of::<Breaker>() + breaker.snapshot(later).window_bytes
}

criterion_group!(benches, record);
criterion_main!(benches);
