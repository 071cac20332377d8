//! Wrong usage, and what is printed before anything runs.

use std::net::TcpListener;

use serde_json::Value;

use super::{Folder, GOOD, STRICT, stderr, stdout};

#[test]
fn wrong_usage_is_told_and_exits_with_2() {
    let folder = Folder::new("usage").with("breaker.yaml", GOOD);
    let upstream = "--upstream=http://127.0.0.1:1";
    for (arguments, expected) in [
        (&[][..], "Usage: breaker"),
        (&["run"], "--config <FILE>|--upstream <URL>"),
        (
            &["run", "--upstream", "127.0.0.1:1"],
            "must be http://host:port, https://host:port, h2c://host:port or unix:/path of a socket",
        ),
        (
            &["run", upstream, "--config", "breaker.yaml"],
            "cannot be used with",
        ),
        (
            &["run", "--config", "breaker.yaml", "--policy", "sensitive"],
            "cannot be used with",
        ),
        (
            &["run", upstream, "--listen", "8080"],
            "must be an address with a port",
        ),
        (
            &["run", upstream, "--admin", "0.0.0.0:9900"],
            "admin: must be a loopback address, or changes must need a token",
        ),
        (
            &["--log", "breaker=loud", "schema"],
            "invalid value 'breaker=loud' for '--log",
        ),
        (
            &["run", upstream, "--json"],
            "the following required arguments were not provided",
        ),
        (&["schema", "routes"], "[possible values: config, policy]"),
    ] {
        let output = folder.breaker(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains(expected),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn an_address_that_is_taken_is_told_by_field() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new("taken");
    let upstream = "--upstream=http://127.0.0.1:1";
    for (listen, admin, field) in [
        ("127.0.0.1:0", address.as_str(), "admin"),
        (address.as_str(), "127.0.0.1:0", "listen"),
    ] {
        let output = folder.breaker(&["run", upstream, "--listen", listen, "--admin", admin]);
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("{field}: cannot listen on {address}: ");
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));

        let output = folder.breaker(&["demo", "--listen", listen, "--admin", admin]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    }
}

#[test]
fn a_certificate_that_can_not_be_used_is_told_by_file() {
    let export = "telemetry: { export: { endpoint: https://127.0.0.1:9, certificate: ca.pem } }\n";
    let anywhere = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";
    let folder = Folder::new("certificate")
        .with("policies/strict.yaml", STRICT)
        .with("breaker.yaml", &format!("{anywhere}{GOOD}{export}"))
        .with("ca.pem", "no certificate\n");
    let output = folder.breaker(&["run", "--config", "breaker.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("ca.pem: no certificate in it"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_demo_too_short_to_recover_is_wrong_usage() {
    let output = Folder::new("short_demo").breaker(&["demo", "--for", "5s"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("must be at least 28s"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn schemas_are_json() {
    let folder = Folder::new("schemas");
    for (arguments, title) in [
        (&["schema"][..], "Breaker configuration"),
        (&["schema", "config"], "Breaker configuration"),
        (&["schema", "policy"], "Breaker policy"),
    ] {
        let output = folder.breaker(arguments);
        assert_eq!(output.status.code(), Some(0));
        let schema: Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!(schema["title"], title);
    }
}

#[test]
fn record_is_run_with_a_file_and_needs_one_that_can_be_written() {
    let folder = Folder::new("record");
    let proxy = [
        "--upstream",
        "http://127.0.0.1:9",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    for (command, flag) in [("run", "--record"), ("record", "--out")] {
        let output = folder.breaker(&[&[command][..], &proxy, &[flag, "."]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("cannot record to .: "),
            "{}",
            stderr(&output)
        );
    }
    let output = folder.breaker(&[&["record"][..], &proxy].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--out <FILE>"),
        "{}",
        stderr(&output)
    );
    let output = folder.breaker(
        &[
            &["run"][..],
            &proxy,
            &["--record", "t", "--record-max-size", "big"],
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("must be a size"),
        "{}",
        stderr(&output)
    );
}
