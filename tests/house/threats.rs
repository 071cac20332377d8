//! The tests that the threat model names exist.

use std::collections::HashSet;
use std::fs;

use super::{files, root};

#[test]
fn each_threat_of_the_model_has_tests_and_they_exist() {
    let folders = ["breaker", "tests"];
    let sources = folders
        .iter()
        .flat_map(|folder| files(&root().join(folder)));
    let known: HashSet<String> = sources
        .flat_map(|file| tests_of(&fs::read_to_string(file).unwrap()))
        .collect();
    let model = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let rows = model.lines().filter(|line| is_row(line));
    let mut missing = Vec::new();
    let mut threats = 0;
    for row in rows {
        threats += 1;
        let last = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let named: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {row}");
        missing.extend(named.into_iter().filter(|name| !known.contains(*name)));
    }
    assert!(threats >= 20, "{threats} rows");
    assert!(missing.is_empty(), "{missing:?}");
}

/// Rows of the table by boundary: `| 1 | S | …`.
fn is_row(line: &str) -> bool {
    let mut cells = line.split('|').skip(1).map(str::trim);
    let boundary = cells.next().unwrap_or_default();
    boundary.len() == 1 && boundary.chars().all(|digit| digit.is_ascii_digit())
}

/// The functions that stand below an attribute of a test.
fn tests_of(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        match line.split_once("fn ") {
            Some((_, name)) if is_test => {
                let end = name.find('(').unwrap_or(name.len());
                found.push(name[..end].to_owned());
                is_test = false;
            }
            _ if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => is_test = true,
            _ => {}
        }
    }
    found
}
