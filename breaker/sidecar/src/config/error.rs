//! Why a configuration can't be followed.

use std::fmt;

use breaker_tower::breaker_core::policy::yaml;

/// A configuration that can't be used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// It was made of flags: there is no file to read again.
    NoFile,
    /// The file can't be read.
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        rule: String,
    },
    /// Rules that it breaks, in the order of their lines; at least one.
    Invalid(Vec<yaml::Error>),
}

// === impl ConfigError ===

impl ConfigError {
    /// The errors, if the text could be read.
    pub fn errors(&self) -> &[yaml::Error] {
        match self {
            Self::NoFile | Self::Unreadable { .. } => &[],
            Self::Invalid(errors) => errors,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFile => f.write_str(
                "there is no configuration file to load again: it was started with --upstream",
            ),
            Self::Unreadable { file, rule } => write!(f, "{file}: {rule}"),
            Self::Invalid(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    let newline = if index == 0 { "" } else { "\n" };
                    write!(f, "{newline}{error}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<yaml::Error> for ConfigError {
    fn from(error: yaml::Error) -> Self {
        Self::Invalid(vec![error])
    }
}
