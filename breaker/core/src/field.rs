//! A field that breaks a rule: of a policy, a baseline, a configuration.

use std::error::Error;
use std::fmt;

/// A rule that a field breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidField {
    /// The field, as a path: `half_open.concurrent`, `trip[0].slow_rate`.
    pub field: String,
    /// The rule: what the field must be.
    pub rule: String,
}

impl InvalidField {
    /// That `field` breaks `rule`.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// The same, seen from the section that has `section` in it.
    #[must_use]
    pub fn within(self, section: &str) -> Self {
        let dot = if self.field.is_empty() { "" } else { "." };
        Self {
            field: format!("{section}{dot}{}", self.field),
            rule: self.rule,
        }
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

impl Error for InvalidField {}
