//! Files as people write them: the examples, and variables of the environment in values.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `breaker check` without the environment's own settings.
fn check(file: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_breaker"));
    for (name, _) in std::env::vars() {
        if name.starts_with("BREAKER_") || name.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
        .arg("check")
        .arg(file)
        .envs(variables.iter().copied());
    command.output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    let both = [&*output.stdout, &output.stderr].concat();
    String::from_utf8(both).expect("text")
}

/// All files of a folder and its folders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    found.collect()
}

/// Configurations of other programs, which peers' tests run.
const OTHERS: [&str; 1] = ["envoy.yaml"];

#[test]
fn every_example_is_good_and_says_how_to_start_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let readme = fs::read_to_string(folder.join("README.md")).expect("a README");
    let mut checked = 0;
    for file in files(&folder) {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if !name.ends_with(".yaml") || OTHERS.contains(&name) {
            continue;
        }
        let output = check(&file, &[]);
        assert!(output.status.success(), "{}", said(&output));
        let text = fs::read_to_string(&file).expect("text");
        let head = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .count();
        assert!(
            (3..=7).contains(&head),
            "{name} has {head} lines of comment at its head"
        );
        let path = file.strip_prefix(&folder).unwrap().display().to_string();
        let start = format!("breaker run --config examples/{path}");
        assert!(text.contains(&start), "{path}: {start}");
        let shown = path.split('/').next().unwrap_or_default();
        assert!(
            readme.contains(&format!("]({shown})")),
            "README.md lacks {shown}"
        );
        checked += 1;
    }
    assert!(checked >= 7, "{checked}");
}

const FILE: &str = "listen: 127.0.0.1:${PORT:-8080}
policies: [p.yaml]
upstreams:
  pay: { endpoints: [\"http://${HOST}:9001\"] }
routes:
  - { name: pay, upstream: pay, policy: strict, timeout: \"${T:-5s}\" }
";
const POLICY: &str = "name: strict\nbase: sensitive\nmin_requests: ${MIN:-20}\n";

/// A folder with [`FILE`] and [`POLICY`].
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("breaker.yaml"), FILE).expect("a file");
    fs::write(folder.join("p.yaml"), POLICY).expect("a file");
    folder
}

#[test]
fn variables_are_expanded_in_configurations_and_policies() {
    let file = folder("variables").join("breaker.yaml");
    for (variables, expected) in [
        (
            &[("HOST", "a")][..],
            [
                "127.0.0.1:8080",
                "http://a:9001",
                "20 requests",
                "5s to the head",
            ],
        ),
        (
            &[("HOST", "b"), ("PORT", "81"), ("MIN", "33"), ("T", "7s")],
            [
                "127.0.0.1:81",
                "http://b:9001",
                "33 requests",
                "7s to the head",
            ],
        ),
        (
            &[("HOST", "b"), ("PORT", ""), ("MIN", ""), ("T", "")],
            [
                "127.0.0.1:8080",
                "http://b:9001",
                "20 requests",
                "5s to the head",
            ],
        ),
    ] {
        let output = check(&file, variables);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        for expected in expected {
            assert!(
                said.contains(expected),
                "{variables:?}: {expected} is not in {said}"
            );
        }
    }
}

#[test]
fn a_variable_that_is_missing_or_wrong_is_told_and_no_secret() {
    let folder = folder("variables_wrong");
    let (file, policy) = (folder.join("breaker.yaml"), folder.join("p.yaml"));
    let rules = BTreeMap::from([
        (
            "",
            format!(
                "{}:4:22: upstreams.pay.endpoints[0]: needs the environment variable HOST, \
             which is not set",
                file.display()
            ),
        ),
        (
            "T=1234567",
            format!(
                "{}:6:58: routes[0].timeout: must have a unit: write ${{T}}s, ${{T}}ms or \
             ${{T}}m, or off",
                file.display()
            ),
        ),
        (
            "MIN=hunter2-hunter2",
            format!(
                "{}:3:15: min_requests: must be a whole number, at least 0",
                policy.display()
            ),
        ),
    ]);
    for (set, rule) in rules {
        let variables = set
            .split_once('=')
            .map_or(vec![], |set| vec![("HOST", "a"), set]);
        let output = check(&file, &variables);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&rule), "{rule} is not in {said}");
        let secret = set.rsplit('=').next().unwrap_or_default();
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
    }
    // A policy's file by itself.
    let output = check(&policy, &[("MIN", "0")]);
    assert!(
        said(&output).contains("3:15: min_requests: must be 1 to 1000000"),
        "{}",
        said(&output)
    );
    assert!(check(&policy, &[]).status.success());
}
