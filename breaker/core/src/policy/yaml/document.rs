//! A YAML text whose fields can be found again, for errors that are noticed after parsing.

use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use super::error::Error;
use super::explain::{self, Broken};
use super::places::{Node, Places, Position};

/// A YAML text and the places of its fields.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    file: Option<&'a str>,
    places: Places,
}

impl<'a> Document<'a> {
    /// Finds the places of all fields of `text`. `file` is shown in errors.
    ///
    /// # Errors
    /// When the text is not one YAML document of at most 1 MiB, or a field has no value.
    pub fn new(text: &'a str, file: Option<&'a str>) -> Result<Self, Error> {
        let mut document = Self {
            text,
            file,
            places: Places::default(),
        };
        if text.len() > MAX_TEXT {
            return Err(document.error("", "must be at most 1 MiB"));
        }
        // A field that is given twice is an error of `read`, which can then name its path.
        let options = options(DuplicateKeyPolicy::PassThrough);
        let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| document.explained(&error))?;
        document.places = Places::of(&root);
        match document.places.null() {
            Some("") => Err(document.error("", "must not be empty")),
            Some(field) => Err(document.error(field, "must have a value")),
            None => Ok(document),
        }
    }

    /// Reads the text into a type.
    ///
    /// # Errors
    /// When the text does not have the shape of the type, or a field is given twice.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_saphyr::from_str_with_options(self.text, options(DuplicateKeyPolicy::Error))
            .map_err(|error| self.explained(&error))
    }

    /// Whether the text has the field at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.places.has(path)
    }

    /// An error about the field at `path`: it stands where the field does, or the nearest field around it.
    pub fn error(&self, path: &str, rule: impl Into<String>) -> Error {
        self.error_at(self.places.find(path), path.to_owned(), rule.into())
    }

    fn explained(&self, error: &serde_saphyr::Error) -> Error {
        let position = Position::from(error.location().unwrap_or(Location::UNKNOWN));
        let Broken {
            position,
            field,
            rule,
        } = explain::broken(error, position, &self.places);
        self.error_at(position, field, rule)
    }

    fn error_at(&self, position: Position, field: String, rule: String) -> Error {
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
    }
}

const MAX_TEXT: usize = 1024 * 1024;
