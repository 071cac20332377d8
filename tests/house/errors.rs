//! An error is a type: a text can't be matched, and says nothing of what kind it is.

use std::fs;

use super::{files, root};

/// Crates whose code must not return a text as its error.
const SOURCES: [&str; 2] = ["breaker", "proto"];

#[test]
fn no_error_is_a_text() {
    let mut wrong = Vec::new();
    for file in SOURCES
        .iter()
        .flat_map(|folder| files(&root().join(folder)))
    {
        let inside = file.strip_prefix(root()).unwrap().with_extension("");
        let is_test = inside.iter().any(|part| {
            ["tests", "benches", "examples"]
                .iter()
                .any(|name| part == *name)
        });
        if is_test {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (index, line) in code.lines().enumerate().filter(|(_, line)| is_text(line)) {
            wrong.push(format!("{}:{}: {}", file.display(), index + 1, line.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_as_errors_are_seen() {
    for line in [
        "fn read(text: &str) -> Result<Self, String> {",
        "fn all() -> Result<Vec<(String, u8)>, String>;",
        "    type Err = String;",
        "    type Error = String;",
        "token: Option<&Result<Token, String>>",
    ] {
        assert!(is_text(line), "{line}");
    }
    for line in [
        "// a Result<(), String> was here",
        "fn read() -> Result<String, Error>",
        "fn read() -> (Result<u8, Error>, HashMap<u8, String>)",
    ] {
        assert!(!is_text(line), "{line}");
    }
}

/// Whether the error of a result, or of a conversion, is a `String`.
fn is_text(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let named = ["type Err = String;", "type Error = String;"];
    named.iter().any(|text| code.contains(text))
        || code
            .match_indices("Result<")
            .any(|(at, open)| second(&code[at + open.len()..]) == Some("String"))
}

/// The second argument of a list of types in angle brackets, which begins with `code`.
fn second(code: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut start = None;
    for (at, c) in code.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' if depth == 0 => {
                return start.map(|start: usize| code[start..at].trim());
            }
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => start = Some(at + 1),
            _ => {}
        }
    }
    None
}
