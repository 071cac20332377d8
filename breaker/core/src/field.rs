//! Values and fields that break a rule: of a policy, a baseline, a configuration.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// A rule that a value breaks, wherever the value is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a plain wrapper")]
pub struct InvalidValue(
    /// The rule: what the value must be.
    pub Cow<'static, str>,
);

/// A rule that a field breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidField {
    /// The field, as a path: `half_open.concurrent`, `trip[0].slow_rate`.
    pub field: String,
    /// The rule: what the field must be.
    pub rule: String,
}

// === impl InvalidValue ===

impl From<&'static str> for InvalidValue {
    fn from(rule: &'static str) -> Self {
        Self(Cow::Borrowed(rule))
    }
}

impl From<String> for InvalidValue {
    fn from(rule: String) -> Self {
        Self(Cow::Owned(rule))
    }
}

impl From<InvalidValue> for String {
    fn from(InvalidValue(rule): InvalidValue) -> Self {
        rule.into_owned()
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidValue {}

// === impl InvalidField ===

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
