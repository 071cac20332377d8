//! grpcio, client and server, with the sidecar between them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use breaker_tests::{Process, Setup, Sidecar, calmly};
use serde_json::Value;

use crate::tools::{installed, run};

/// As `sensitive`, but soon half-open, at a time that the test can rely on.
const QUICK: &str = "{ base: sensitive, open: { for: 2s, jitter: 0% } }";

pub(crate) async fn server() -> (Process, SocketAddr) {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(script("server.py"));
    let mut process = Process::spawn(command);
    let port: u16 = process
        .wait_for("port", |log| log.strip_prefix("port ")?.trim().parse().ok())
        .await;
    (process, SocketAddr::from(([127, 0, 0, 1], port)))
}

async fn sidecar(server: SocketAddr) -> Sidecar {
    Setup::of(server).policy(QUICK).start().await
}

/// Calls through `sidecar`, one JSON value a call.
async fn call(sidecar: &Sidecar, arguments: &[&str]) -> Vec<Value> {
    call_at(&sidecar.address().to_string(), arguments).await
}

/// The same to an address.
pub(crate) async fn call_at(address: &str, arguments: &[&str]) -> Vec<Value> {
    let client = script("client.py");
    let arguments = [client.as_str(), address]
        .into_iter()
        .chain(arguments.iter().copied());
    let output = run(installed("venv/bin/python"), arguments, b"").await;
    let calls = output.stdout.lines();
    calls
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn script(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/grpc");
    directory.join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn unary_calls_and_streams_pass_with_their_trailers() {
    let (_server, address) = server().await;
    let sidecar = sidecar(address).await;
    let unary = &call(&sidecar, &["Say", "hello"]).await[0];
    assert_eq!(unary["answers"], serde_json::json!(["hello"]), "{unary}");
    assert_eq!(unary["trailers"]["x-calls"], "1");
    let stream = &call(&sidecar, &["Count", "100"]).await[0];
    assert_eq!(
        stream["answers"].as_array().map(Vec::len),
        Some(100),
        "{stream}"
    );
    let both_ways = &call(&sidecar, &["Echo", "a", "b", "c"]).await[0];
    assert_eq!(
        both_ways["answers"],
        serde_json::json!(["a", "b", "c"]),
        "{both_ways}"
    );
}

#[tokio::test]
async fn failures_told_in_trailers_open_the_breaker() {
    calmly(async || {
        let (_server, address) = server().await;
        let sidecar = sidecar(address).await;
        let calls = call(&sidecar, &["Fail", "x", "--times", "21"]).await;
        assert!(
            calls.iter().all(|call| call["code"] == "UNAVAILABLE"),
            "{calls:#?}"
        );
        assert_eq!(calls[19]["details"], "the service is down");
        let rejected = &calls[20];
        assert_ne!(rejected["details"], "the service is down", "{rejected}");
        let pushback = rejected["trailers"]["grpc-retry-pushback-ms"].as_str();
        let pushback: u64 = pushback.and_then(|ms| ms.parse().ok()).expect("a pushback");
        assert!((1..=4_000).contains(&pushback), "{pushback} ms");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_retries_waits_as_long_as_it_is_told() {
    calmly(async || {
        let (_server, address) = server().await;
        let sidecar = sidecar(address).await;
        call(&sidecar, &["Fail", "x", "--times", "20"]).await;
        // The first attempt is rejected; by the policy of the client alone all would be within
        // 0.2 s.
        let retried = &call(&sidecar, &["Say", "hello", "--retry"]).await[0];
        assert_eq!(retried["code"], "OK", "{retried}");
        assert_eq!(
            retried["trailers"]["x-calls"], "1",
            "the service saw more than one attempt"
        );
        let seconds = retried["seconds"].as_f64().unwrap();
        assert!((0.5..10.0).contains(&seconds), "retried after {seconds} s");
    })
    .await;
}
