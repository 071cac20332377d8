//! What a request pays to the endpoints of its upstream: a pick, and the account of its attempt.
//! Time is an argument, so no clock is in these numbers.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Duration;

use breaker_core::{
    Candidate, EndpointId, EndpointSettings, Endpoints, Outcome, RetryBudget, Timestamp,
};
use criterion::{Criterion, criterion_group, criterion_main};

/// 10,000 requests a second, each of 2 ms.
const GAP: u64 = 100_000;
const LATENCY: Duration = Duration::from_millis(2);

fn of(count: u64) -> Endpoints {
    let settings = EndpointSettings::default();
    let made = Endpoints::new(settings, 1, Timestamp::ZERO);
    let mut endpoints = made.expect("the defaults keep the rules");
    let set = (1..=count).map(|id| (EndpointId(id), 1));
    endpoints.replace(set, Timestamp::ZERO);
    endpoints
}

fn endpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoints");
    for count in [2, 5, 64, 1024] {
        let mut endpoints = of(count);
        let mut requests = 0_u64;
        let mut attempt = |endpoints: &mut Endpoints| {
            requests += 1;
            let now = Timestamp::from_nanos(requests * GAP);
            let pick = endpoints.pick(now, requests, |_| Candidate::Fresh)?;
            let attempt = endpoints.begin(pick, now);
            endpoints.end(attempt, Outcome::success(LATENCY), now + LATENCY);
            Some(now)
        };
        (0..100_000).for_each(|_| {
            attempt(&mut endpoints);
        });
        group.bench_function(format!("pick + begin + end, {count}"), |bencher| {
            bencher.iter(|| attempt(&mut endpoints));
        });
        let now = attempt(&mut endpoints).unwrap_or_default();
        let mut random = 0_u64;
        group.bench_function(format!("pick, {count}"), |bencher| {
            bencher.iter(|| {
                random += 1;
                endpoints.pick(black_box(now), random, |_| Candidate::Fresh)
            });
        });
        let mut nanos = now.as_nanos();
        group.bench_function(format!("begin + end, {count}"), |bencher| {
            bencher.iter(|| {
                nanos += GAP;
                let now = Timestamp::from_nanos(nanos);
                let pick = black_box(endpoints.at(EndpointId(1 + nanos / GAP % count), now));
                let attempt = endpoints.begin(pick.expect("it is in the set"), now);
                endpoints.end(attempt, Outcome::success(LATENCY), now + LATENCY);
            });
        });
        // The bound is a test: `an_endpoint_costs_at_most_2_kib`.
        let bytes = endpoints.snapshot(now).bytes;
        println!("bytes of {count} endpoints: {bytes}");
    }
    let mut budget = RetryBudget::default();
    let mut nanos = 0;
    group.bench_function("a request in the retry budget", |bencher| {
        bencher.iter(|| {
            nanos += GAP;
            budget.request(Timestamp::from_nanos(nanos));
        });
    });
    group.finish();
}

criterion_group!(benches, endpoints);
criterion_main!(benches);
