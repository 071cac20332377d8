//! A member that is written in another language, by the text of `fleet.proto` alone.

use std::path::Path;
use std::process::{Command, Stdio};

use breaker_tests::{Upstream, eventually};
use serde_json::{Value, json};

use super::{REPORTS, aggregates, document, dropped, member, number, overheard, publish, redis};
use crate::tools::free_ports;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What the script makes of `input`, for the fleet `pay`.
async fn second(what: &'static str, input: Vec<u8>) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/fleet/second.py");
    let run = move || {
        let mut command = Command::new("python3");
        command.arg(script).args([what, KEY, "pay", REPORTS]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, &input).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{what}");
        output.stdout
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn a_member_in_python_reads_reports_and_sends_its_own() {
    let [port] = free_ports();
    let _redis = redis(port).await;
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, KEY).unwrap();
    let more = format!(", key_file: '{}'", file.display());
    let sidecar = member(&upstream, port, &more).await;
    eventually!(aggregates(&sidecar).await);

    let report = second("open", overheard(port, REPORTS).await).await;
    let mut report: Value = serde_json::from_slice(&report).unwrap();
    let page = document(&sidecar, "/api/v1/fleet").await;
    assert_eq!(report["instance"], page["fleet"]["instance"]);
    // A heartbeat, of one closed route.
    while report["routes"].as_array().unwrap().is_empty() {
        let next = second("open", overheard(port, REPORTS).await).await;
        report = serde_json::from_slice(&next).unwrap();
    }
    let route = &report["routes"][0];
    assert_eq!(route["state"], 1, "{report}");

    let own = |seq: u64| {
        json!({
            "instance": "0102030405060708", "seq": seq, "age_millis": 3_600_000,
            "config": 7, "host": "python", "names": [{ "route": "pay", "source": "proxy" }],
            "routes": [{
                "arrivals": 11, "state": 1,
                "signals": [{ "signal": 1, "observations": 11, "hits": 2, "normal": 150 }],
            }],
        })
    };
    for seq in 1..=2 {
        let sealed = second("seal", own(seq).to_string().into_bytes()).await;
        publish(port, REPORTS, &sealed).await;
    }
    let members = "breaker_fleet_members";
    eventually!(number(&sidecar, members, &[]).await == Some(2.0));
    eventually!({
        let page = document(&sidecar, "/api/v1/fleet").await;
        let signals = page["overview"]["routes"][0]["signals"].as_array().cloned();
        let signals = signals.unwrap_or_default();
        let errors = signals.iter().find(|of| of["signal"] == "errors");
        errors.is_some_and(|of| (&of["requests"], &of["hits"]) == (&json!(22), &json!(4)))
    });
    let page = document(&sidecar, "/api/v1/fleet").await;
    let members = page["overview"]["members"].as_array().unwrap();
    let python = members.iter().find(|member| member["host"] == "python");
    let python = python.unwrap_or_else(|| panic!("{page}"));
    assert_eq!(python["instance"], "0102030405060708");
    assert_eq!(python["counts_in"], 0.0);
    assert_eq!(dropped(&sidecar, "malformed").await, 0.0);
    assert_eq!(dropped(&sidecar, "unsigned").await, 0.0);
}
