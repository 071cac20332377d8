//! `docs/configuration.md` says what the JSON Schema says. With `UPDATE_DOCS=1` it is written anew.

use std::env;
use std::fs;

use breaker_tower::breaker_core::policy::yaml;
use serde_json::Value;

use super::root;
use super::schema::{Field, Section, Walk};
use crate::config::{in_words, schema};

#[test]
fn the_reference_says_what_the_schema_says() {
    let file = root().join("docs/configuration.md");
    let expected = reference();
    if env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&file, &expected).unwrap();
    }
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut lines = text.lines().zip(expected.lines());
    let differs = lines.find(|(is, should)| is != should);
    assert!(
        text == expected,
        "docs/configuration.md is not what the schema says; UPDATE_DOCS=1 writes it: {differs:#?}"
    );
}

#[test]
fn the_table_of_limits_says_what_the_schema_says() {
    let text = fs::read_to_string(root().join("docs/limits.md")).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        Some([cells.next()?, cells.next()?, cells.next()?])
    });
    let rows: Vec<[&str; 3]> = rows.collect();
    let mut missing = Vec::new();
    let fields = Walk::of(schema()).sections();
    let fields: Vec<Field> = fields
        .into_iter()
        .flat_map(|section| section.fields)
        .collect();
    for field in &fields {
        let range = field.range().unwrap_or_default();
        let expected = [format!("`{}`", field.path), default(field), range];
        let row = rows.iter().find(|[path, ..]| *path == expected[0]);
        let is_missing = row.is_none() && field.path.starts_with("limits.");
        if is_missing || row.is_some_and(|row| *row != expected) {
            missing.push(format!("{}: {row:?}", expected.join(" | ")));
        }
    }
    assert!(missing.is_empty(), "docs/limits.md: {}", missing.join("\n"));
    let paths = fields.iter().map(|field| format!("`{}`", field.path));
    let paths: Vec<String> = paths.collect();
    for [path, ..] in rows.iter().filter(|[path, ..]| path.starts_with("`")) {
        assert!(
            paths.iter().any(|known| known == path),
            "{path} is not in the schema"
        );
    }
    let limits = crate::ingest::Limits::default();
    for said in [
        format!("| {}; further ones wait |", limits.connections),
        format!(
            "| {}MiB, before and after decompression |",
            limits.batch >> 20
        ),
        format!("| {} | fixed |", limits.requests),
        format!("| {}MiB | fixed |", limits.memory >> 20),
        format!("| {}: closed |", in_words(limits.idle)),
        format!("| {} |", in_words(limits.body_pause)),
    ] {
        assert!(text.contains(&said), "{said}");
    }
}

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let config = Walk::of(schema());
    let root = config.root.clone();
    for section in Walk::of(schema()).sections() {
        let title = match &*section.path {
            "" => "The file".to_owned(),
            path => format!("`{path}`"),
        };
        add(&mut text, &title, &section, &config);
    }
    text.push_str(POLICY);
    let policy = Walk::of(yaml::schema());
    for section in Walk::of(yaml::schema()).sections() {
        let title = match &*section.path {
            "" => "A policy".to_owned(),
            path => format!("`{path}` of a policy"),
        };
        add(&mut text, &title, &section, &policy);
    }
    text.push_str("\n# Values\n| value | what it is |\n|---|---|\n");
    for (_, definition) in root["$defs"].as_object().into_iter().flatten() {
        let title = definition["title"].as_str().unwrap_or_default();
        if !title.is_empty() && title != "Breaker policy" {
            let description = definition["description"].as_str().unwrap_or_default();
            text.push_str(&format!("| {title} | {} |\n", cell(description)));
        }
    }
    text
}

fn add(text: &mut String, title: &str, section: &Section, walk: &Walk) {
    text.push_str(&format!("\n## {title}\n"));
    if !section.description.is_empty() {
        text.push_str(&format!(
            "{}\n\n",
            section.description.replace("\n\n", " ").replace('\n', " ")
        ));
    }
    text.push_str("| field | type | default | range | what it is | example |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for field in &section.fields {
        let columns = [
            format!("`{}`", field.path),
            kind(&field.said, walk),
            default(field),
            field.range().unwrap_or_default(),
            meaning(&field.said, walk),
            example(field),
        ];
        let columns = columns.map(|column| cell(&column));
        text.push_str(&format!("| {} |\n", columns.join(" | ")));
    }
}

/// Texts of the schema in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn kind(said: &Value, walk: &Walk) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for one in walk.alternatives(said) {
        let kind = match one["title"].as_str() {
            Some("Breaker policy") => "[policy](#a-policy)".to_owned(),
            Some(title) => format!("[{title}](#values)"),
            None => plain_kind(&one, walk),
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" or ")
}

fn plain_kind(one: &Value, walk: &Walk) -> String {
    if let Some(word) = one["const"].as_str() {
        return format!("`{word}`");
    }
    let words = words(one);
    if !words.is_empty() {
        let words = words.iter().map(|(word, _)| format!("`{word}`"));
        return words.collect::<Vec<_>>().join(", ");
    }
    if one["items"].is_object() {
        return format!("list of {}", kind(&one["items"], walk));
    }
    if one["additionalProperties"].is_object() {
        return format!(
            "mapping of names to {}",
            kind(&one["additionalProperties"], walk)
        );
    }
    let kind = match &one["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null"),
        kind => Some(kind),
    };
    match kind.and_then(Value::as_str) {
        Some("string") => "text",
        Some("integer") => "whole number",
        Some("number") => "number",
        Some("boolean") => "true or false",
        _ => "mapping",
    }
    .to_owned()
}

/// The words that a value may be, and what each means.
fn words(one: &Value) -> Vec<(String, String)> {
    let Some(any) = one["oneOf"].as_array() else {
        return Vec::new();
    };
    let word = |one: &Value| {
        let word = one["const"].as_str().unwrap_or_default();
        let meaning = one["description"].as_str().unwrap_or_default();
        (word.to_owned(), meaning.trim_end_matches('.').to_owned())
    };
    any.iter().map(word).collect()
}

fn default(field: &Field) -> String {
    if field.is_required {
        return "required".to_owned();
    }
    if field.is_mapping && field.said["x-default"].is_null() {
        return String::new();
    }
    match (field.default(), field.said["x-default"].as_str()) {
        (Some(value), _) if is_empty(value) => "none".to_owned(),
        (Some(value), _) => format!("`{}`", written(value)),
        (None, Some(words)) => words.to_owned(),
        (None, None) => "none".to_owned(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(|map| map.is_empty())
}

fn meaning(said: &Value, walk: &Walk) -> String {
    let mut text = said["description"].as_str().unwrap_or_default().to_owned();
    for one in walk.alternatives(said) {
        let words = words(&one).into_iter();
        let words: Vec<_> = words
            .map(|(word, meaning)| format!("`{word}`: {meaning}"))
            .collect();
        if !words.is_empty() {
            text.push_str(&format!(" {}.", words.join("; ")));
        }
    }
    text
}

fn example(field: &Field) -> String {
    let Some(example) = field.said["examples"].get(0) else {
        return String::new();
    };
    let name = field.path.rsplit('.').next().unwrap_or_default();
    format!("`{name}: {}`", written(example))
}

/// A value as YAML on one line.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains([':', '{', '*', '#', '[', ',']) && !is_plain(text) => {
            format!("\"{text}\"")
        }
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let list = list.iter().map(written);
            format!("[{}]", list.collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let map = map
                .iter()
                .map(|(name, value)| format!("{name}: {}", written(value)));
            format!("{{ {} }}", map.collect::<Vec<_>>().join(", "))
        }
        // A factor of 2.0 is written 2.
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

/// URLs and addresses need no quotes: their colons have no space after them.
fn is_plain(text: &str) -> bool {
    !text.contains(['{', '*', '#', '[', ',']) && !text.contains(": ")
}

const HEAD: &str = "# Configuration
<!-- A test writes it: UPDATE_DOCS=1 cargo test -p breaker-sidecar --lib reference -->
This page describes every field of configuration and policy files. `breaker schema` and
`breaker schema policy` print the same information as JSON Schema, for editors. `breaker check FILE`
reports the errors in a file, and where they are. [`examples/`](../examples) has complete files.
[The end of this page](#values) says how to write times, sizes and other values. In the path of a
field, `[]` marks a list, and `NAME` is a name that you choose. [Limits](limits.md) describes the
effect of limits in each protocol.

## Variables
| in a value | `NAME` is not set | `NAME` is empty | `NAME` is `x` |
|---|---|---|---|
| `${NAME}` | an error | nothing | `x` |
| `${NAME:-d}` | `d` | `d` | `x` |
| `$${NAME}` | `${NAME}` | `${NAME}` | `${NAME}` |
| `$NAME` | `$NAME` | `$NAME` | `$NAME` |

Breaker expands environment variables before it parses a value as a time, a number or another type:
`listen: 127.0.0.1:${PORT:-8080}`, `timeout: ${T:-5s}`. Within `[]` and `{}`, quote a value that
contains a variable, because YAML gives braces a meaning there. Breaker does not expand variables in
field names, in comments or in the values of variables. The value of a variable becomes text within
one value of the file, so it can't add a field. An error shows the name of a variable. It shows the
value only if the value has fewer than six bytes.

Breaker expands variables in configuration files and policy files. If a client sends a policy to the
control API, Breaker does not expand variables in it, because the client must not be able to read
the environment of the sidecar.

## Paths
| `match.path` | matches |
|---|---|
| `/users` | `/users`, `/users/` |
| `/users/{id}` | one segment: `/users/7`, `/users/7/` |
| `/users/{id}/orders` | `/users/7/orders` |
| `/img/{name}.png` | `/img/a.png` |
| `/users/{*rest}` | everything below, and the folder itself: `/users`, `/users/`, `/users/7/orders` |
| `[/users, /people]` | either |
| `/{{x}}` | `/{x}` |

A slash at the end makes no difference. But if one route has a pattern with the slash, and another
route has the same pattern without it, each pattern matches only paths of its own form. If several
patterns match a path, the most specific one wins: a literal segment has priority over a parameter,
and a parameter has priority over `{*rest}`. The syntax of other programs, such as `/users/*`,
`/users/:id` and `/users/<id>`, is an error. The error shows the right form.

Breaker normalises each path, and the upstream gets the normalised path. Breaker resolves `.` and
`..`. It decodes letters, digits, `-`, `.`, `_` and `~` if they are percent-encoded. It merges
several slashes in a row unless `limits.merge_slashes` is `false`.

Some other characters can be in a path with or without percent-encoding. Breaker decodes them only
for matching: `/u/%40me` matches `/u/@me`, and `/%7Bx%7D` matches `/{{x}}`. The upstream gets these
characters as the client sent them. `%2F`, `%5C`, `%25`, `%3F`, `%23`, spaces, controls and
non-ASCII characters stay encoded, in patterns too.

The part of a segment after a `;` also counts: `/admin;x` does not match `/admin`. Some
applications, such as servlets, ignore this part. So a request for `/admin;x` can reach the `/admin`
of such an application through a route with a wider pattern, such as `/{*rest}`. A dot at the end of
a host makes no difference: `example.com.` matches `example.com`.
";
const POLICY: &str = "
# Policies
These are the fields of a policy file. A `policy` in a route or feed has the same fields, which
override the fields of its `base`. [Policies](../policies/README.md) explains what the fields are
for.
";
