//! grpcio steers a sidecar, and learns by reflection how; curl does so by the lines of the
//! documentation.

use std::path::Path;

use breaker_tests::{Setup, Sidecar, Upstream, get};
use serde_json::{Value, json};

use crate::tools::{documented, installed, run};

/// Calls of the control service, one JSON value a call.
async fn call(sidecar: &Sidecar, variables: &[(&str, &str)], calls: &[&str]) -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/control");
    let script = directory.join("client.py").to_str().unwrap().to_owned();
    let python = installed("venv/bin/python").to_str().unwrap().to_owned();
    let variables = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let mut arguments: Vec<_> = variables.collect();
    arguments.extend([python, script, sidecar.admin_address().to_string()]);
    arguments.extend(calls.iter().map(|&call| call.to_owned()));
    let output = run("env", arguments, b"").await;
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_mode_is_set_watched_and_seen_by_callers() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let set = r#"SetMode:{"name":"pay","mode":"MODE_FORCED_OPEN","forSeconds":60}"#;
    let open = [("BREAKER_STATE", "STATE_OPEN")];
    let answers = call(&sidecar, &open, &[set, "WatchBreakers", "GetStatus"]).await;
    let set = &answers[0]["answer"];
    assert_eq!(
        (&set["state"], &set["mode"]),
        (&json!("STATE_OPEN"), &json!("MODE_FORCED_OPEN"))
    );
    let watched = &answers[1]["answer"]["breakers"][0];
    assert_eq!(
        watched["policy"],
        json!({ "name": "sensitive", "origin": "ORIGIN_CONFIGURATION" })
    );
    assert_eq!(answers[2]["answer"]["readiness"], "READINESS_READY");
    assert_eq!(get(sidecar.url("/")).await.status, 503);
}

#[tokio::test]
async fn a_bad_policy_is_refused_with_its_place_and_a_good_one_is_put() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address()).start().await;
    let bad = r#"PutPolicy:{"name":"pay","yaml":"name: strict\ntrip:\n  - error_rate: 8\n"}"#;
    let good = r#"PutPolicy:{"name":"pay","policyName":"conservative"}"#;
    let delete = r#"DeletePolicy:{"name":"pay"}"#;
    let answers = call(&sidecar, &[], &[bad, good, delete]).await;
    assert_eq!(answers[0]["code"], "INVALID_ARGUMENT");
    let details = "3:17: trip[0].error_rate: must be a share: write 8% or 0.08";
    assert_eq!(answers[0]["details"], details);
    assert_eq!(answers[1]["answer"]["origin"], "ORIGIN_OVERRIDE");
    assert_eq!(answers[2]["answer"]["name"], "sensitive");
}

#[tokio::test]
async fn changes_need_the_token() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address())
        .env("BREAKER_CONTROL_TOKEN", "s3cret")
        .start()
        .await;
    let reset = [r#"ResetBreaker:{"name":"pay"}"#];
    for (token, code) in [
        ("", "UNAUTHENTICATED"),
        ("secret", "PERMISSION_DENIED"),
        ("s3cret", "OK"),
    ] {
        let answers = call(&sidecar, &[("BREAKER_CONTROL_TOKEN", token)], &reset).await;
        assert_eq!(answers[0]["code"], code, "{answers:?}");
    }
}

/// The lines of docs/control.md, as they stand there but for the address.
#[tokio::test]
async fn the_documented_lines_of_curl_work() {
    let upstream = Upstream::start().await;
    let sidecar = Setup::of(upstream.address())
        .env("BREAKER_CONTROL_TOKEN", "s3cret")
        .start()
        .await;
    let lines = documented("control.md", "sh", "TOKEN=");
    let directory = tempfile::tempdir().unwrap();
    let address = sidecar.admin_address().to_string();
    let lines = lines.replace("127.0.0.1:9900", &address);
    let lines = lines
        .replace("$(cat token)", "s3cret")
        .replace("curl ", "curl -sS --fail-with-body ");
    let script = format!(
        "set -eu\ncd {}\necho 'name: strict\nbase: sensitive\n' >strict.yaml\n{lines}",
        directory.path().display()
    );
    let output = run("bash", ["-c", &script], b"").await;
    assert!(
        output.stdout.contains("\"origin\":\"override\""),
        "{output:?}"
    );
    let breaker = get(sidecar.admin_url("/api/v1/breakers/pay")).await;
    let breaker: Value = serde_json::from_slice(&breaker.body).unwrap();
    assert_eq!(breaker["policy"]["origin"], "configuration", "{breaker}");
    assert_eq!(breaker["mode"], "auto", "{breaker}");
}
