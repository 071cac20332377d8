//! The manifests of `deploy/kubernetes` are what Kubernetes takes, and the configuration in them is what Breaker takes.

use std::fs;
use std::path::{Path, PathBuf};

use breaker_tests::breaker;

use crate::tools::{installed, run};

fn manifests() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    let files = fs::read_dir(folder).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// By the published schemas, of the oldest version that has what they need and of the newest that the package knows.
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
    let folder = tempfile::tempdir().unwrap();
    let config = manifests();
    let config = config.iter().find(|file| file.ends_with("configmap.yaml"));
    let arguments = [
        "-c".as_ref(),
        UNPACK.as_ref(),
        config.unwrap().as_path(),
        folder.path(),
    ];
    run(installed("venv/bin/python"), arguments, b"").await;
    let file = folder.path().join("breaker.yaml");
    let told = breaker(["check".as_ref(), file.as_path()])
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");
}

/// Writes the files of a ConfigMap into a folder, as a volume does.
const UNPACK: &str = "import pathlib, sys, yaml; \
    [pathlib.Path(sys.argv[2], name).write_text(text) \
     for name, text in yaml.safe_load(open(sys.argv[1]))['data'].items()]";
