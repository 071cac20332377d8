//! What a breaker adds to a call of a service that answers at once, closed and open: time and
//! allocations, beside three other breakers. Then what a call takes if 1, 2 or 8 tasks share one.
//!
//! All are to open at 8 % failures of at least 20 requests, for an hour. `tower-resilience` looks
//! at the last 100 calls or, by time, at every call of the last 10 s; `failsafe` at a moving
//! average over 10 s; `recloser` at the last 100 calls. All of them leave histograms, trailers and
//! ends of bodies aside.

#![expect(clippy::print_stdout, reason = "a benchmark")]

use std::alloc::System;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use breaker_tower::breaker_core::Ratio;
use breaker_tower::breaker_core::policy::{Builder, Open};
use breaker_tower::{BreakerHandle, BreakerLayer, BreakerSet, Policy, State};
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use failsafe::futures::CircuitBreaker as _;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Empty, Full};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::time::Instant;
use tower::{Layer, Service};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Answer = Response<Full<Bytes>>;

/// Is ready, and answers at once with a status that can be changed.
#[derive(Clone)]
struct Inner(Arc<AtomicU16>);

impl Inner {
    fn new() -> Self {
        Self(Arc::new(AtomicU16::new(200)))
    }

    fn fail(&self, failing: bool) {
        let status = if failing { 500 } else { 200 };
        self.0.store(status, Ordering::Relaxed);
    }
}

impl Service<Request<Empty<Bytes>>> for Inner {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(b"paid")));
        let status = StatusCode::from_u16(self.0.load(Ordering::Relaxed));
        *response.status_mut() = status.expect("200 and 500 are statuses");
        ready(Ok(response))
    }
}

/// One call, and its body to the end. Whether it was admitted.
fn call<S, B>(service: &mut S) -> bool
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>>,
    B: Body,
{
    let admitted = now(std::future::poll_fn(|cx| service.poll_ready(cx))).is_ok();
    admitted && read(now(service.call(black_box(Request::default()))))
}

/// Reads an answer to the end of its body. Whether there is one.
fn read<B: Body, E>(answer: Result<Response<B>, E>) -> bool {
    let Ok(response) = answer else {
        return false;
    };
    let mut body = pin!(response.into_body());
    while let Some(Ok(frame)) = now(std::future::poll_fn(|cx| body.as_mut().poll_frame(cx))) {
        drop(black_box(frame));
    }
    true
}

/// The output of a future that waits for nothing, except for other threads where it is shared: of
/// tower-resilience, for its lock.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return output;
        }
        std::thread::yield_now();
    }
}

/// What a call costs: nanoseconds and allocations.
#[derive(Clone, Copy)]
struct Cost {
    /// Of the fastest samples, which those who share the machine disturb least.
    least: f64,
    median: f64,
    allocations: f64,
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut call: impl FnMut() -> bool,
) -> Cost {
    let mut samples = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let begin = Instant::now();
            for _ in 0..calls {
                black_box(call());
            }
            let took = begin.elapsed();
            samples.push(took.as_secs_f64() * 1e9 / calls as f64);
            took
        });
    });
    samples.sort_by(f64::total_cmp);
    let region = Region::new(ALLOCATOR);
    for _ in 0..CALLS_COUNTED {
        black_box(call());
    }
    let change = region.change();
    let allocations = change.allocations + change.reallocations;
    let sample = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
    Cost {
        least: sample(0),
        median: sample(samples.len() / 2),
        allocations: allocations as f64 / f64::from(CALLS_COUNTED),
    }
}

/// Measures `call` closed and then open, and prints what it adds to `bare`.
fn closed_and_open(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    bare: Cost,
    inner: &Inner,
    mut call: impl FnMut() -> bool,
) {
    assert!(call(), "{name} admits while closed");
    let closed = measure(group, &format!("{name}, closed"), &mut call);
    inner.fail(true);
    let opened = (0..1_000_000_000_u32).any(|_| !call());
    assert!(opened, "{name} opens when every call fails");
    let open = measure(group, &format!("{name}, open"), &mut call);
    assert!(!call(), "{name} still rejects");
    for (state, cost) in [("closed", closed), ("open", open)] {
        println!(
            "{name}, {state}: {:+.1} ns at least, {:+.1} in the median, {:+.1} allocations",
            cost.least - bare.least,
            cost.median - bare.median,
            cost.allocations - bare.allocations
        );
    }
}

fn breaker(group: &mut BenchmarkGroup<'_, WallTime>, bare: Cost) {
    let policy = Builder::from(Policy::sensitive()).open(Open {
        period: HOUR,
        max: HOUR,
        jitter: Ratio::ZERO,
        ..Open::default()
    });
    let policy = Arc::new(policy.build().expect("an hour is in range"));
    let breaker = BreakerHandle::new("pay", policy.clone());
    let inner = Inner::new();
    let mut service = BreakerLayer::new(breaker.clone()).layer(inner.clone());
    closed_and_open(group, "breaker", bare, &inner, || call(&mut service));
    assert_eq!(breaker.state(), State::Open);

    let inner = Inner::new();
    let hosts = BreakerSet::new(policy, 1000);
    let host = |_: &Request<Empty<Bytes>>| "pay";
    let mut service = BreakerLayer::per_key(hosts, host).layer(inner.clone());
    closed_and_open(group, "breaker by key", bare, &inner, || call(&mut service));
}

/// A layer that looks at the last calls, or at those of the last 10 s.
macro_rules! tower_resilience_layer {
    ($by_time:expr) => {{
        let builder = CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.08)
            .sliding_window_size(100)
            .minimum_number_of_calls(20)
            .slow_call_duration_threshold(Duration::from_secs(1))
            .slow_call_rate_threshold(0.5)
            .wait_duration_in_open(HOUR)
            .classify_response(|response: &Answer| response.status().is_server_error());
        let builder = match $by_time {
            true => builder
                .sliding_window_type(SlidingWindowType::TimeBased)
                .sliding_window_duration(Duration::from_secs(10)),
            false => builder,
        };
        builder.build().expect("the settings are valid")
    }};
}

fn tower_resilience(group: &mut BenchmarkGroup<'_, WallTime>, bare: Cost) {
    for (name, by_time) in [
        ("tower-resilience by count", false),
        ("tower-resilience by time", true),
    ] {
        let inner = Inner::new();
        let mut service = tower_resilience_layer!(by_time).layer(inner.clone());
        closed_and_open(group, name, bare, &inner, || call(&mut service));
    }
}

/// A call of `inner` by a breaker that has no layer: its future is used as its documentation shows.
macro_rules! within {
    ($breaker:expr, $inner:expr) => {{
        let _ = now(std::future::poll_fn(|cx| $inner.poll_ready(cx)));
        let answer = $inner.call(black_box(Request::default()));
        read(now($breaker.call(async {
            let Ok(response) = answer.await;
            match response.status().is_server_error() {
                true => Err(response),
                false => Ok(response),
            }
        })))
    }};
}

fn recloser_breaker() -> recloser::AsyncRecloser {
    let recloser = recloser::Recloser::custom()
        .error_rate(0.08)
        .closed_len(100)
        .open_wait(HOUR)
        .build();
    recloser::AsyncRecloser::from(recloser)
}

fn recloser(group: &mut BenchmarkGroup<'_, WallTime>, bare: Cost) {
    let (breaker, inner) = (recloser_breaker(), Inner::new());
    let mut service = inner.clone();
    closed_and_open(group, "recloser", bare, &inner, || {
        within!(breaker, service)
    });
}

/// Of a type that can't be named.
macro_rules! failsafe_breaker {
    () => {{
        let policy = failsafe::failure_policy::success_rate_over_time_window(
            0.92,
            20,
            Duration::from_secs(10),
            failsafe::backoff::constant(HOUR),
        );
        failsafe::Config::new().failure_policy(policy).build()
    }};
}

fn failsafe(group: &mut BenchmarkGroup<'_, WallTime>, bare: Cost) {
    let (breaker, inner) = (failsafe_breaker!(), Inner::new());
    let mut service = inner.clone();
    closed_and_open(group, "failsafe", bare, &inner, || {
        within!(breaker, service)
    });
}

/// Prints what a call takes if so many tasks share a breaker, each on a thread of its own.
fn tasks() {
    let runtime = tokio::runtime::Handle::current();
    let policy = Policy::sensitive();
    let ours = BreakerLayer::new(BreakerHandle::new("pay", policy.clone())).layer(Inner::new());
    let host = |_: &Request<Empty<Bytes>>| "pay";
    let keyed = BreakerLayer::per_key(BreakerSet::new(policy, 1000), host).layer(Inner::new());
    let by_count = tower_resilience_layer!(false).layer(Inner::new());
    let by_time = tower_resilience_layer!(true).layer(Inner::new());
    let (failsafe, recloser) = (failsafe_breaker!(), recloser_breaker());
    for tasks in [1, 2, 8] {
        let many = CALLS_OF_A_TASK;
        let shared = |calls, call: &(dyn Fn() -> Box<dyn FnMut()> + Sync)| {
            shared_by(&runtime, tasks, calls, call)
        };
        println!(
            "{tasks} tasks, ns a call: breaker {:.0}, by key {:.0}, tower-resilience by count \
             {:.0}, by time {:.0}, failsafe {:.0}, recloser {:.0}",
            shared(many, &|| of_layer(&ours)),
            shared(many, &|| of_layer(&keyed)),
            shared(many, &|| of_layer(&by_count)),
            shared(CALLS_BY_TIME, &|| of_layer(&by_time)),
            shared(many, &|| {
                let (breaker, mut inner) = (failsafe.clone(), Inner::new());
                Box::new(move || {
                    black_box(within!(breaker, inner));
                })
            }),
            shared(many, &|| {
                let (breaker, mut inner) = (recloser.clone(), Inner::new());
                Box::new(move || {
                    black_box(within!(breaker, inner));
                })
            }),
        );
    }
}

fn of_layer<S, B>(service: &S) -> Box<dyn FnMut()>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone + 'static,
    B: Body,
{
    let mut service = service.clone();
    Box::new(move || {
        black_box(call(&mut service));
    })
}

fn shared_by(
    runtime: &tokio::runtime::Handle,
    tasks: u32,
    calls: u32,
    begin_task: &(dyn Fn() -> Box<dyn FnMut()> + Sync),
) -> f64 {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..tasks {
            scope.spawn(|| {
                let _entered = runtime.enter();
                let mut call = begin_task();
                for _ in 0..calls {
                    call();
                }
            });
        }
    });
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(calls * tasks)
}

fn overhead(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime without I/O");
    let _entered = runtime.enter();
    let mut group = criterion.benchmark_group("overhead");
    let mut inner = Inner::new();
    let bare = measure(&mut group, "no breaker", || call(&mut inner));
    breaker(&mut group, bare);
    tower_resilience(&mut group, bare);
    failsafe(&mut group, bare);
    recloser(&mut group, bare);
    group.finish();
    tasks();
}

const HOUR: Duration = Duration::from_secs(3600);
const CALLS_COUNTED: u32 = 10_000;
const CALLS_OF_A_TASK: u32 = 1_000_000;
/// It looks at every call of its window, for each call.
const CALLS_BY_TIME: u32 = 20_000;

criterion_group!(benches, overhead);
criterion_main!(benches);
