//! Rules that a section of the configuration breaks.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use breaker_tower::breaker_core::InvalidField;
use breaker_tower::breaker_core::policy::yaml::{self, Document, Period, nearest};

use super::scalar::OrOff;

/// All that is wrong with a section.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Problems(Vec<InvalidField>);

/// All that is wrong with a configuration.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    document: &'a Document<'a>,
    errors: Vec<yaml::Error>,
}

// === impl Problems ===

impl Problems {
    /// Adds one, unless the same is known.
    pub(super) fn add(&mut self, problem: InvalidField) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// The value, or its default if something is wrong with it: nothing is built then.
    pub(super) fn keep<T: Default>(&mut self, built: Result<T, impl Into<Self>>) -> T {
        built.unwrap_or_else(|problems| {
            for problem in problems.into().0 {
                self.add(problem);
            }
            T::default()
        })
    }

    /// The value, or `None` if something is wrong with it.
    pub(super) fn check<T>(&mut self, built: Result<T, impl Into<Self>>) -> Option<T> {
        self.keep(built.map(Some))
    }

    /// The same, seen from the section that has `section` in it.
    pub(super) fn within(self, section: &str) -> Self {
        let problems = self.0.into_iter();
        Self(problems.map(|problem| problem.within(section)).collect())
    }

    /// `Ok` if nothing is wrong.
    pub(super) fn finish(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<InvalidField> for Problems {
    fn from(problem: InvalidField) -> Self {
        Self(vec![problem])
    }
}

// === impl Findings ===

impl<'a> Findings<'a> {
    pub(super) fn new(document: &'a Document<'a>) -> Self {
        Self {
            document,
            errors: Vec::new(),
        }
    }

    /// Keeps what is wrong with `section`, or hands out what it was made into.
    pub(super) fn check<T>(
        &mut self,
        section: &str,
        built: Result<T, impl Into<Problems>>,
    ) -> Option<T> {
        let problems = match built {
            Ok(value) => return Some(value),
            Err(problems) => problems.into(),
        };
        for InvalidField { field, rule, .. } in problems.0 {
            let dot = if section.is_empty() || field.is_empty() {
                ""
            } else {
                "."
            };
            self.add(&format!("{section}{dot}{field}"), rule);
        }
        None
    }

    /// Adds a rule that the field at `path` breaks.
    pub(super) fn add(&mut self, path: &str, rule: impl Into<String>) {
        self.errors.push(self.document.error(path, rule));
    }

    /// Adds an error of another file.
    pub(super) fn add_error(&mut self, error: yaml::Error) {
        self.errors.push(error);
    }

    /// All errors in the order of their lines; `Ok` when there are none.
    pub(super) fn finish(mut self) -> Result<(), Vec<yaml::Error>> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors
            .sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Err(self.errors)
    }
}

/// The value of an optional field, or else `default`; it must lie within `range`.
pub(super) fn within<T: Copy + PartialOrd + Display>(
    field: &str,
    value: Option<T>,
    range: RangeInclusive<T>,
    default: T,
) -> Result<T, InvalidField> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => {
            let (least, most) = range.into_inner();
            Err(InvalidField::new(
                field,
                format!("must be {least} to {most}"),
            ))
        }
    }
}

/// The same for a time; `range` is in milliseconds.
pub(super) fn time_within(
    field: &str,
    value: Option<Period>,
    range: RangeInclusive<u64>,
    default: Duration,
) -> Result<Duration, InvalidField> {
    let Some(Period(value)) = value else {
        return Ok(default);
    };
    let (least, most) = range.into_inner();
    let [least, most] = [least, most].map(Duration::from_millis);
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        let rule = format!("must be {} to {}", in_words(least), in_words(most));
        Err(InvalidField::new(field, rule))
    }
}

/// The same for a time that may be `off`.
pub(super) fn time_or_off(
    field: &str,
    value: Option<OrOff<Period>>,
    range: RangeInclusive<u64>,
    default: Option<Duration>,
) -> Result<Option<Duration>, InvalidField> {
    match value {
        None => Ok(default),
        Some(OrOff(None)) => Ok(None),
        Some(OrOff(time)) => time_within(field, time, range, Duration::ZERO).map(Some),
    }
}

/// That `name` must be one of the `known` names of `what`.
pub(super) fn unknown(name: &str, known: &[&str], what: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("must name {what}; did you mean {near}?"),
        None if known.is_empty() => format!("must name {what}, and there is none"),
        None => format!("must name {what}: {}", known.join(", ")),
    }
}

/// A name of a route or feed.
pub(super) fn check_name(name: &str) -> Result<(), InvalidField> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    let rule = "must be 1 to 64 of a-z, 0-9, '.', '_' and '-'";
    Err(InvalidField::new("name", rule))
}

/// A time as it is written in a configuration: `1m30s`.
pub fn in_words(time: Duration) -> String {
    let mut rest = time.as_millis();
    let mut words = String::new();
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= millis {
            words.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if words.is_empty() {
        "0s".to_owned()
    } else {
        words
    }
}
