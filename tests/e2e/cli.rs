//! The command line: what is wrong is told before anything starts.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use breaker_tests::{Setup, breaker};

/// Writes `yaml` to a file, runs `breaker COMMAND FILE`.
fn with_file(command: &[&str], yaml: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("breaker.yaml"), yaml).unwrap();
    let mut breaker = breaker(command);
    breaker.arg("breaker.yaml").current_dir(directory.path());
    breaker.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn good() -> String {
    Setup::of(([127, 0, 0, 1], 9).into()).yaml()
}

#[test]
fn a_bad_configuration_is_told_with_its_place_and_rule() {
    for (good_part, bad_part, place, rule) in [
        (
            "policy: sensitive",
            "policy: sensitive, retries: 3",
            ":6:",
            "retries",
        ),
        (
            "upstream: pay",
            "upstream: nowhere",
            ":6:",
            "must name an upstream: pay",
        ),
        (
            "policy: sensitive",
            "policy: gentle",
            ":6:",
            "must name a policy",
        ),
        (
            "policy: sensitive",
            "policy: { base: sensitive, min_requests: 0 }",
            ":6:",
            "min_requests",
        ),
        ("admin: 127.0.0.1:0", "admin: somewhere", ":2:", "admin"),
    ] {
        let yaml = good().replace(good_part, bad_part);
        for command in [&["check"][..], &["run", "--config"]] {
            let output = with_file(command, &yaml);
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{bad_part}: {told}");
            assert!(
                told.contains(&format!("breaker.yaml{place}")),
                "{bad_part}: {told}"
            );
            assert!(told.contains(rule), "{bad_part}: {told}");
        }
    }
}

#[test]
fn a_good_configuration_is_explained() {
    let output = with_file(&["check"], &good());
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("pay") && told.contains("sensitive"), "{told}");
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let yaml = good().replace("listen: 127.0.0.1:0", &format!("listen: {address}"));
    let output = with_file(&["run", "--config"], &yaml);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

/// Takes the 30 s that it is shown for.
#[test]
fn the_demo_shows_a_breaker_that_opens_and_closes() {
    let output = breaker(["demo"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", stderr(&output));
    for expected in ["closed → open", "open → half_open", "half_open → closed"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn the_schema_is_json() {
    let output = breaker(["schema"]).output().unwrap();
    assert!(output.status.success());
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["properties"].is_object(), "{schema:#}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["run"][..], &["fly"], &["run", "--upstream", "no url"]] {
        let output = breaker(arguments).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}
