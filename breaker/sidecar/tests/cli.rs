//! The binary, as a shell sees it: output, messages and exit codes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A directory of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        fs::create_dir_all(folder.join("policies")).expect("a folder");
        Self(folder)
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).expect("a file");
        self
    }

    /// Runs `breaker` here, without the environment's own settings.
    fn breaker(&self, arguments: &[&str]) -> Output {
        let variables = std::env::vars().map(|(name, _)| name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_breaker"));
        for name in
            variables.filter(|name| name.starts_with("BREAKER_") || name.starts_with("OTEL_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .expect("the binary runs")
    }
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("text")
}

const GOOD: &str = "policies: [policies]
upstreams:
  pay: { endpoints: [http://127.0.0.1:9001] }
routes:
  - { name: pay, match: { path: /pay, methods: [POST] }, upstream: pay, policy: strict, timeout: 2s }
";
const STRICT: &str = "name: strict\nbase: sensitive\ntrip:\n  - error_rate: 2%\n";

#[test]
fn a_bad_configuration_is_refused_with_everything_that_is_wrong_in_it() {
    let folder = Folder::new("bad_configuration")
        .with(
            "policies/strict.yaml",
            "name: strict\ntrip:\n  - error_rate: 2\n",
        )
        .with("breaker.yaml", &format!("{GOOD}workers: 0\n"));
    for command in [&["run", "--config"][..], &["check"]] {
        let output = folder.breaker(&[command, &["breaker.yaml"]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output), "");
        for expected in [
            "breaker.yaml:6:10: workers: must be 1 to 1024\n",
            "policies/strict.yaml:3:17: trip[0].error_rate: must be a share: write 2% or 0.02\n",
        ] {
            assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_good_configuration_is_explained_in_plain_words() {
    let folder = Folder::new("good_configuration")
        .with("policies/strict.yaml", STRICT)
        .with("breaker.yaml", GOOD);
    let output = folder.breaker(&["check", "breaker.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stdout(&output);
    assert!(
        words.starts_with("breaker.yaml: a good configuration\n"),
        "{words}"
    );
    assert!(
        words.contains("pay  POST /pay → http://127.0.0.1:9001\n"),
        "{words}"
    );
    assert!(words.contains("  opens when  error rate ≥ 2%\n"), "{words}");
    assert!(
        words.contains("  timeout     2s to the head of the response\n"),
        "{words}"
    );
    assert!(!words.contains('\u{1b}'), "no colours in a pipe: {words:?}");
}

#[test]
fn a_policy_is_told_from_a_configuration_by_its_content() {
    let folder = Folder::new("policy").with("any.name", STRICT);
    let output = folder.breaker(&["check", "any.name"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output)
            .starts_with("any.name: a good policy\n\nstrict\n  opens when  error rate ≥ 2%\n")
    );
}

#[test]
fn json_is_for_programs() {
    let folder = Folder::new("json")
        .with("policies/strict.yaml", STRICT)
        .with("breaker.yaml", GOOD)
        .with("bad.yaml", "name: x\ntrip: []\n");
    let output = folder.breaker(&["check", "--json", "breaker.yaml"]);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report["valid"], true);
    assert_eq!(report["kind"], "configuration");
    assert_eq!(
        report["routes"][0]["policy"]["trip"][0]["conditions"][0],
        "error rate ≥ 2%"
    );
    assert_eq!(report["routes"][0]["timeout"], 2.0);

    let output = folder.breaker(&["check", "--json", "bad.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report["valid"], false);
    let error = &report["errors"][0];
    assert_eq!(
        (error["line"].as_u64(), error["column"].as_u64()),
        (Some(2), Some(1))
    );
    assert_eq!(error["field"], "trip");
    assert_eq!(error["rule"], "must have 1 to 16 entries");
}

#[test]
fn a_file_that_is_not_there_is_told_by_name() {
    let folder = Folder::new("no_file");
    for (arguments, expected) in [
        (&["run", "--config", "no.yaml"][..], "no.yaml: must exist\n"),
        (
            &["check", "no.yaml"],
            "no.yaml can't be used\nno.yaml: must exist\n",
        ),
        (
            &[
                "run",
                "--upstream",
                "http://127.0.0.1:1",
                "--policy",
                "gentle",
            ],
            "gentle: must exist, or be a built-in policy: conservative, sensitive, combined\n",
        ),
    ] {
        let output = folder.breaker(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr(&output), expected);
    }
}

#[test]
fn wrong_usage_is_told_and_exits_with_2() {
    let folder = Folder::new("usage").with("breaker.yaml", GOOD);
    let upstream = "--upstream=http://127.0.0.1:1";
    for (arguments, expected) in [
        (&[][..], "Usage: breaker"),
        (&["run"], "--config <FILE>|--upstream <URL>"),
        (
            &["run", "--upstream", "127.0.0.1:1"],
            "must be http://host:port or h2c://host:port",
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
            "must be a loopback address",
        ),
        (
            &["--log", "breaker=loud", "schema"],
            "invalid value 'breaker=loud' for '--log",
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
