//! Health checks: by HTTP of nginx, and by the protocol of gRPC of grpcio's own health service.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use breaker_tests::{Process, Sidecar, eventually, get};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::load::{Load, Shape};
use super::nginx::{Nginx, before};
use crate::tools::{free_ports, installed, run};

/// Endpoints, each with its state and the reason for that.
async fn states(sidecar: &Sidecar) -> Vec<(String, String)> {
    let known = get(sidecar.admin_url("/api/v1/upstreams")).await;
    let known: Value = serde_json::from_slice(&known.body).unwrap();
    let endpoints = known["upstreams"][0]["endpoints"].as_array().unwrap();
    let states = endpoints.iter().map(|it| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&it["state"]), it["reason"].to_string())
    });
    states.collect()
}

#[tokio::test]
async fn an_endpoint_whose_health_path_fails_gets_no_requests_until_it_is_well() {
    let healthz = "location = /healthz { root @; try_files /well =503; }";
    let mut all = Vec::new();
    for port in free_ports::<3>() {
        let address = ([127, 0, 0, 1], port).into();
        let nginx = Nginx::start_at(address, "return 200 ok;", healthz).await;
        fs::write(nginx.directory().join("well"), "ok").unwrap();
        all.push(nginx);
    }
    let health = ", health: { path: /healthz, interval: 200ms }";
    let sidecar = before(all.iter().map(Nginx::address), health, "").await;
    let load = Load::start(&sidecar.url("/"), &Shape::gets(10, 200));
    load.more(200).await;
    let sick = &all[1];
    fs::remove_file(sick.directory().join("well")).unwrap();
    eventually!(states(&sidecar).await[1].0 == "out");
    let (_, reason) = &states(&sidecar).await[1];
    assert!(reason.contains("health"), "{reason}");
    // What had begun has ended by the first of these answers.
    let before = load.more(50).await;
    let after = load.more(300).await;
    assert_eq!(
        after.of(sick.address()),
        before.of(sick.address()),
        "{after:?}"
    );
    fs::write(sick.directory().join("well"), "ok").unwrap();
    eventually!(states(&sidecar).await[1].0 == "in");
    eventually!(load.tally().of(sick.address()) > after.of(sick.address()));
    let tally = load.end().await;
    assert!(tally.bad.is_empty(), "{tally:?}");
    assert!(
        sick.asked()
            .iter()
            .any(|line| line.ends_with("/healthz 503")),
        "no check has come"
    );
}

struct Grpc {
    process: Process,
    address: SocketAddr,
}

impl Grpc {
    async fn start() -> Self {
        let mut command = Command::new(installed("venv/bin/python"));
        command.arg(script("endpoints/health.py"));
        let mut process = Process::spawn(command);
        let port: u16 = process
            .wait_for("port", |log| {
                log.strip_prefix("port ")?.lines().next()?.parse().ok()
            })
            .await;
        let address = ([127, 0, 0, 1], port).into();
        Self { process, address }
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.process.id() as i32).unwrap();
        kill_process(id, signal).unwrap();
    }
}

fn script(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    directory.join(name).to_str().unwrap().to_owned()
}

/// Calls so often through the sidecar; which servers have answered, and what has failed.
async fn call(sidecar: &Sidecar, times: &str) -> Vec<String> {
    let address = sidecar.address().to_string();
    let client = script("grpc/client.py");
    let arguments = [&client, &address, "Say", "hello", "--times", times];
    let output = run(installed("venv/bin/python"), arguments, b"").await;
    let calls = output.stdout.lines().map(|line| {
        let call: Value = serde_json::from_str(line).unwrap();
        match call["code"].as_str() {
            Some("OK") => call["answers"][0].as_str().unwrap().to_owned(),
            _ => call.to_string(),
        }
    });
    calls.collect()
}

#[tokio::test]
async fn a_grpc_server_that_says_not_serving_gets_no_calls_until_it_serves() {
    let servers = [Grpc::start().await, Grpc::start().await];
    // In turn: by load, calls one after the other would go to one of them for long.
    let health =
        ", protocol: h2c, balance: round_robin, health: { grpc: peer.Echo, interval: 200ms }";
    let sidecar = before(servers.iter().map(|it| it.address), health, "").await;
    let [one, other] = servers.each_ref().map(|it| it.address.to_string());
    let both = call(&sidecar, "60").await;
    assert!(
        both.iter().all(|it| [&one, &other].contains(&it)),
        "{both:?}"
    );
    assert!(both.contains(&one) && both.contains(&other), "{both:?}");

    servers[0].signal(Signal::USR1);
    eventually!(states(&sidecar).await[0].0 == "out");
    let (_, reason) = &states(&sidecar).await[0];
    assert!(reason.contains("health"), "{reason}");
    let calls = call(&sidecar, "60").await;
    assert!(calls.iter().all(|it| *it == other), "{calls:?}");

    servers[0].signal(Signal::USR2);
    eventually!(states(&sidecar).await[0].0 == "in");
    eventually!(call(&sidecar, "20").await.contains(&one));
}
