//! `breaker backtest` reads the logs, results and traces of real programs, with no word about their
//! format.
//!
//! A program passes on, or sends by itself, [`REQUESTS`] requests to a [`slow_service`], which
//! fails [`BAD`] of them.

mod loads;
mod logs;
mod tables;
mod traces;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use breaker_tests::{Script, Upstream, breaker, get};
use bytes::Bytes;
use http::{Response, Uri};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const REQUESTS: usize = 24;
const BAD: usize = 3;

/// All took 20 ms and none 5 s, which is told when the last of them ends: so no latency is in
/// another unit.
const POLICIES: [&str; 2] = [
    "name: slow\nbase: sensitive\nmin_requests: 24\n\
     trip: [{ slow_rate: 90%, slow_threshold: 20ms }]\n",
    "name: hung\nbase: sensitive\nmin_requests: 1\n\
     trip: [{ slow_rate: 1%, slow_threshold: 5s }]\n",
];

/// Answers after 40 ms, each eighth request by 503.
async fn slow_service() -> Upstream {
    let upstream = Upstream::start().await;
    let count = AtomicUsize::new(0);
    upstream.play(Script::late(Duration::from_millis(40), move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let is_bad = number.is_multiple_of(REQUESTS / BAD);
        let mut answer = Response::new(Bytes::from("as told\n"));
        if is_bad {
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    }));
    upstream
}

/// Asks `url`, twelve at once, for users by number.
async fn ask(url: &str) {
    let ask = |number| {
        let url: Uri = format!("{url}/users/{number}").parse().unwrap();
        async move { get(url).await.status }
    };
    let mut statuses = Vec::new();
    for begin in [0, REQUESTS / 2] {
        let asking: JoinSet<_> = (begin..begin + REQUESTS / 2).map(ask).collect();
        statuses.extend(asking.join_all().await);
    }
    let bad = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!((statuses.len(), bad), (REQUESTS, BAD), "{statuses:?}");
}

/// What `breaker backtest` makes of `file`: all of its requests, and nothing lost.
///
/// They began at `began` or later by their dates, or soon after zero, where there are none.
fn backtest(file: &Path, format: &str, requests: usize, began: Option<f64>) {
    let mut command = breaker(["backtest", "--strict", "--json"]);
    for (policy, name) in POLICIES.iter().zip(["slow", "hung"]) {
        let path = file.with_extension(name);
        fs::write(&path, policy).unwrap();
        command.arg("--policy").arg(path);
    }
    let output = command.arg(file).output().unwrap();
    let trace = fs::read_to_string(file).unwrap();
    assert!(output.status.success(), "{output:?}\n{trace}");
    let told = String::from_utf8(output.stdout).unwrap();
    let context = format!("{told}\n{trace}");
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [.., slow, hung] = &told[..] else {
        panic!("{context}");
    };
    assert_eq!(slow["trace"]["formats"], json!([format]), "{context}");
    assert_eq!(slow["summary"]["requests"], requests, "{context}");
    assert_eq!(slow["summary"]["admitted_bad"], BAD, "{context}");
    assert_eq!(slow["summary"]["trips"], 1, "{context}");
    assert_eq!(hung["summary"]["trips"], 0, "{context}");
    let first = slow["trace"]["first"].as_f64().unwrap();
    let ended = slow["summary"]["first_trip"].as_f64().unwrap();
    let (earliest, latest) = match began {
        // Some dates have whole seconds.
        Some(began) => (began - 1.1, now()),
        None => (0.0, 2.0),
    };
    assert!(
        earliest <= first && first < ended && ended <= latest,
        "{context}"
    );
}

/// In seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "it is compared with the dates of logs"
)]
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}
