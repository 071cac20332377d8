//! `${NAME}` and `${NAME:-default}` in values.
//!
//! A value is expanded before anybody asks what type it is of. The text is written anew with the
//! value quoted where it could mean something else, so that no variable can add a field.

use std::ffi::OsString;
use std::ops::Range;

use super::places::Position;
use crate::field::{InvalidField, InvalidValue};

/// A value with a reference in it, as it stands in the text.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) path: String,
    /// The value, without the quotes.
    pub(super) value: String,
    pub(super) bytes: Range<usize>,
}

/// A text in which other values stand, on the same lines.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// Where a column changes: what stands from the first position on stood at the second.
    moved: Vec<(Position, Position)>,
    /// What variables were and what they are, which errors must not tell.
    pub(super) secrets: Vec<(String, String)>,
}

/// What a value becomes, and the variables that it took.
struct Value {
    text: String,
    taken: Vec<(String, String)>,
}

// === impl Expanded ===

impl Expanded {
    /// Writes `text` anew, in which `references` are found.
    ///
    /// # Errors
    /// For each value that can't be expanded its path, and the rule.
    pub(super) fn of(
        text: &str,
        mut references: Vec<Reference>,
        variables: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Vec<InvalidField>> {
        // An alias is expanded where its anchor stands.
        references.sort_by_key(|reference| reference.bytes.start);
        references.dedup_by_key(|reference| reference.bytes.start);
        let mut expanded = Self::default();
        let mut errors = Vec::new();
        let mut copied = 0;
        for reference in references {
            let value = match expand(&reference.value, &variables) {
                Ok(value) => value,
                Err(rule) => {
                    errors.push(InvalidField::new(reference.path, rule));
                    continue;
                }
            };
            let bytes = reference.bytes;
            let bytes = block(text, bytes.start).unwrap_or(bytes.start)..bytes.end;
            expanded.text.push_str(&text[copied..bytes.start]);
            expanded.write(&text[bytes.clone()], &value.text);
            copied = bytes.end;
            let is = Position::after(&expanded.text);
            expanded.moved.push((is, Position::after(&text[..copied])));
            expanded.secrets.extend(value.taken);
        }
        expanded.text.push_str(&text[copied..]);
        if errors.is_empty() {
            Ok(expanded)
        } else {
            Err(errors)
        }
    }

    /// Writes a value in place of `source`, with as many lines.
    fn write(&mut self, source: &str, value: &str) {
        let is_quoted = source.starts_with(['"', '\'', '|', '>']);
        if !is_quoted && is_typed(value) {
            self.text.push_str(value);
        } else {
            self.text.push('"');
            for c in value.chars() {
                match c {
                    '"' | '\\' => self.text.extend(['\\', c]),
                    c if c.is_control() => self.text.push_str(&format!("\\u{:04X}", u32::from(c))),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        self.text.extend(source.chars().filter(|c| *c == '\n'));
    }

    /// Where what stands at `position` stood before.
    pub(super) fn before(&self, position: Position) -> Position {
        let mut moved = self.moved.iter().rev();
        let moved = moved.find(|(is, _)| is.line == position.line && is.column <= position.column);
        let column = moved.map_or(position.column, |(is, was)| {
            position.column - is.column + was.column
        });
        Position { column, ..position }
    }

    /// A rule without the values of variables, but for what is too short to be a secret.
    pub(super) fn without_secrets(&self, mut rule: String) -> String {
        for (name, value) in &self.secrets {
            if value.len() >= SECRET {
                rule = rule.replace(value, &format!("${{{name}}}"));
            }
        }
        rule
    }
}

/// Where the `|` or `>` of a block stands, whose first line begins at `start`.
fn block(text: &str, start: usize) -> Option<usize> {
    let before = text[..start].trim_end();
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let head = before[line..].split(" #").next()?.trim_end();
    let mark = head.rfind(['|', '>'])?;
    let is_mark = head[mark + 1..]
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-".contains(&b));
    let is_alone = head[..mark].ends_with(' ') && text[before.len()..start].contains('\n');
    (is_mark && is_alone).then_some(line + mark)
}

/// Whether a value that is not quoted is a number or a truth value.
fn is_typed(value: &str) -> bool {
    let is_number = value
        .bytes()
        .all(|b| b.is_ascii_digit() || b".-+eE".contains(&b));
    matches!(value, "true" | "false") || is_number && value.parse::<f64>().is_ok()
}

fn expand(text: &str, variables: impl Fn(&str) -> Option<OsString>) -> Result<Value, InvalidValue> {
    let mut value = Value {
        text: String::new(),
        taken: Vec::new(),
    };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        value.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            value.text.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let (body, after) = after.split_once('}').ok_or(MALFORMED)?;
            value.take(body, &variables)?;
            rest = after;
        } else {
            value.text.push('$');
            rest = &rest[1..];
        }
    }
    value.text.push_str(rest);
    Ok(value)
}

// === impl Value ===

impl Value {
    fn take(
        &mut self,
        body: &str,
        variables: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), InvalidValue> {
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_name =
            name.chars().all(is_letter) && !name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || !is_name || default.is_some_and(|default| default.contains("${")) {
            return Err(MALFORMED.into());
        }
        let Some(set) = variables(name).filter(|set| default.is_none() || !set.is_empty()) else {
            let default = default.ok_or_else(|| {
                format!("needs the environment variable {name}, which is not set")
            })?;
            self.text.push_str(default);
            return Ok(());
        };
        let set = set.into_string().map_err(|_| {
            format!("needs the environment variable {name}, which is not UTF-8 text")
        })?;
        self.text.push_str(&set);
        self.taken.push((name.to_owned(), set));
        Ok(())
    }
}

const MALFORMED: &str = "must have ${NAME} or ${NAME:-default}; $${ stands for ${ itself";
/// Values with fewer bytes are words of rules rather than secrets.
const SECRET: usize = 6;
