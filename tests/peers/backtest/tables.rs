//! Recorded requests from tables, by the queries of docs/backtest.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use breaker_tests::breaker;
use serde_json::Value;

use crate::tools::{documented, installed, run};

/// 50 requests a second of two routes, of which one fails for ten seconds.
fn trace() -> String {
    let mut trace = String::new();
    for number in 0..4000 {
        let t = 1_700_000_000.0 + f64::from(number) / 50.0;
        let (route, fails) = match number % 2 {
            0 => ("pay", (1000..1500).contains(&number)),
            _ => ("search", false),
        };
        let status = if fails { 503 } else { 200 };
        let line =
            format!(r#"{{"t":{t:.6},"route":"{route}","latency":0.0125,"status":{status}}}"#);
        writeln!(trace, "{line}").unwrap();
    }
    trace
}

/// The summary of a backtest of what is on standard input.
async fn summary(input: &str) -> Value {
    let nothing: [&str; 0] = [];
    let program = breaker(nothing).get_program().to_owned();
    let arguments = [
        "backtest",
        "--policy",
        "sensitive",
        "--strict",
        "--json",
        "-",
    ];
    let told = run(program, arguments, input.as_bytes()).await.stdout;
    let last = told.lines().last().unwrap();
    serde_json::from_str::<Value>(last).unwrap()["summary"].clone()
}

#[tokio::test]
async fn tables_are_read_by_the_documented_queries() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/backtest/tables.py");
    let python = installed("venv/bin/python");
    let recorded = summary(&trace()).await;
    assert_eq!(
        (&recorded["requests"], &recorded["trips"]),
        (&4000.into(), &1.into())
    );
    for (program, begins) in [
        ("duckdb", "COPY ("),
        ("chdb", "SELECT toUnixTimestamp64Micro"),
    ] {
        let query = documented("backtest.md", "sql", begins);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("trace.jsonl"), trace()).unwrap();
        let directory = folder.path().to_str().unwrap();
        let arguments = [script.to_str().unwrap(), program, directory, &query];
        let rows = run(&python, arguments, b"").await.stdout;
        assert_eq!(rows.lines().count(), 4000, "{program}: {rows}");
        assert_eq!(summary(&rows).await, recorded, "{program}");
    }
}
