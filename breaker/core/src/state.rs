//! The words of an electric breaker, and its modes.

use std::fmt;
use std::str::FromStr;

/// The state of a breaker, in the electric sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a breaker has three states, for good"
)]
pub enum State {
    /// Requests are admitted.
    #[default]
    Closed,
    /// Requests are rejected.
    Open,
    /// Some requests are admitted to test the service.
    HalfOpen,
}

/// Who decides about requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// The policy.
    #[default]
    Auto,
    /// The operator: rejects all.
    ForcedOpen,
    /// The operator: admits all.
    ForcedClosed,
    /// The policy decides and reports what it would have done, but rejects nothing.
    Shadow,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// `closed`, `open` or `half_open`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Auto,
        Self::ForcedOpen,
        Self::ForcedClosed,
        Self::Shadow,
    ];

    /// `auto`, `forced_open`, `forced_closed` or `shadow`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Shadow => "shadow",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or(())
    }
}
