//! `match.path`: patterns, as far as they can be wrong alone.

use breaker_tower::breaker_core::{InvalidField, InvalidValue};
use matchit::Router;

use super::problem::Problems;
use super::raw::OneOrMany;
use crate::proxy::PathRules;
use crate::proxy::path::{matched, normalise};

/// The patterns of a route; none for any path.
pub(super) fn build(
    raw: Option<&OneOrMany<String>>,
    rules: PathRules,
) -> Result<Vec<String>, Problems> {
    let Some(OneOrMany(patterns)) = raw else {
        return Ok(Vec::new());
    };
    if !(1..=MAX_PATHS).contains(&patterns.len()) {
        let rule = format!("must have 1 to {MAX_PATHS} entries; leave it out for any path");
        return Err(InvalidField::new("match.path", rule).into());
    }
    let mut problems = Problems::default();
    for (index, pattern) in patterns.iter().enumerate() {
        let checked = check(pattern, rules);
        let field = field(patterns.len(), index);
        problems.keep(checked.map_err(|rule| InvalidField::new(field, rule)));
    }
    problems.finish()?;
    Ok(patterns.clone())
}

/// The field of one of `several` patterns.
pub(super) fn field(several: usize, index: usize) -> String {
    match several {
        1 => "match.path".to_owned(),
        _ => format!("match.path[{index}]"),
    }
}

fn check(pattern: &str, rules: PathRules) -> Result<(), InvalidValue> {
    let is_path = pattern.starts_with('/') && !pattern.contains(['?', '#', ' ']);
    if !is_path || pattern.len() > MAX_BYTES {
        return Err("must be a path such as /api/pay, /users/{id} or /api/{*rest}".into());
    }
    let ours = respelled(pattern);
    if ours != pattern {
        return Err(format!("is not written as patterns are here: write {ours}").into());
    }
    let mut router = Router::new();
    router.insert(pattern, ()).map_err(|error| {
        let error = error.to_string();
        format!("is not a pattern: {}", lower_first(&error))
    })?;
    match normalise(pattern, rules) {
        Ok(normal) => {
            let normal = as_matched(normal.as_deref().unwrap_or(pattern));
            match normal == pattern {
                true => Ok(()),
                false => Err(format!(
                    "never matches, since paths are brought into one form first: write {normal}"
                )
                .into()),
            }
        }
        Err(error) => Err(format!("never matches: requests with this are refused: {error}").into()),
    }
}

/// A normal pattern as it is matched: a brace that stands for itself is doubled.
fn as_matched(pattern: &str) -> String {
    let doubled = pattern.replace("%7B", "{{").replace("%7D", "}}");
    matched(&doubled).into_owned()
}

/// A pattern as other programs write it, in our words: `/users/*`, `/users/:id`, `/users/<id>`,
/// `/users/{id:[0-9]+}`, `/files/{path...}`.
fn respelled(pattern: &str) -> String {
    let segments: Vec<_> = pattern.split('/').collect();
    let last = segments.len() - 1;
    let segments = segments.iter().enumerate();
    let ours = segments.map(|(index, segment)| segment_of(segment, index == last));
    ours.collect::<Vec<_>>().join("/")
}

fn segment_of(segment: &str, is_last: bool) -> String {
    let angles = || segment.strip_prefix('<')?.strip_suffix('>');
    let braces = || {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        (!name.starts_with(['{', '*'])).then_some(name)
    };
    let rest = if is_last { "{*rest}" } else { "{any}" };
    if matches!(segment, "*" | "**") {
        return rest.to_owned();
    }
    if let Some(name) = segment.strip_prefix(':') {
        return parameter(name, is_last);
    }
    if let Some(name) = angles() {
        // Flask has the type before the name.
        let (kind, name) = name.split_once(':').unwrap_or(("", name));
        let all = if kind == "path" { "*" } else { "" };
        return parameter(&format!("{name}{all}"), is_last);
    }
    if let Some(name) = braces().filter(|name| !name.chars().all(is_name)) {
        let all = if name.ends_with("...") { "*" } else { "" };
        let name: String = name.chars().take_while(|c| is_name(*c)).collect();
        return parameter(&format!("{name}{all}"), is_last);
    }
    // A star outside of braces.
    match segment.contains('*') && !segment.contains('{') {
        true => segment.replacen('*', "{any}", 1).replace('*', ""),
        false => segment.to_owned(),
    }
}

/// A parameter; a star at its end stands for all that follows.
fn parameter(name: &str, is_last: bool) -> String {
    let all = is_last && name.ends_with('*');
    let name: String = name.chars().filter(|c| is_name(*c)).collect();
    let name = if name.is_empty() { "any" } else { &*name };
    format!("{{{}{name}}}", if all { "*" } else { "" })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-".contains(c)
}

/// Messages of other crates begin with a capital; ours go on after a colon.
fn lower_first(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

const MAX_PATHS: usize = 64;
const MAX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_write_is_told_in_our_words() {
        for (theirs, ours) in [
            ("/users/*", "/users/{*rest}"),
            ("/users/**", "/users/{*rest}"),
            ("/*", "/{*rest}"),
            ("/users/*/orders", "/users/{any}/orders"),
            ("/users/:id", "/users/{id}"),
            ("/users/:id/orders/:order", "/users/{id}/orders/{order}"),
            ("/files/:path*", "/files/{*path}"),
            ("/users/<id>", "/users/{id}"),
            ("/users/<int:id>/x", "/users/{id}/x"),
            ("/files/<path:name>", "/files/{*name}"),
            ("/users/{id:[0-9]+}", "/users/{id}"),
            ("/files/{path...}", "/files/{*path}"),
            ("/img/*.png", "/img/{any}.png"),
            ("/api*", "/api{any}"),
        ] {
            let rule = format!("is not written as patterns are here: write {ours}");
            assert_eq!(
                check(theirs, PathRules::default()),
                Err(rule.into()),
                "{theirs}"
            );
            assert_eq!(check(ours, PathRules::default()), Ok(()), "{ours}");
        }
    }

    #[test]
    fn what_is_written_as_here_is_left_alone() {
        for pattern in [
            "/",
            "/users",
            "/users/",
            "/users/{id}",
            "/v1/users:batchGet",
            "/v1/{user}:undelete",
            "/img/img-{id}.png",
            "/api/{*rest}",
            "/{{literal}}",
            "/~a/-b_c;v=1",
            "/a%20b/caf%C3%A9",
        ] {
            assert_eq!(check(pattern, PathRules::default()), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_no_request_has_is_an_error() {
        let strict = PathRules::default();
        for (pattern, said) in [
            ("/a//b", "write /a/b"),
            ("/a/../b", "write /b"),
            ("/%61", "write /a"),
            ("/u/%40me", "write /u/@me"),
            ("/%7bx%7d/{id}", "write /{{x}}/{id}"),
            ("/a%2fb", "encoded slash in path"),
            ("/caf\u{e9}", "non-ASCII character in path"),
        ] {
            let InvalidValue(rule) = check(pattern, strict).unwrap_err();
            assert!(
                rule.starts_with("never matches") && rule.ends_with(said),
                "{rule}"
            );
        }
        let loose = PathRules {
            merge_slashes: false,
            encoded_slash: true,
        };
        assert_eq!(check("/a//b", loose), Ok(()));
        assert_eq!(check("/a%2Fb", loose), Ok(()));
    }
}
