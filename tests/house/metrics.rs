//! docs/telemetry.md has each metric and attribute that the sidecar can export. The library has
//! them by the same names.

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

#[test]
fn the_library_has_the_names_units_and_attributes_of_the_sidecar() {
    let read = |path: &str| fs::read_to_string(root().join("breaker").join(path)).unwrap();
    let library = read("tower/src/telemetry.rs");
    let sidecar = read("sidecar/src/telemetry/names.rs");
    let units = |text: &str| -> Vec<(String, String)> {
        let metrics = text.split("name: \"").skip(1);
        let field = |text: &str| text.split('"').next().unwrap().to_owned();
        let unit = |text: &str| Some(field(text.split("unit: \"").nth(1)?));
        metrics
            .filter_map(|text| Some((field(text), unit(text)?)))
            .collect()
    };
    let known = units(&sidecar);
    let metrics = units(&library);
    assert!(metrics.len() > 10, "{metrics:?}");
    for metric in &metrics {
        assert!(known.contains(metric), "{metric:?} is none of {known:?}");
    }
    let names = library.split('"').skip(1).step_by(2);
    for name in names.filter(|name| name.starts_with("breaker.")) {
        assert!(sidecar.contains(&format!("\"{name}\"")), "{name}");
    }
}
