//! The manifests of `deploy/kubernetes` are what Kubernetes takes, and the configuration in them is
//! what Breaker takes.

use std::fs;
use std::path::{Path, PathBuf};

use breaker_tests::breaker;
use serde_json::{Value, json};

use crate::tools::{installed, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes")
}

/// What `kubectl apply` takes of the folder.
fn manifests() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// A manifest, by a reader of YAML that Kubernetes would agree with.
async fn manifest(file: &str) -> Value {
    let file = folder().join(file);
    let arguments = ["-c", AS_JSON, file.to_str().unwrap()];
    let read = run(installed("venv/bin/python"), arguments, b"").await;
    serde_json::from_str(&read.stdout).unwrap()
}

const AS_JSON: &str =
    "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";

/// By the published schemas, of the oldest version that has what they need and of the newest that
/// the package knows.
#[tokio::test]
async fn the_manifests_are_valid() {
    let validate = installed("venv/bin/kubernetes-validate");
    for version in ["1.30.0", "1.37.0"] {
        let mut arguments = vec!["--strict".into(), "-k".into(), PathBuf::from(version)];
        arguments.extend(manifests());
        let told = run(&validate, arguments, b"").await;
        assert_eq!(told.stderr, "", "{version}");
    }
}

#[tokio::test]
async fn the_configuration_in_the_manifests_is_good() {
    let config = manifest("configmap.yaml").await;
    // As a volume has it.
    let volume = tempfile::tempdir().unwrap();
    for (name, text) in config["data"].as_object().unwrap() {
        fs::write(volume.path().join(name), text.as_str().unwrap()).unwrap();
    }
    let file = volume.path().join("breaker.yaml");
    let told = breaker(["check".as_ref(), "--json".as_ref(), file.as_path()])
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");

    // The file doesn't name the token, which is a matter of the pod.
    let report: Value = serde_json::from_slice(&told.stdout).unwrap();
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = warnings[0].as_str().unwrap();
    assert!(
        warning.contains("--control-token-file or BREAKER_CONTROL_TOKEN"),
        "{warning}"
    );
    let sidecar = sidecar().await;
    let token = json!({"name": "BREAKER_CONTROL_TOKEN_FILE", "value": "/run/breaker/token"});
    assert_eq!(sidecar["env"], json!([token]));
}

/// Whether the kubelet and Prometheus ask where the sidecar answers. Kubernetes' schemas know
/// nothing of a PodMonitor, which is the Prometheus Operator's: here is checked what it says of the
/// pods.
#[tokio::test]
async fn probes_and_scrapes_go_to_the_admin_port() {
    let sidecar = sidecar().await;
    let admin = json!({"name": "admin", "containerPort": 9900});
    assert!(sidecar["ports"].as_array().unwrap().contains(&admin));
    for (probe, path) in [
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
    ] {
        let asked = &sidecar[probe]["httpGet"];
        assert_eq!(*asked, json!({"path": path, "port": "admin"}), "{probe}");
    }

    let pods = manifest("deployment.yaml").await["spec"]["template"]["metadata"].take();
    assert_eq!(pods["annotations"]["prometheus.io/port"], "9900");
    assert_eq!(pods["annotations"]["prometheus.io/path"], "/metrics");

    let monitor = manifest("monitoring/podmonitor.yaml").await;
    assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(monitor["kind"], "PodMonitor");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], pods["labels"]);
    let endpoint = json!({"port": "admin", "path": "/metrics", "interval": "15s"});
    assert_eq!(monitor["spec"]["podMetricsEndpoints"], json!([endpoint]));
}

/// The container of the sidecar.
async fn sidecar() -> Value {
    manifest("deployment.yaml").await["spec"]["template"]["spec"]["initContainers"][0].take()
}
