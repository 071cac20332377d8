//! The token that proves that a caller may change something.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use breaker_tower::breaker_core::InvalidValue;
use subtle::ConstantTimeEq;

use crate::sandbox::explained;

/// What proves that a caller may change something.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// What a token must be.
    pub const RULE: &'static str =
        "must hold a token: one line of 1 to 4096 visible ASCII characters";

    /// A token; white space around it is no part of it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let is_good =
            (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        is_good.then(|| Self(text.into())).ok_or(Self::RULE)
    }

    /// The token that a file has in it, and nothing else.
    ///
    /// # Errors
    /// The rule that the file breaks.
    pub fn read(file: &Path) -> Result<Self, InvalidValue> {
        match fs::read_to_string(file).map_err(|error| explained(file, error)) {
            Ok(text) => Self::new(&text).map_err(InvalidValue::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err("must be a file that exists".into())
            }
            // It is no text.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Self::RULE.into()),
            Err(error) => Err(format!("can't be read: {error}").into()),
        }
    }

    /// The token itself, for who is to be shown it.
    #[cfg_attr(
        not(feature = "fleet"),
        expect(dead_code, reason = "who follows nobody")
    )]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it is this one; how long the answer takes says nothing about it.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

const MAX_TOKEN: usize = 4096;
