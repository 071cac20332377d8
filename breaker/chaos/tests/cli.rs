//! The binary, as a shell sees it: messages and exit codes.

use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_breaker-chaos"))
        .args(arguments)
        .env_remove("BREAKER_DEMO_PACE")
        .env_remove("BREAKER_LOG")
        .output()
        .expect("the binary runs")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

#[test]
fn chaos_needs_the_fault_ports_of_its_script() {
    let output = chaos(&[
        "run",
        "--shop=http://127.0.0.1:9",
        "--collector=http://127.0.0.1:9",
        "--faults=checkout=http://127.0.0.1:9",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the script needs the fault port of ledger"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_wrong_argument_is_told_by_its_rule() {
    for (bad, rule) in [
        ("--pace=0", "must be 0.1 to 10"),
        ("--faults=checkout", "must be NAME=URL"),
        ("--log=breaker_chaos=loud", "error parsing level filter"),
    ] {
        let output = chaos(&["run", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(stderr(&output).contains(rule), "{}", stderr(&output));
    }
}
