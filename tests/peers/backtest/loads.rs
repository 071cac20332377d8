//! The results of load generators.

use std::fs;
use std::process::Command;

use super::{REQUESTS, backtest, now, slow_service};
use crate::tools::{documented, installed, run};

#[tokio::test]
async fn hey_as_csv() {
    let upstream = slow_service().await;
    let url = format!("http://{}/", upstream.address());
    let requests = REQUESTS.to_string();
    let output = run("hey", ["-n", &requests, "-c", "12", "-o", "csv", &url], b"").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hey.csv");
    fs::write(&file, output.stdout).unwrap();
    backtest(&file, "hey", REQUESTS, None);
}

/// By the listener of docs/backtest.md.
#[tokio::test]
async fn locust_by_a_listener() {
    let upstream = slow_service().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("locustfile.py");
    let listener = documented("backtest.md", "python", "import json\n");
    let user = format!(
        r"

from locust import HttpUser, task
from locust.exception import StopUser


class Visitor(HttpUser):
    host = 'http://{}'

    @task
    def visit(self):
        for number in range({}):
            self.client.get(f'/users/{{number}}', name='users')
        raise StopUser
",
        upstream.address(),
        REQUESTS / 12
    );
    fs::write(&file, listener + &user).unwrap();
    let began = now();
    let mut command = Command::new(installed("venv/bin/locust"));
    command
        .args([
            "--headless",
            "--only-summary",
            "--users",
            "12",
            "--spawn-rate",
            "12",
        ])
        .args(["--run-time", "2s", "--stop-timeout", "1"])
        .args(["--exit-code-on-error", "0", "--locustfile"])
        .arg(&file)
        .current_dir(&directory);
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output();
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(upstream.count(), REQUESTS, "{output:?}");
    let trace = directory.path().join("trace.jsonl");
    backtest(&trace, "native", REQUESTS, Some(began));
}
