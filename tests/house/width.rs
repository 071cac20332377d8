//! Comments end at column 100, as code does.

use std::fs;

use super::{files, root};

/// In characters.
const MOST: usize = 100;

#[test]
fn no_comment_is_wider_than_100_columns() {
    let folders = ["breaker", "tests", "proto", "fuzz"];
    let sources = folders
        .iter()
        .flat_map(|folder| files(&root().join(folder)));
    let mut wide = Vec::new();
    for file in sources.filter(|file| {
        !file
            .components()
            .any(|part| part.as_os_str() == "generated")
    }) {
        let text = fs::read_to_string(&file).unwrap();
        let mut in_code = false;
        for (index, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                in_code = false;
                continue;
            };
            let comment = comment.trim_start_matches(['/', '!']).trim_start();
            in_code ^= comment.starts_with("```");
            // What can't be broken: code of examples, rows of tables, addresses.
            let is_one = in_code || comment.starts_with('|') || !comment.trim_end().contains(' ');
            if !is_one && line.chars().count() > MOST {
                wide.push(format!("{}:{}", file.display(), index + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}
