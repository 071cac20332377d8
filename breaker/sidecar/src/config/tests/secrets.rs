//! What is secret in a configuration and its environment is in no `Debug` output and no error.

use std::fs;

use tempfile::TempDir;

use crate::config::{Config, ConfigError};
use crate::telemetry::{Environment, ExportSettings};

const CANARY: &str = "canary0123456789abcdef0123456789";

fn folder() -> TempDir {
    let folder = super::tls::folder();
    for name in ["token", "fleet.key"] {
        fs::write(folder.path().join(name), CANARY).unwrap();
    }
    folder
}

fn parsed(more: &str, folder: &TempDir) -> Result<Config, ConfigError> {
    let text = format!(
        "upstreams:\n  pay: {{ endpoints: ['http://127.0.0.1:1'] }}\n\
         routes:\n  - {{ name: pay, upstream: pay }}\n{more}"
    );
    Config::parse(&text, Some("b.yaml"), folder.path())
}

#[test]
fn no_debug_output_has_a_secret() {
    let folder = folder();
    let key = fs::read_to_string(folder.path().join("good.key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    let config = parsed(
        &format!(
            "control: {{ token_file: token }}\n\
             identity: {{ cert: good.crt, key: good.key, roots: ca.crt }}\n\
             tls: {{ clients: {{}} }}\nadmin_tls: {{}}\n\
             telemetry:\n  export: {{ headers: {{ api-key: {CANARY} }} }}\n  receive: {{ tls: {{}} }}\n\
             fleet: {{ name: pay, engine: 'rediss://u:{CANARY}@redis', key_file: fleet.key }}\n"
        ),
        &folder,
    );
    let config = config.unwrap();
    let environment: Environment = [
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("x-key={CANARY},{CANARY}"),
        ),
        ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
    ]
    .into_iter()
    .collect();
    let settings = ExportSettings::resolve(config.export(), &environment).unwrap();
    for (what, shown) in [
        ("the configuration", format!("{config:?} {config:#?}")),
        ("the environment", format!("{environment:?}")),
        ("the settings", format!("{settings:?}")),
    ] {
        assert!(!shown.contains(CANARY), "{what}: {shown}");
        assert!(!shown.contains(key), "{what} has a key");
    }
}

#[test]
fn no_error_repeats_a_secret() {
    let folder = folder();
    for more in [
        format!("fleet: {{ name: pay, engine: 'http://u:{CANARY}@redis' }}"),
        format!("follow: {{ brain: 'http://u:{CANARY}@brain' }}"),
        format!("telemetry: {{ export: {{ endpoint: 'ftp://u:{CANARY}@c' }} }}"),
        format!("telemetry: {{ export: {{ endpoint: 'http://u:{CANARY}@c' }} }}"),
        format!("telemetry: {{ export: {{ headers: {{ a: \"{CANARY}\\n\" }} }} }}"),
        format!("telemetry: {{ receive: {{ forward: 'http://u:{CANARY}@c' }} }}"),
        format!("dashboard: {{ trace_url: 'x://u:{CANARY}@c' }}"),
        "control: { token_file: good.key }".to_owned(),
        "tls: { cert: good.crt, key: token }".to_owned(),
    ] {
        let error = parsed(&more, &folder).expect_err(&more);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(CANARY), "{shown}");
    }
    let endpoint = format!("upstreams:\n  pay: {{ endpoints: ['http://u:{CANARY}@h'] }}\n");
    let text = format!("{endpoint}routes:\n  - {{ name: pay, upstream: pay }}\n");
    let error = Config::parse(&text, None, folder.path()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(CANARY), "{error}");
    for endpoint in [
        "http://u:{}@c:4317",
        "ftp://u:{}@c",
        "u:{}@c",
        "http://u:{}@",
    ] {
        let endpoint = endpoint.replace("{}", CANARY);
        let environment: Environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.clone())]
            .into_iter()
            .collect();
        let error = ExportSettings::resolve(None, &environment).expect_err(&endpoint);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{shown}");
    }
}
