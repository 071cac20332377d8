//! A rule that a YAML file breaks, and where.

use std::fmt::{self, Write};

/// A rule that a YAML file breaks, and where.
///
/// Shown as `policies/x.yaml:3:17: trip[0].error_rate: must be more than 0% and at most 100%`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// The file, if the text has one.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field, as a path: `trip[1].slow_rate`. Empty if the text is not YAML.
    pub field: String,
    /// The rule: what the field must be.
    pub rule: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write_escaped(f, file)?;
            f.write_char(':')?;
        }
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write_escaped(f, &self.field)?;
            f.write_str(": ")?;
        }
        write_escaped(f, &self.rule)
    }
}

impl std::error::Error for Error {}

/// Names and values of the file are shown on terminals, which must not obey them.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_control() {
            write!(f, "{}", c.escape_default())?;
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}
