//! Reads policies from YAML, with errors that give file, line, column, field and rule, and writes
//! policies as YAML.
//!
//! [`parse`] reads a policy file. A program with its own configuration file embeds [`RawPolicy`] in
//! its types and reads them through a [`Document`]. Its errors have the same form.
//!
//! ```
//! use breaker_core::policy::yaml;
//!
//! let policy = yaml::parse("name: strict\nbase: sensitive\nopen: { for: 30s }\n", None)?;
//! assert_eq!(policy.open().period.as_secs(), 30);
//!
//! let error = yaml::parse("name: strict\ntrip:\n  - error_rate: 8\n", Some("strict.yaml")).unwrap_err();
//! assert_eq!(error.to_string(), "strict.yaml:3:17: trip[0].error_rate: must be a share: write 8% or 0.08");
//! # Ok::<(), yaml::Error>(())
//! ```

mod codes;
mod document;
mod error;
mod expand;
mod explain;
mod places;
mod raw;
mod renamed;
mod scalar;
mod write;

pub use document::Document;
pub use error::Error;
pub use explain::nearest;
pub use raw::RawPolicy;
pub use renamed::renamed;
pub use scalar::{Period, Share};
pub use write::write;

use super::Policy;

/// Reads a policy whose `base`, if there is one, is a built-in policy. `file` is shown in errors.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn parse(text: &str, file: Option<&str>) -> Result<Policy, Error> {
    parse_over(text, file, Policy::builtin)
}

/// Reads a policy. The function `base` looks up its `base`, if there is one. `file` is shown in
/// errors.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn parse_over(
    text: &str,
    file: Option<&str>,
    base: impl Fn(&str) -> Option<Policy>,
) -> Result<Policy, Error> {
    read(&Document::new(text, file)?, base)
}

/// Reads a policy from a document whose variables are expanded. The function `base` looks up its
/// `base`.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn read(
    document: &Document<'_>,
    base: impl Fn(&str) -> Option<Policy>,
) -> Result<Policy, Error> {
    let raw: RawPolicy = document.read()?;
    raw.resolve(None, base)
        .map_err(|broken| document.error(&broken.field, broken.rule))
}

/// A policy in a program's own configuration, in the form of a policy file. Its `base`, if there is
/// one, is a built-in policy.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawPolicy::deserialize(deserializer)?;
        raw.resolve(None, Self::builtin).map_err(|broken| {
            serde::de::Error::custom(format_args!("{}: {}", broken.field, broken.rule))
        })
    }
}

/// The JSON Schema of a policy file.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawPolicy)
}

#[cfg(test)]
mod tests;
