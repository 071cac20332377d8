//! Another configuration for the binary while it runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use breaker_tests::{Setup, Sidecar, Upstream, breaker, eventually, get};

use crate::traffic::in_turn;

/// How many reloads had this result.
async fn reloads(sidecar: &Sidecar, result: &str) -> f64 {
    let labels = [("breaker_config_result", result)];
    let metrics = sidecar.metrics().await;
    metrics
        .sum("breaker_config_reloads_total", &labels)
        .unwrap_or(0.0)
}

fn with_another_route(upstream: &Upstream) -> String {
    let text = Setup::of(upstream.address()).yaml();
    format!("{text}  - {{ name: more, upstream: pay, match: {{ path: /more }} }}\n")
}

#[tokio::test]
async fn sighup_loads_the_file_again() {
    let upstream = Upstream::start().await;
    let unwatched = "watch: false\n";
    let text = Setup::of(upstream.address()).yaml();
    let mut sidecar = Sidecar::start(format!("{unwatched}{text}")).await;
    let text = format!("{unwatched}{}", with_another_route(&upstream));
    fs::write(sidecar.config_file(), text).unwrap();
    sidecar.process().hang_up();
    eventually!(reloads(&sidecar, "applied").await == 1.0);
    assert_eq!(get(sidecar.url("/more")).await.status, 200);
    assert_eq!(sidecar.metrics().await.requests("more", "success"), 1.0);

    fs::write(sidecar.config_file(), "rutes: []\n").unwrap();
    sidecar.process().hang_up();
    eventually!(reloads(&sidecar, "refused").await == 1.0);
    assert_eq!(get(sidecar.url("/more")).await.status, 200);
    // The log has a thread of its own, and may come after the metric.
    eventually!(sidecar.process().log().contains("breaker.yaml:1:1: rutes:"));
}

#[tokio::test]
async fn sighup_ends_no_sidecar_that_has_no_file() {
    let upstream = Upstream::start().await;
    let mut sidecar = Sidecar::in_front_of(&upstream, "sensitive").await;
    sidecar.process().hang_up();
    eventually!(reloads(&sidecar, "refused").await == 1.0);
    in_turn(&sidecar, 1).await;
    assert!(sidecar.process().log().contains("--upstream"));
}

/// Puts `text` in the place of what is in `folder`, as Kubernetes updates a `ConfigMap`.
fn swap(folder: &Path, version: &str, text: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("breaker.yaml"), text).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_loaded() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    swap(folder.path(), "..1", &Setup::of(upstream.address()).yaml());
    let file = folder.path().join("breaker.yaml");
    symlink("..data/breaker.yaml", &file).unwrap();
    let mut command = breaker(["run", "--config"]);
    command.arg(&file);
    let sidecar = Sidecar::spawn(command).await;
    swap(folder.path(), "..2", &with_another_route(&upstream));
    eventually!(reloads(&sidecar, "applied").await == 1.0);
    get(sidecar.url("/more")).await;
    assert_eq!(sidecar.metrics().await.requests("more", "success"), 1.0);
}
