//! Modules use only modules below them: no circles, and no arrow that ARCHITECTURE.md does not
//! have.
//!
//! ARCHITECTURE.md lists the top-level modules of each crate in lines, the highest first. A module
//! may use those of later lines. Tests may use what they like.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{files, root};

/// The level of each module, 0 at the top.
type Order = BTreeMap<String, usize>;

#[test]
fn modules_use_only_those_below_them() {
    let orders = orders(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let crates = ["chaos", "core", "gym", "otlp", "sidecar", "tower"];
    assert_eq!(orders.keys().collect::<Vec<_>>(), crates);
    for (name, order) in &orders {
        let src = root().join("breaker").join(name).join("src");
        let modules = modules(&src);
        let listed: Vec<_> = order.keys().cloned().collect();
        assert_eq!(
            listed, modules,
            "{name}: what ARCHITECTURE.md lists, and what is there"
        );
        let mut wrong = Vec::new();
        for file in sources(&src) {
            let text = fs::read_to_string(&file).unwrap();
            let path = module_path(file.strip_prefix(&src).unwrap());
            let used = used(&path, &text);
            wrong.extend(wrong_arrows(order, &path[0], &used).map(|to| {
                format!(
                    "{}: {} uses {to}, which is not below it",
                    file.display(),
                    path[0]
                )
            }));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn an_arrow_up_and_a_circle_are_seen() {
    let order = orders("```modules sidecar\napp\nadmin control\nregistry\n```").remove("sidecar");
    let order = order.unwrap();
    let path = vec!["control".to_owned(), "api".to_owned()];
    let text = "use crate::{admin::{Admin, x}, registry};\nuse super::super::app;\n\
                // use crate::nothing;\n#[cfg(test)]\nmod tests {\n    use crate::app;\n}\n";
    let used = used(&path, text);
    assert_eq!(used, ["admin", "registry", "app"]);
    let wrong: Vec<_> = wrong_arrows(&order, "control", &used).collect();
    assert_eq!(wrong, ["admin", "app"]);
}

/// The blocks ` ```modules CRATE ` of a text.
fn orders(text: &str) -> BTreeMap<String, Order> {
    let mut orders = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```modules ") else {
            continue;
        };
        let block = lines.by_ref().take_while(|line| *line != "```");
        let levels = block.enumerate().flat_map(|(level, line)| {
            line.split_whitespace()
                .map(move |module| (module.to_owned(), level))
        });
        orders.insert(name.trim().to_owned(), levels.collect());
    }
    orders
}

/// The top-level modules of a crate, without its roots.
fn modules(src: &Path) -> Vec<String> {
    let mut modules: Vec<_> = sources(src)
        .iter()
        .map(|file| module_path(file.strip_prefix(src).unwrap()).remove(0))
        .filter(|module| module != "lib" && module != "main")
        .collect();
    modules.sort();
    modules.dedup();
    modules
}

/// The files of a crate that are not tests.
fn sources(src: &Path) -> Vec<PathBuf> {
    let is_test = |file: &PathBuf| {
        let inside = file.strip_prefix(src).unwrap().with_extension("");
        inside.iter().any(|part| part == "tests")
    };
    files(src)
        .into_iter()
        .filter(|file| !is_test(file))
        .collect()
}

fn module_path(file: &Path) -> Vec<String> {
    let parts = file.with_extension("");
    parts
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect()
}

/// The top-level modules that the code of the module at `path` names, in its order.
fn used(path: &[String], text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n");
    let to_root = format!("{}::", vec!["super"; path.len()].join("::"));
    let mut used = Vec::new();
    for prefix in ["crate::", &to_root] {
        for (at, _) in code.match_indices(prefix) {
            let is_whole =
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
            if is_whole {
                used.extend(first_names(&code[at + prefix.len()..]));
            }
        }
    }
    used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    used
}

/// The first names of a path or of a group of them: `a` and `b` of `{a::{x, y}, b::z}`.
fn first_names(code: &str) -> Vec<String> {
    let name = |code: &str| -> String {
        code.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = code.strip_prefix('{') else {
        return vec![name(code)];
    };
    let mut names = vec![name(group)];
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Those of the modules used by `from` that are not below it.
fn wrong_arrows<'a>(
    order: &'a Order,
    from: &'a str,
    used: &'a [String],
) -> impl Iterator<Item = &'a String> {
    let own = order.get(from).copied();
    used.iter().filter(move |to| {
        // A root may use all; what is no module is a macro or an item of the root.
        let (Some(own), Some(other)) = (own, order.get(*to)) else {
            return false;
        };
        *to != from && *other <= own
    })
}
