//! A YAML text whose fields can be found again, for errors that are noticed after parsing.

use std::borrow::Cow;
use std::ffi::OsString;

use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use super::error::Error;
use super::expand::Expanded;
use super::explain::{self, Broken};
use super::places::{Node, Places, Position};
use crate::field::InvalidField;

/// A YAML text and the places of its fields.
#[derive(Debug)]
pub struct Document<'a> {
    text: Cow<'a, str>,
    file: Option<&'a str>,
    places: Places,
    expanded: Option<Expanded>,
}

impl<'a> Document<'a> {
    /// Finds the positions of all fields of `text`. `file` is shown in errors.
    ///
    /// # Errors
    /// If the text is not one YAML document of at most 16 MiB, or if a field has no value.
    pub fn new(text: &'a str, file: Option<&'a str>) -> Result<Self, Error> {
        let mut document = Self {
            text: Cow::Borrowed(text),
            file,
            places: Places::default(),
            expanded: None,
        };
        if text.len() > MAX_TEXT {
            return Err(document.error("", "must be at most 16 MiB"));
        }
        // A field that is given twice is an error of `read`, which can then name its path.
        let options = options(DuplicateKeyPolicy::PassThrough);
        let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| document.unreadable(&error))?;
        document.places = Places::of(&root);
        match document.places.null() {
            Some("") => Err(document.error("", "must not be empty")),
            Some(field) => Err(document.error(field, "must have a value")),
            None => Ok(document),
        }
    }

    /// Expands `${NAME}` and `${NAME:-default}` in values, with these `variables`. Positions refer
    /// to the original text, and errors do not show the value of a variable.
    ///
    /// # Errors
    /// For each value with a malformed variable, or with one that is not set and has no default.
    pub fn expand(
        mut self,
        variables: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Vec<Error>> {
        if self.places.references().is_empty() {
            return Ok(self);
        }
        let references = self.places.references().to_vec();
        let mut expanded = Expanded::of(&self.text, references, variables).map_err(|broken| {
            let errors = broken.into_iter();
            errors
                .map(|InvalidField { field, rule }| self.error(&field, rule))
                .collect::<Vec<_>>()
        })?;
        self.text = Cow::Owned(std::mem::take(&mut expanded.text));
        self.expanded = Some(expanded);
        Ok(self)
    }

    /// The name of the file, as it is shown in errors.
    pub const fn file(&self) -> Option<&'a str> {
        self.file
    }

    /// Reads the text into a type.
    ///
    /// # Errors
    /// If the text does not match the type, or a field is duplicated.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_saphyr::from_str_with_options(&self.text, options(DuplicateKeyPolicy::Error))
            .map_err(|error| self.explained(&error))
    }

    /// Whether the text has the field at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.places.has(path)
    }

    /// An error about the field at `path`. Its position is that of the field, or of the nearest
    /// field around it.
    pub fn error(&self, path: &str, rule: impl Into<String>) -> Error {
        self.error_at(self.places.find(path), path.to_owned(), rule.into())
    }

    /// An error that ends the reading, which may be about the braces of a variable.
    fn unreadable(&self, error: &serde_saphyr::Error) -> Error {
        let mut error = self.explained(error);
        let line = self.text.lines().nth(error.line - 1);
        if line.is_some_and(|line| line.contains("${")) {
            error
                .rule
                .push_str("; within [] and {} quote a value that has ${");
        }
        error
    }

    fn explained(&self, error: &serde_saphyr::Error) -> Error {
        let position = Position::from(error.location().unwrap_or(Location::UNKNOWN));
        let expanded = self.expanded.as_ref();
        let position = expanded.map_or(position, |expanded| expanded.before(position));
        let Broken {
            position,
            field,
            rule,
        } = explain::broken(error, position, &self.places);
        self.error_at(position, field, rule)
    }

    fn error_at(&self, position: Position, field: String, rule: String) -> Error {
        let rule = match &self.expanded {
            Some(expanded) => expanded.without_secrets(rule),
            None => rule,
        };
        Error {
            file: self.file.map(str::to_owned),
            line: position.line,
            column: position.column,
            field,
            rule,
        }
    }
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        // A scalar's own rule says more than "not finite".
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
        },
    }
}

/// Ten thousand routes with an upstream each take about 2 MiB.
const MAX_TEXT: usize = 16 << 20;
/// They have about 200,000 values and lists of values.
const MAX_NODES: usize = 1_000_000;
