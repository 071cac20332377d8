//! What the parser says, as a rule on a field.

use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

use super::super::builder::any_of;
use super::places::{Places, Position, join, parent};
use super::renamed::without_old_names;

/// A rule that is broken, and where.
pub(super) struct Broken {
    pub(super) position: Position,
    pub(super) field: String,
    pub(super) rule: String,
}

/// Explains an error that the parser found at `position`.
pub(super) fn broken(error: &Error, position: Position, places: &Places) -> Broken {
    let error = error.without_snippet();
    let value = places.at_value(position).unwrap_or_default();
    let key = places.at_key(position);
    let (position, field) = match error {
        Error::SerdeMissingField { field, .. } => {
            // The parser finds it at the mapping, or at the mapping's first field.
            let mapping = places
                .at_value(position)
                .or(key.map(parent))
                .unwrap_or_default();
            (places.find(mapping), join(mapping, field))
        }
        Error::SerdeUnknownField { field: name, .. } => (position, key.unwrap_or(name).to_owned()),
        Error::DuplicateMappingKey { .. } => (position, key.unwrap_or_default().to_owned()),
        // The parser finds a value of the wrong type at its key, and so a word in a field of any
        // type.
        Error::SerdeInvalidType { .. } | Error::SerdeUnknownVariant { .. } => match key {
            Some(field) => (places.value(field).unwrap_or(position), field.to_owned()),
            None => (position, value.to_owned()),
        },
        _ => (position, value.to_owned()),
    };
    Broken {
        position,
        field,
        rule: rule(error),
    }
}

fn rule(error: &Error) -> String {
    match error {
        Error::Eof { .. } => "must not be empty".to_owned(),
        Error::MultipleDocuments { .. } => "must be one YAML document".to_owned(),
        Error::DuplicateMappingKey { .. } => "is given twice".to_owned(),
        Error::SerdeMissingField { .. } => "is required".to_owned(),
        Error::SerdeUnknownField {
            field, expected, ..
        } => unknown(field, expected),
        Error::SerdeUnknownVariant { expected, .. } => format!("must be {}", any_of(expected)),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => "must be a word".to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => "must not contain itself".to_owned(),
        Error::InvalidBooleanStrict { .. } => "must be true or false".to_owned(),
        Error::InvalidScalar { ty, .. } => format!("must be {}", kind(ty)),
        Error::Unexpected { expected, .. } => format!("must be {}", shape(expected)),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("must be {expected}")
        }
        _ => DefaultMessageFormatter.format_message(error).into_owned(),
    }
}

fn unknown(field: &str, known: &[&str]) -> String {
    let known = &without_old_names(known)[..];
    match nearest(field, known) {
        Some(nearest) => format!("is not a field here; did you mean {nearest}?"),
        None if known.is_empty() => "is not a field here".to_owned(),
        None => format!("is not a field here; the fields are {}", known.join(", ")),
    }
}

fn kind(ty: &str) -> &str {
    match ty {
        "u16" => "a whole number, at most 65535",
        "u32" => "a whole number, at most 4294967295",
        "u64" | "usize" => "a whole number, at least 0",
        "floating point" => "a number",
        _ => ty,
    }
}

fn shape(expected: &str) -> &str {
    match expected {
        "mapping start" => "a mapping of fields",
        "sequence start" => "a list",
        "string scalar" => "a single value",
        _ => expected,
    }
}

/// The known name that a misspelt one most likely means, if any is near. Each inserted, removed,
/// replaced or swapped character adds one to the distance, and at most a third of the known name
/// may be wrong.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // A name much longer than any known one is near to none of them; the bound keeps the work
    // small.
    let name: String = name.chars().take(MAX_NAME).collect();
    let distances = known
        .iter()
        .map(|known| (strsim::osa_distance(&name, known), *known));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= nearest.len().div_ceil(3)).then_some(nearest)
}

const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_third_of_a_name_may_be_wrong_and_swapped_characters_are_one_mistake() {
        let known = ["pay", "search", "checkout"];
        for (name, meant) in [
            ("pya", Some("pay")),
            ("apy", Some("pay")),
            ("Pay", Some("pay")),
            ("pey", Some("pay")),
            ("paay", Some("pay")),
            ("serach", Some("search")),
            ("chekcuot", Some("checkout")),
            ("yap", None),
            ("p", None),
            ("", None),
            ("something else", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
        assert_eq!(nearest(&"p".repeat(1_000_000), &known), None);
    }
}
