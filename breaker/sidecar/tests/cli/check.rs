//! `breaker check`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use super::{FED, Folder, GOOD, STRICT, stderr, stdout};

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
fn feeds_are_explained_in_plain_words() {
    let folder = Folder::new("feeds").with("breaker.yaml", FED);
    let output = folder.breaker(&["check", "breaker.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stdout(&output);
    for expected in [
        "  receives    OTLP/gRPC on 127.0.0.1:4317, OTLP/HTTP on 127.0.0.1:4318; sends it on to http://collector:4317\n",
        "\npay  everything else → http://127.0.0.1:9001\n",
        "  feed        db: client spans of service checkout with db.namespace not a or b and db.system.name postgresql\n",
        "              once it tripped, 30s of silence let the breaker recover\n",
        "  feed        http: the histogram http.server.request.duration in scope io of resources with k8s.pod.name pay-…\n",
        "  timeout     15s to the head of the response\n",
        "\nsearch  fed by telemetry alone, for others to ask\n",
        "  feed        es: the histogram db.client.operation.duration\n",
        "              by policy es: p99 ≥ 250ms\n",
        "              once it tripped, 1m of silence let the breaker recover\n",
    ] {
        assert!(words.contains(expected), "{expected}\n{words}");
    }
    let (_, search) = words.split_once("\nsearch").unwrap();
    assert!(!search.contains("timeout     "), "{search}");
}

#[test]
fn a_latency_that_default_buckets_cannot_tell_is_warned_of() {
    let folder = Folder::new("buckets").with("breaker.yaml", FED);
    let output = folder.breaker(&["check", "--json", "breaker.yaml"]);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let lower = |latency: &str, near: &str| {
        format!(
            "{latency} lies between the bounds of default buckets, so of histograms with explicit buckets the share above it \
             is only a lower estimate: use {near}, or exponential histograms (breaker run --otlp-env)"
        )
    };
    let expected = [
        format!("route pay, feed http: {}", lower("800ms", "750ms or 1s")),
        format!(
            "route search, feed es: {}",
            lower("250ms", "100ms or 500ms")
        ),
    ];
    assert_eq!(report["warnings"], serde_json::json!(expected));
    let words = folder.breaker(&["check", "breaker.yaml"]);
    let warning = format!("  warning     {}\n", lower("800ms", "750ms or 1s"));
    assert!(stdout(&words).contains(&warning), "{}", stdout(&words));

    assert_eq!(report["receive"]["grpc"], "127.0.0.1:4317");
    assert_eq!(report["receive"]["forward"]["http"], Value::Null);
    assert_eq!(report["routes"][0]["feeds"][0]["silence_timeout"], 30.0);
    assert_eq!(report["routes"][0]["feeds"][0]["policy"], Value::Null);
    assert_eq!(report["routes"][1]["upstream"], Value::Null);
    assert_eq!(report["routes"][1]["timeout"], Value::Null);
    assert_eq!(report["routes"][1]["feeds"][0]["policy"]["name"], "es");
}

#[test]
fn the_longest_open_time_is_told_as_it_is() {
    let policy = |max| format!("name: quick\nbase: adaptive\nopen: {{ max: {max} }}\n");
    for (max, told) in [
        ("2s", "up to 2s, ± 20%\n"),
        (
            "1m",
            "up to what 40 requests take to arrive (5s to 1m), ± 20%\n",
        ),
    ] {
        let folder = Folder::new("longest").with("quick.yaml", &policy(max));
        let output = folder.breaker(&["check", "quick.yaml"]);
        assert!(stdout(&output).contains(told), "{}", stdout(&output));
    }
}

#[test]
fn a_token_that_is_no_text_is_an_error_and_not_none() {
    let folder = Folder::new("token_no_text")
        .with("policies/strict.yaml", STRICT)
        .with("breaker.yaml", GOOD);
    fs::write(folder.0.join("token"), [0xff, 0xfe]).expect("a file");
    fs::write(folder.0.join("other"), "s3cret").expect("a file");
    let rule = "must hold a token: one line of 1 to 4096 visible ASCII characters";
    let run = ["run", "--config", "breaker.yaml"];
    let output = folder.breaker_with(
        &run,
        &[("BREAKER_CONTROL_TOKEN", OsStr::from_bytes(&[0xff]))],
    );
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(
        told.contains(&format!("BREAKER_CONTROL_TOKEN: {rule}")),
        "{told}"
    );
    let text = GOOD.replace("policies:", "control: { token_file: token }\npolicies:");
    let folder = folder.with("breaker.yaml", &text);
    for arguments in [
        &run[..],
        &["check", "breaker.yaml"],
        &[
            "run",
            "--config",
            "breaker.yaml",
            "--control-token-file",
            "token",
        ],
    ] {
        let output = folder.breaker(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        let told = stderr(&output);
        assert!(told.contains(rule), "{arguments:?}: {told}");
    }
}

#[test]
fn an_admin_port_beyond_loopback_without_a_token_is_warned_of() {
    let folder = Folder::new("lacks_token")
        .with("policies/strict.yaml", STRICT)
        .with("token", "s3cret\n")
        .with("breaker.yaml", &format!("admin: 0.0.0.0:9900\n{GOOD}"));
    let warning = "beyond loopback, so changes need a token, which the file does not name: \
                   without --control-token-file or BREAKER_CONTROL_TOKEN run refuses to start";
    let warned = || {
        let output = folder.breaker(&["check", "--json", "breaker.yaml"]);
        let report: Value = serde_json::from_str(stdout(&output)).unwrap();
        report["warnings"].clone()
    };
    assert_eq!(warned(), serde_json::json!([format!("admin: {warning}")]));
    let words = folder.breaker(&["check", "breaker.yaml"]);
    assert_eq!(words.status.code(), Some(0), "{}", stderr(&words));
    let line = format!("  admin on    0.0.0.0:9900\n  warning     {warning}\n");
    assert!(stdout(&words).contains(&line), "{}", stdout(&words));

    let token = "control: { token_file: token }";
    for (admin, control) in [("127.0.0.1:9900", ""), ("0.0.0.0:9900", token)] {
        let text = format!("admin: {admin}\n{control}\n{GOOD}");
        fs::write(folder.0.join("breaker.yaml"), text).unwrap();
        assert_eq!(warned(), serde_json::json!([]), "{admin} {control}");
    }
}

#[test]
fn a_feed_that_can_never_trip_or_match_is_warned_of() {
    let folder = Folder::new("never").with(
        "breaker.yaml",
        "telemetry: { receive: {} }
routes:
  - name: pay
    policy: { base: sensitive, trip: [{ concurrency: 50, error_rate: 5% }] }
    feeds: [{ name: db, match: { service.name: checkout } }, { name: slow, metric: m, policy: { base: sensitive, trip: [{ p50: 20s }] } }]
",
    );
    let output = folder.breaker(&["check", "--json", "breaker.yaml"]);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let warnings: Vec<_> = report["warnings"].as_array().unwrap().iter().collect();
    let expected = [
        "route pay, feed db: service.name is an attribute of resources, which match does not look at: write service",
        "route pay, feed db: telemetry does not tell what the conditions ask for, so none can hold here",
        "route pay, feed slow: 20s lies above the bounds of default buckets, so of histograms with explicit buckets the share above it is only a lower estimate: use 10s, or exponential histograms (breaker run --otlp-env)",
    ];
    assert_eq!(warnings, expected);
    assert_eq!(report["listen"], Value::Null);

    let words = folder.breaker(&["check", "breaker.yaml"]);
    let nothing = "  listens on  nothing, for no route has an upstream\n";
    assert!(stdout(&words).contains(nothing), "{}", stdout(&words));
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
            "gentle: must exist, or be a built-in policy: conservative, sensitive, combined, adaptive\n",
        ),
    ] {
        let output = folder.breaker(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr(&output), expected);
    }
}
