//! How fast traces are read: a backtest of a whole day is to take seconds. One iteration is 100,000
//! requests; criterion tells requests a second.

use std::fmt::Write;
use std::hint::black_box;

use breaker_sidecar::backtest::{Backtest, Options};
use breaker_tower::Policy;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const REQUESTS: u64 = 100_000;

/// 1000 requests a second, of four routes; one of a hundred fails, and each is written a few places
/// late.
fn trace() -> String {
    let mut trace = String::new();
    for number in 0..REQUESTS {
        let micros = 1_700_000_000_000_000 + number * 1000 - number.wrapping_mul(7919) % 20_000;
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let status = if number.is_multiple_of(100) { 500 } else { 200 };
        let (route, latency) = (number % 4, number % 50);
        writeln!(
            trace,
            r#"{{"t":{seconds}.{micros:06},"route":"route-{route}","latency":0.0{latency:02}123,"status":{status}}}"#
        )
        .expect("memory");
    }
    trace
}

fn options(policies: &[&str]) -> Options {
    let policy = |name: &&str| ((*name).to_owned(), Policy::builtin(name).expect("built in"));
    Options::new(policies.iter().map(policy).collect())
}

fn read(trace: &str, options: Options) -> usize {
    let mut backtest = Backtest::new(options);
    let read = backtest.read("trace", trace.as_bytes(), |problem| panic!("{problem}"));
    read.expect("a good trace");
    backtest.finish().routes
}

fn backtest(criterion: &mut Criterion) {
    let trace = trace();
    let mut group = criterion.benchmark_group("backtest");
    group
        .throughput(Throughput::Elements(REQUESTS))
        .sample_size(20);
    let mut none = options(&["sensitive"]);
    none.routes = vec!["none".to_owned()];
    let by_serde = trace.replace("{\"t\"", "{\"v\":1,\"t\"");
    for (name, trace, options) in [
        ("reading alone", &trace, none.clone()),
        ("reading alone, by serde", &by_serde, none),
        ("one policy", &trace, options(&["sensitive"])),
        (
            "three policies",
            &trace,
            options(&["sensitive", "conservative", "combined"]),
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || options.clone(),
                |options| black_box(read(trace, options)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, backtest);
criterion_main!(benches);
