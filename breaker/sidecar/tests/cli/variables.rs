//! `breaker run --otlp-env`: the variables of applications that send their telemetry here.

use std::process::Command;

use serde_json::Value;

use super::{FED, Folder, GOOD, STRICT, stderr, stdout};

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
