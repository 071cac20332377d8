//! What a request pays to a breaker that threads share: its lock, its clock, and what follows from
//! its use.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use breaker_tower::breaker_core::Classification;
use breaker_tower::{BreakerHandle, Mode, OnDrop, Policy};
use criterion::{Criterion, criterion_group, criterion_main};

/// A request that succeeds, if it is admitted.
fn request(breaker: &BreakerHandle) {
    match breaker.try_acquire(OnDrop::Ignored) {
        Ok(request) => request.finish(Classification::Success),
        Err(rejected) => drop(black_box(rejected)),
    }
}

fn shared(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime without I/O");
    let _entered = runtime.enter();
    let mut group = criterion.benchmark_group("shared");
    for (name, mode) in [("closed", Mode::Auto), ("open", Mode::ForcedOpen)] {
        let breaker = BreakerHandle::new("pay", Policy::sensitive());
        breaker.force(mode);
        group.bench_function(format!("{name}, one thread"), |bencher| {
            bencher.iter(|| request(&breaker));
        });

        let done = Arc::new(AtomicBool::new(false));
        let rival = thread::spawn({
            let (breaker, done) = (breaker.clone(), done.clone());
            move || {
                while !done.load(Ordering::Relaxed) {
                    request(&breaker);
                }
            }
        });
        group.bench_function(format!("{name}, two threads"), |bencher| {
            bencher.iter(|| request(&breaker));
        });
        done.store(true, Ordering::Relaxed);
        rival.join().expect("the rival does not panic");
    }
    group.finish();
}

criterion_group!(benches, shared);
criterion_main!(benches);
