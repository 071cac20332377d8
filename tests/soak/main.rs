//! Everything that may happen to a sidecar, all at once and for as long as told; then it must hold
//! what it held before, admit everything, and have lost no request that nothing explains.
//!
//! `cargo test -p breaker-tests --test soak -- --minutes 30`; without a length it is left out. See
//! `docs/reliability.md`.

#![expect(clippy::print_stdout, reason = "its report is its result")]

mod balance;
mod callers;
mod faults;
mod operators;
mod rude;
mod scene;
mod tally;
mod tunnels;

use std::env;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use breaker_tests::{Metrics, get};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use balance::Balance;
use scene::Scene;
use tally::lock;

/// Longer than unused connections to services and unused threads are kept.
const REST: Duration = Duration::from_secs(13);
/// The least of each kind of traffic that makes a run worth something.
const LEAST: u64 = 5;
const KINDS: [&str; 14] = [
    "get",
    "upload",
    "h2",
    "grpc",
    "tunnel",
    "slow",
    "stopped",
    "abort",
    "impatient",
    "steered",
    "control",
    "watcher",
    "health",
    "spans",
];

fn main() -> ExitCode {
    let length = match length(env::args().skip(1)) {
        // Runners of tests ask first what there is.
        Ok(None) if env::args().any(|argument| argument == "--list") => return ExitCode::SUCCESS,
        Ok(None) => {
            println!("soak: left out; `-- --minutes N`, or SOAK_MINUTES=N, says how long");
            return ExitCode::SUCCESS;
        }
        Ok(Some(length)) => length,
        Err(usage) => {
            println!("soak: {usage}");
            return ExitCode::from(2);
        }
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let reasons = runtime.expect("a runtime").block_on(async {
        let mut ended = signal(SignalKind::terminate()).expect("a handler");
        let mut interrupted = signal(SignalKind::interrupt()).expect("a handler");
        // What is left of the scene ends with it, the sidecar first.
        tokio::select! {
            reasons = timeout(length + Duration::from_secs(300), soak(length)) => {
                reasons.unwrap_or_else(|_| vec!["it did not end in time".into()])
            }
            _ = ended.recv() => vec!["ended by SIGTERM".into()],
            _ = interrupted.recv() => vec!["ended by SIGINT".into()],
        }
    });
    if reasons.is_empty() {
        println!("soak: passed");
        return ExitCode::SUCCESS;
    }
    for reason in &reasons {
        println!("soak: FAILED: {reason}");
    }
    ExitCode::FAILURE
}

/// How long it is to last; `None` if nothing says so.
fn length(mut arguments: impl Iterator<Item = String>) -> Result<Option<Duration>, String> {
    let mut minutes = env::var("SOAK_MINUTES")
        .ok()
        .filter(|text| !text.is_empty());
    while let Some(argument) = arguments.next() {
        if argument == "--minutes" {
            minutes = Some(arguments.next().ok_or("--minutes needs a number")?);
        }
    }
    let Some(minutes) = minutes else {
        return Ok(None);
    };
    match minutes.parse::<f64>() {
        Ok(number) if (0.5..=100_000.0).contains(&number) => {
            Ok(Some(Duration::from_secs_f64(number * 60.0)))
        }
        _ => Err(format!("{minutes} is no number of minutes from 0.5 on")),
    }
}

/// Returns what is wrong.
async fn soak(length: Duration) -> Vec<String> {
    let scene = Scene::set().await;
    let mut reasons = Vec::new();
    let health = (length / 6).clamp(Duration::from_secs(5), Duration::from_secs(60));
    let warm_up = (length / 4).clamp(Duration::from_secs(10), Duration::from_secs(150));
    let storm = length.saturating_sub(warm_up + 2 * health);
    println!(
        "soak: {warm_up:.0?} of warm-up and {storm:.0?} of faults, {health:.0?} of health after each"
    );
    let mut keeping = JoinSet::new();
    keeping.spawn(keep(Arc::clone(&scene)));
    let mut faults = faults::start(&scene);
    let mut balances = Vec::new();
    for time in [warm_up, storm] {
        scene.set_traffic(true);
        scene.set_faults(true);
        let mut callers = start(&scene);
        sleep(time).await;
        scene.set_faults(false);
        let calm = Instant::now();
        while faults::ongoing() > 0 && calm.elapsed() < Duration::from_secs(20) {
            sleep(Duration::from_millis(50)).await;
        }
        sleep(health).await;
        scene.set_traffic(false);
        // The longest patience of a caller is twice 15 s.
        if timeout(Duration::from_secs(40), ends(&mut callers, &mut reasons))
            .await
            .is_err()
        {
            reasons.push(format!("{} callers did not end", callers.len()));
        }
        drop(callers);
        sleep(REST).await;
        balances.push(Balance::of(&scene).await);
    }
    admits(&scene, &mut reasons).await;
    while let Some(ended) = faults.try_join_next() {
        reasons.extend(ended.err().map(|error| format!("a fault: {error}")));
    }
    let [before, after] = &balances[..] else {
        unreachable!("two parts")
    };
    // Connections of the last questions end on their own.
    let mut more = after.more_than(before);
    let since = Instant::now();
    let mut after = after.clone();
    while !more.is_empty() && since.elapsed() < Duration::from_secs(20) {
        sleep(Duration::from_secs(2)).await;
        after = Balance::of(&scene).await;
        more = after.more_than(before);
    }
    reasons.extend(more);
    let (lost, examples) = scene.tally.lost();
    if lost > 0 {
        reasons.push(format!("{lost} requests lost"));
        reasons.extend(examples);
    }
    for kind in KINDS {
        let count = scene.tally.of(kind);
        if count < LEAST {
            reasons.push(format!("only {count} of {kind}"));
        }
    }
    println!(
        "what became of requests, by kind of traffic:\n{}",
        scene.tally.table()
    );
    println!("before: {before}\nafter:  {after}");
    println!("{}", counters(&scene).await);
    if let Some(Err(error)) = keeping.try_join_next() {
        reasons.push(error.to_string());
    }
    keeping.abort_all();
    ends_well(&scene, &mut reasons).await;
    reasons
}

fn start(scene: &Arc<Scene>) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    let each = |milliseconds| Duration::from_millis(milliseconds);
    for index in 0..8 {
        callers.spawn(callers::get(Arc::clone(scene), "get", each(120)));
        if index % 2 == 0 {
            callers.spawn(callers::get(Arc::clone(scene), "h2", each(100)));
            callers.spawn(callers::upload(Arc::clone(scene), index / 2));
            callers.spawn(callers::grpc(Arc::clone(scene)));
            callers.spawn(tunnels::talk(Arc::clone(scene), index as u64));
        }
    }
    for index in 0..2 {
        callers.spawn(callers::impatient(Arc::clone(scene), index == 1));
        callers.spawn(callers::get(Arc::clone(scene), "steered", each(100)));
        callers.spawn(rude::slow(Arc::clone(scene)));
        callers.spawn(rude::stopped(Arc::clone(scene)));
        callers.spawn(rude::abort(Arc::clone(scene)));
        callers.spawn(operators::watch(Arc::clone(scene), index));
    }
    callers.spawn(operators::steer(Arc::clone(scene)));
    callers.spawn(operators::reload(Arc::clone(scene)));
    callers.spawn(operators::health(Arc::clone(scene)));
    callers.spawn(operators::spans(Arc::clone(scene)));
    callers
}

async fn ends(callers: &mut JoinSet<()>, reasons: &mut Vec<String>) {
    while let Some(ended) = callers.join_next().await {
        reasons.extend(ended.err().map(|error| format!("a caller: {error}")));
    }
}

/// Looks at the log for panics, and forgets it and what services have seen, or this process would
/// grow.
async fn keep(scene: Arc<Scene>) {
    let mut ticks = interval(Duration::from_secs(2));
    loop {
        ticks.tick().await;
        let log = {
            let mut sidecar = lock(&scene.sidecar);
            let process = sidecar.process();
            let log = process.log();
            process.forget_log();
            log
        };
        assert!(!log.contains("panicked"), "{log}");
        for service in &scene.services {
            if let Some(upstream) = &*lock(&service.upstream) {
                upstream.forget();
            }
        }
    }
}

/// Each route takes requests, and its breaker is closed.
async fn admits(scene: &Scene, reasons: &mut Vec<String>) {
    for service in &scene.services {
        if service.name == "collector" {
            continue;
        }
        let path = format!("/{}/x", service.name);
        for _ in 0..20 {
            let status = get(scene.url(&path).parse().expect("a good URL"))
                .await
                .status;
            if status != 200 {
                reasons.push(format!("{path} answers {status} though all is well"));
                break;
            }
        }
    }
    let metrics = metrics(scene).await;
    let names = scene.services.iter().map(|service| service.name);
    for name in names.filter(|name| *name != "collector").chain(["tunnel"]) {
        let state = metrics.state(name);
        if state != "closed" {
            reasons.push(format!("{name} is {state} though all is well"));
        }
    }
}

async fn metrics(scene: &Scene) -> Metrics {
    let url = scene.admin_url("/metrics").parse().expect("a good URL");
    Metrics::new(get(url).await.text())
}

/// What the sidecar says of itself that shows which faults were felt.
async fn counters(scene: &Scene) -> String {
    let metrics = metrics(scene).await;
    let mut text = String::from("the sidecar counted:");
    for (what, name, labels) in [
        (
            "lines of the log dropped",
            "breaker_log_dropped_total",
            &[][..],
        ),
        (
            "openings",
            "breaker_transitions_total",
            &[("breaker_transition_to", "open")][..],
        ),
        ("limits that acted", "breaker_proxy_limited_total", &[]),
        (
            "reloads applied",
            "breaker_config_reloads_total",
            &[("breaker_config_result", "applied")],
        ),
        (
            "refused",
            "breaker_config_reloads_total",
            &[("breaker_config_result", "refused")],
        ),
        ("telemetry dropped", "breaker_telemetry_dropped_total", &[]),
    ] {
        let count = metrics.sum(name, labels).unwrap_or(0.0);
        let _ = write!(text, " {what} {count},");
    }
    text.trim_end_matches(',').into()
}

/// It ends on SIGTERM by itself.
async fn ends_well(scene: &Scene, reasons: &mut Vec<String>) {
    lock(&scene.sidecar).process().terminate();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(20) {
        if let Some(status) = lock(&scene.sidecar).process().exit_status() {
            if !status.success() {
                reasons.push(format!("it ended with {status}"));
            }
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    reasons.push("it did not end within 20 s of SIGTERM".into());
}
