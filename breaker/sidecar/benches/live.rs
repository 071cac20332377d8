//! What it costs to read 500 breakers, each second, whoever watches: time, and the memory of their
//! histories.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::fs;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use breaker_sidecar::live::{Live, Update};
use breaker_sidecar::registry::Origin;
use breaker_sidecar::registry::Watched;
use breaker_tower::Policy;
use breaker_tower::breaker_core::{Breaker, Outcome, Timestamp};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Builder;

const ROUTES: usize = 500;
/// The points that a history keeps.
const SECONDS: u32 = 300;

fn live(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let policy = Arc::new(Policy::sensitive());
    let breaker = || Breaker::new(policy.clone(), 1, Timestamp::ZERO);
    let breakers: Vec<_> = (0..ROUTES)
        .map(|_| Arc::new(Mutex::new(breaker())))
        .collect();
    let watched = breakers.iter().enumerate().map(|(route, breaker)| {
        let (breaker, name) = (breaker.clone(), format!("route-{route}"));
        Watched::new(name, policy.clone(), Origin::Configuration, move || {
            breaker.lock().expect("no panic").snapshot(Timestamp::ZERO)
        })
    });
    let live = Live::new(watched.collect());

    let mut before = 0;
    for second in 0..SECONDS {
        let now = Timestamp::from_millis(u64::from(second) * 1000);
        for breaker in &breakers {
            traffic(&mut breaker.lock().expect("no panic"), now);
        }
        runtime.block_on(live.read(f64::from(second)));
        // By then every window has all that it will have.
        if second == 20 {
            before = resident();
        }
    }
    let each = (resident() - before) / ROUTES * SECONDS as usize / (SECONDS as usize - 20);
    println!("bytes of a history of five minutes: {each}");

    let mut group = criterion.benchmark_group("live");
    group.bench_function("read 500 breakers", |bencher| {
        bencher.iter(|| runtime.block_on(live.read(1_000.0)));
    });
    let read_and_serialise = async || {
        live.read(1_000.0).await;
        let mut watcher = live.watch().expect("a place");
        match watcher.next().await {
            Some(Update::All(reading) | Update::Changes(reading)) => reading.json(),
            _ => panic!("a watcher gets a reading first"),
        }
    };
    group.bench_function("read and serialise 500 breakers", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(read_and_serialise())));
    });
    let bytes = runtime.block_on(read_and_serialise()).len();
    println!("bytes of a reading of 500 breakers: {bytes}");
    group.finish();
}

/// 20 requests, of 1 to 32 ms.
fn traffic(breaker: &mut Breaker, now: Timestamp) {
    for request in 0..20 {
        let latency = Duration::from_millis(1 << (request % 6));
        if let Ok(permit) = breaker.try_acquire(now) {
            breaker.record(permit, Outcome::success(latency), now);
        }
    }
}

/// Memory of the process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

criterion_group!(benches, live);
criterion_main!(benches);
