//! The binary, as a shell sees it: output, messages and exit codes.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

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
        self.breaker_with(arguments, &[] as &[(&str, &str)])
    }

    /// The same with `settings` in the environment.
    fn breaker_with(&self, arguments: &[&str], settings: &[(&str, impl AsRef<OsStr>)]) -> Output {
        let variables = std::env::vars().map(|(name, _)| name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_breaker"));
        for name in
            variables.filter(|name| name.starts_with("BREAKER_") || name.starts_with("OTEL_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .envs(settings.iter().map(|(name, value)| (name, value)))
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

const FED: &str = "telemetry:
  receive: { forward: http://collector:4317 }
upstreams:
  pay: { endpoints: [http://127.0.0.1:9001] }
routes:
  - name: pay
    upstream: pay
    policy: { base: sensitive, trip: [{ p99: 1s }, { slow_rate: 50%, slow_threshold: 800ms }] }
    feeds:
      - { name: db, service: checkout, span: client, match: { db.system.name: postgresql, db.namespace: { not: [a, b] } } }
      - { name: http, metric: http.server.request.duration, resource: { k8s.pod.name: { prefix: pay- } }, scope: io }
  - name: search
    feeds: [{ name: es, metric: db.client.operation.duration, policy: { base: conservative, trip: [{ p99: 250ms }] }, silence_timeout: 1m }]
";

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
fn the_variables_for_applications_are_printed_for_env_and_for_programs() {
    let folder = Folder::new("otlp_env").with("breaker.yaml", FED);
    let run = ["run", "--config", "breaker.yaml", "--otlp-env"];
    let output = folder.breaker(&run);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_BSP_SCHEDULE_DELAY", "500"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "2000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        ),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database"),
    ];
    let lines: Vec<_> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), 2 * expected.len());
    for (pair, (name, value)) in lines.chunks(2).zip(expected) {
        assert!(pair[0].starts_with("# "), "{pair:?}");
        assert_eq!(pair[1], format!("{name}={value}"));
    }

    let output = folder.breaker(&[&run[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let fields = expected.map(|(name, value)| (name.to_owned(), value.into()));
    assert_eq!(report, Value::Object(fields.into_iter().collect()));
}

#[test]
fn a_shell_can_start_an_application_with_the_variables() {
    let folder = Folder::new("otlp_env_shell").with("breaker.yaml", FED);
    let breaker = env!("CARGO_BIN_EXE_breaker");
    let command = format!(
        "env $({breaker} run --config breaker.yaml --otlp-env | grep -v '^#') sh -c 'echo $OTEL_EXPORTER_OTLP_ENDPOINT $OTEL_SEMCONV_STABILITY_OPT_IN'"
    );
    let output = Command::new("sh")
        .args(["-c", &command])
        .current_dir(&folder.0)
        .output()
        .expect("a shell");
    assert_eq!(stdout(&output), "http://127.0.0.1:4318 http,database\n");
}

#[test]
fn the_variables_follow_the_addresses_that_are_received_on() {
    for (receive, endpoint, protocol) in [
        ("{ grpc: 127.0.0.1:5317 }", "http://127.0.0.1:5317", "grpc"),
        (
            "{ http: '[::]:5318', allow_remote: true }",
            "http://[::1]:5318",
            "http/protobuf",
        ),
        (
            "{ grpc: 0.0.0.0:5317, allow_remote: true }",
            "http://127.0.0.1:5317",
            "grpc",
        ),
    ] {
        let text = format!("telemetry: {{ receive: {receive} }}\n{GOOD}");
        let folder = Folder::new("otlp_env_addresses")
            .with("policies/strict.yaml", STRICT)
            .with("breaker.yaml", &text);
        let run = ["run", "--config", "breaker.yaml", "--otlp-env", "--json"];
        let output = folder.breaker(&run);
        let report: Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!(report["OTEL_EXPORTER_OTLP_ENDPOINT"], endpoint);
        assert_eq!(report["OTEL_EXPORTER_OTLP_PROTOCOL"], protocol);
    }
}

#[test]
fn a_receiver_in_tls_is_explained_and_its_variables_say_so() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = "{ cert: tls.crt, key: tls.key, clients: { roots: tls.crt, require: false } }";
    let folder = Folder::new("otlp_tls")
        .with("policies/strict.yaml", STRICT)
        .with("tls.crt", &certified.cert.pem())
        .with("tls.key", &certified.signing_key.serialize_pem())
        .with(
            "breaker.yaml",
            &format!("telemetry: {{ receive: {{ http: 127.0.0.1:4318, tls: {tls} }} }}\n{GOOD}"),
        );
    let run = ["run", "--config", "breaker.yaml", "--otlp-env", "--json"];
    let report: Value = serde_json::from_str(stdout(&folder.breaker(&run))).unwrap();
    assert_eq!(
        report["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "https://127.0.0.1:4318"
    );
    let check = folder.breaker(&["check", "breaker.yaml"]);
    for line in [
        "OTLP/HTTP on 127.0.0.1:4318, in TLS from 1.3 on; clients may show a certificate: any",
        "receiver: valid until ",
    ] {
        assert!(stdout(&check).contains(line), "{}", stdout(&check));
    }
}

#[test]
fn without_a_receiver_there_are_no_variables() {
    let folder = Folder::new("otlp_env_nothing").with(
        "zero.yaml",
        &format!(
            "telemetry: {{ receive: {{ grpc: 127.0.0.1:0 }} }}\n{}",
            &GOOD["policies: [policies]\n".len()..]
        )
        .replace("policy: strict, ", ""),
    );
    for (source, expected) in [
        (
            "--upstream=http://127.0.0.1:1",
            "telemetry.receive is not configured: there is nothing that an application could send to\n",
        ),
        (
            "--config=zero.yaml",
            "telemetry.receive has port 0: its port is not known before it runs\n",
        ),
    ] {
        let output = folder.breaker(&["run", source, "--otlp-env"]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr(&output), expected);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn metrics_are_not_exported_to_where_telemetry_is_received() {
    let folder = Folder::new("loop").with("breaker.yaml", FED);
    let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")];
    let output = folder.breaker_with(&["run", "--config", "breaker.yaml"], &endpoint);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let expected = "telemetry must not be exported to http://localhost:4318";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
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

fn trace() -> String {
    let line = |number: u32| {
        let status = if (500..1000).contains(&number) {
            500
        } else {
            200
        };
        format!(
            "{{\"t\":{}.{:02},\"route\":\"pay\",\"latency\":0.01,\"status\":{status}}}\n",
            number / 100,
            number % 100
        )
    };
    (0..4000).map(line).collect()
}

#[test]
fn a_backtest_shows_policies_side_by_side_and_writes_a_page() {
    let folder = Folder::new("backtest")
        .with("policies/strict.yaml", STRICT)
        .with("trace.jsonl", &trace());
    let policies = ["--policy", "sensitive", "--policy", "policies/strict.yaml"];
    let arguments = [
        &["backtest"],
        &policies[..],
        &["--html", "report.html", "trace.jsonl"],
    ]
    .concat();
    let output = folder.breaker(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = stdout(&output);
    assert!(
        words.contains("\nsensitive ") && words.contains("\nstrict "),
        "{words}"
    );
    assert!(!words.contains('\u{1b}'), "no colours in a pipe");
    let page = fs::read_to_string(folder.0.join("report.html")).expect("a page");
    assert!(page.contains(r#""name":"strict""#));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "it needs nothing else"
    );

    let output = folder.breaker(&["backtest", "--policy", "sensitive", "--json", "trace.jsonl"]);
    let last: Value =
        serde_json::from_str(stdout(&output).lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["summary"]["requests"], 4000);
    assert_eq!(last["summary"]["trips"], 1);
}

#[test]
fn a_backtest_in_parts_is_merged_to_what_the_whole_prints() {
    let other = trace().replace("\"pay\"", "\"search\"");
    let folder = Folder::new("backtest_parts")
        .with("pay.jsonl", &trace())
        .with("search.jsonl", &other);
    let traces = ["--policy", "sensitive", "pay.jsonl", "search.jsonl"];
    for part in ["1/3", "2/3", "3/3"] {
        let output = folder.breaker(&[&["backtest", "--shard", part], &traces[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let file = folder.0.join(format!("{}.json", &part[..1]));
        fs::write(file, stdout(&output)).unwrap();
    }
    let merge = ["backtest", "--merge", "2.json", "1.json", "3.json"];
    for more in [&[][..], &["--json"], &["--html", "page.html"]] {
        let whole = folder.breaker(&[&["backtest"], &traces[..], more].concat());
        let page = fs::read_to_string(folder.0.join("page.html")).ok();
        let merged = folder.breaker(&[&merge[..], more].concat());
        assert_eq!(merged.status.code(), Some(0), "{}", stderr(&merged));
        assert_eq!(stdout(&merged), stdout(&whole), "{more:?}");
        assert_eq!(fs::read_to_string(folder.0.join("page.html")).ok(), page);
    }

    let missing = folder.breaker(&["backtest", "--merge", "1.json", "3.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("part 2/3 is missing"),
        "{}",
        stderr(&missing)
    );
    let none = folder.breaker(&["backtest", "--merge", "none.json"]);
    assert!(
        stderr(&none).contains("none.json can't be read"),
        "{}",
        stderr(&none)
    );
    let bad = folder.breaker(&[&["backtest", "--shard", "4/3"], &traces[..]].concat());
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        stderr(&bad).contains("must be a part such as 3/8"),
        "{}",
        stderr(&bad)
    );
    let both = folder.breaker(&[&["backtest", "--shard", "1/3", "--json"], &traces[..]].concat());
    assert!(
        stderr(&both).contains("cannot be used with"),
        "{}",
        stderr(&both)
    );
}

#[test]
fn a_backtest_tells_bad_lines_and_strictly_stops_at_the_first() {
    let bad = trace() + "what\n";
    let folder = Folder::new("backtest_bad")
        .with("trace.jsonl", &bad)
        .with("empty.jsonl", "");
    let output = folder.breaker(&["backtest", "--policy", "sensitive", "trace.jsonl"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).starts_with("trace.jsonl:4001: expected value"),
        "{}",
        stderr(&output)
    );
    let output = folder.breaker(&[
        "backtest",
        "--strict",
        "--policy",
        "sensitive",
        "trace.jsonl",
    ]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));

    let output = folder.breaker(&["backtest", "--policy", "sensitive", "empty.jsonl"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(1), "there is no request in the trace\n")
    );
    let output = folder.breaker(&[
        "backtest",
        "--policy",
        "sensitive",
        "--route",
        "pya",
        "trace.jsonl",
    ]);
    assert!(
        stderr(&output).ends_with("the trace has no request of pya; did you mean pay?\n"),
        "{}",
        stderr(&output)
    );
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
}

#[test]
fn a_backtest_without_any_request_fails_and_says_why() {
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"SELECT","kind":3,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#;
    let folder = Folder::new("backtest_nothing")
        .with(
            "bad.jsonl",
            "{\"t\":1,\"route\":\"a\",\"latency\":1}\n[1]\n",
        )
        .with("words.txt", "what\n")
        .with("clients.json", spans)
        .with("metrics.json", "{\"resourceMetrics\":[]}\n")
        .with(
            "stats.csv",
            "Type,Name,Request Count,Failure Count\nGET,/,1,0\n",
        );
    for (file, expected) in [
        (
            "bad.jsonl",
            "bad.jsonl:1: there must be a status or an outcome\n",
        ),
        (
            "words.txt",
            "words.txt:1: expected a line of a known format",
        ),
        (
            "clients.json",
            "clients.json has no requests: it has 1 spans, but none of a server",
        ),
        (
            "metrics.json",
            "metrics.json has no requests: it has metrics or logs",
        ),
        ("stats.csv", "stats.csv is locust's statistics: "),
    ] {
        let output = folder.breaker(&["backtest", "--policy", "sensitive", "--json", file]);
        let told = stderr(&output);
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(!told.contains("struct"), "{told}");
    }
    let output = folder.breaker(&["backtest", "--policy", "sensitive", "--json", "bad.jsonl"]);
    let summary: Value = serde_json::from_str(stdout(&output)).expect("a line of JSON");
    assert_eq!(summary["lost"]["why"]["bad_field"], 2, "{summary}");
}

#[test]
fn a_backtest_without_its_trace_or_policy_says_so() {
    let folder = Folder::new("backtest_missing").with("trace.jsonl", "");
    let output = folder.breaker(&["backtest", "--policy", "sensitive", "none.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).starts_with("none.jsonl can't be read: "),
        "{}",
        stderr(&output)
    );
    for policies in [
        &["--policy", "none"][..],
        &["--policy", "sensitive", "--policy", "sensitive"],
        &[],
    ] {
        let output = folder.breaker(&[&["backtest"], policies, &["trace.jsonl"]].concat());
        assert_eq!(output.status.code(), Some(2), "{policies:?}");
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

#[test]
fn health_is_exit_code_0_for_a_good_answer_only() {
    let folder = Folder::new("health");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let server = thread::spawn(move || {
        for status in ["200 OK", "503 Service Unavailable"] {
            let (mut socket, _) = listener.accept().expect("a connection");
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let mut request = [0; 1024];
            let _ = socket.read(&mut request).expect("a request");
            socket.write_all(answer.as_bytes()).expect("an answer");
        }
    });
    let url = format!("http://{address}/readyz");
    let ask = || folder.breaker(&["health", &url]);
    assert_eq!(ask().status.code(), Some(0));
    let unwell = ask();
    assert_eq!(unwell.status.code(), Some(1));
    assert_eq!(stderr(&unwell), format!("{url}: 503 Service Unavailable\n"));
    server.join().expect("the server ends");
    let gone = ask();
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).starts_with(&url), "{}", stderr(&gone));
}

#[test]
fn health_of_an_admin_port_asks_whether_it_is_ready() {
    let folder = Folder::new("health-of-admin");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let admin = format!("http://{}", listener.local_addr().expect("its address"));
    let server = thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..4 {
            let (mut socket, _) = listener.accept().expect("a connection");
            let mut request = [0; 1024];
            let length = socket.read(&mut request).expect("a request");
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            socket.write_all(answer.as_bytes()).expect("an answer");
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            asked.push(request.lines().next().unwrap_or_default().to_owned());
        }
        asked
    });
    let [slash, livez] = ["/", "/livez"].map(|path| format!("{admin}{path}"));
    for url in [&admin, &slash, &livez] {
        let answer = folder.breaker(&["health", url]);
        assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    }
    let answer = folder.breaker_with(&["health"], &[("BREAKER_ADMIN_URL", &admin)]);
    assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    let expected = ["/readyz", "/readyz", "/livez", "/readyz"];
    let asked = server.join().expect("the server ends");
    assert_eq!(asked, expected.map(|path| format!("GET {path} HTTP/1.1")));
}
