//! docs/telemetry.md has each metric and attribute that the sidecar can export.

use std::fs;

use super::root;

#[test]
fn each_name_of_telemetry_is_documented() {
    let names = root().join("breaker/sidecar/src/telemetry/names.rs");
    let names = fs::read_to_string(names).unwrap();
    let names = names.split('"').skip(1).step_by(2);
    let names: Vec<_> = names.filter(|name| name.starts_with("breaker.")).collect();
    assert!(names.len() > 20, "{names:?}");
    let page = fs::read_to_string(root().join("docs/telemetry.md")).unwrap();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
