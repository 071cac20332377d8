//! Words of the documents are types in Rust: nobody compares texts, or looks for something in what
//! is written for people.

use std::fs;

use super::{files, root};

/// Where the types are.
const WORDS: &str = "breaker/sidecar/src/report/words.rs";
/// What makes documents, or reads them.
const READERS: [&str; 4] = [
    "breaker/sidecar/src/cli",
    "breaker/sidecar/src/control",
    "breaker/sidecar/src/live",
    "breaker/sidecar/src/report",
];
/// Fields that are sentences for people.
const PROSE: [&str; 3] = ["detail", "text", "sentence"];

#[test]
fn nobody_compares_words_that_have_a_type_or_searches_prose() {
    let words = words(&fs::read_to_string(root().join(WORDS)).unwrap());
    assert!(words.contains(&"half_open".to_owned()), "{words:?}");
    let mut wrong = Vec::new();
    let sources = READERS
        .iter()
        .flat_map(|folder| files(&root().join(folder)));
    for file in sources.filter(|file| !file.ends_with(WORDS)) {
        let is_test = file
            .iter()
            .any(|part| part == "tests" || part == "tests.rs");
        if is_test {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        for (index, line) in code.lines().enumerate() {
            if compares(line, &words) || searches(line) {
                wrong.push(format!("{}:{}: {}", file.display(), index + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn comparisons_and_searches_are_seen() {
    let words = words("        HalfOpen = \"half_open\",\n    #[doc = \"x\"]\n");
    assert_eq!(words, ["half_open"]);
    for line in [
        "if breaker.state == \"half_open\" {",
        "if \"half_open\" != state {",
        "\"half_open\" => 1,",
        "\"half_open\" if sheds => 1,",
        "\"open\" | \"half_open\" => 1,",
        "matches!(&*breaker.state, \"half_open\")",
    ] {
        assert!(compares(line, &words), "{line}");
    }
    for line in [
        "reason.detail.contains(\"usual\")",
        "condition.text.starts_with(words)",
        "(&*event.detail).find(\"source\")",
    ] {
        assert!(searches(line), "{line}");
    }
    assert!(!compares("push([\"half_open\".into()])", &words));
    assert!(!searches("line.push(reason.detail.clone())"));
}

/// The words of the enumerations: `Value = "word",`.
fn words(text: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let (_, word) = line.trim().strip_suffix("\",")?.split_once(" = \"")?;
        Some(word.to_owned())
    };
    text.lines().filter_map(of_line).collect()
}

fn compares(line: &str, words: &[String]) -> bool {
    words.iter().any(|word| {
        let word = format!("\"{word}\"");
        let before = [
            format!("== {word}"),
            format!("!= {word}"),
            format!("| {word}"),
        ];
        let after = ["==", "!=", "=>", "if ", "|"].map(|after| format!("{word} {after}"));
        let matched = line.contains("matches!(") && line.contains(&word);
        matched
            || before
                .iter()
                .chain(&after)
                .any(|pattern| line.contains(pattern))
    })
}

fn searches(line: &str) -> bool {
    let methods = ["contains(", "starts_with(", "ends_with(", "find("];
    PROSE.iter().any(|field| {
        let mut found = methods
            .iter()
            .flat_map(|method| [format!(".{field}.{method}"), format!(".{field}).{method}")]);
        found.any(|pattern| line.contains(&pattern))
    })
}
