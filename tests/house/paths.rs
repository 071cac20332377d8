//! The files that ARCHITECTURE.md and CONTRIBUTING.md name exist.

use std::fs;
use std::path::Path;

use super::{files, root};

/// Names that stand for any, or for none.
const EXAMPLES: [&str; 3] = [".rs", "foo.rs", "mod.rs"];

#[test]
fn the_files_that_the_maps_name_exist() {
    let sources: Vec<_> = ["breaker", "tests", "proto", "fuzz"]
        .iter()
        .flat_map(|folder| files(&root().join(folder)))
        .collect();
    let exists = |name: &str| sources.iter().any(|file| file.ends_with(Path::new(name)));
    for map in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(map)).unwrap();
        let is_part = |c: char| c.is_alphanumeric() || "/_-.".contains(c);
        let names = text.split(|c: char| !is_part(c));
        let names = names.filter(|name| name.ends_with(".rs") && !EXAMPLES.contains(name));
        let missing: Vec<_> = names.filter(|name| !exists(name)).collect();
        assert!(missing.is_empty(), "{map}: {missing:?}");
    }
}
