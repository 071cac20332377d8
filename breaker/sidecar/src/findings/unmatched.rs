//! Why a feed matches nothing, though telemetry arrives.

use breaker_tower::breaker_core::policy::yaml::nearest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a feed matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::exhaustive_structs, reason = "made by those who saw it")]
pub struct Unmatched {
    /// A sentence.
    pub detail: String,
    /// What it asks for that did not arrive, and what arrived instead.
    pub misses: Vec<Miss>,
}

/// A condition of a feed that nothing fulfils.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::exhaustive_structs, reason = "made by those who saw it")]
pub struct Miss {
    /// What it is about: the name of an attribute, or `scope`, `kind`, `metric`, `signal`.
    pub name: String,
    /// What the feed asks for.
    pub wanted: String,
    /// What arrived instead: at most 8 values, each of at most 80 characters.
    pub arrived: Vec<String>,
    /// Whether there were more.
    pub more: bool,
    /// The one that may have been meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

impl Unmatched {
    /// That nothing arrived at all.
    pub fn silent() -> Self {
        Self {
            detail: "no telemetry has arrived yet".to_owned(),
            misses: Vec::new(),
        }
    }

    /// That what arrived misses these conditions.
    pub fn of(misses: Vec<Miss>) -> Self {
        let words: Vec<_> = misses.iter().map(Miss::in_words).collect();
        Self {
            detail: format!("nothing that arrived matches: {}", words.join("; ")),
            misses,
        }
    }
}

impl Miss {
    /// A condition on `name`, instead of whose `wanted` something else arrived: of the values at
    /// most 8 are kept.
    pub fn new(name: &str, wanted: String, values: &[String], more: bool) -> Self {
        let known: Vec<_> = values.iter().map(|value| &**value).collect();
        Self {
            nearest: nearest(&wanted, &known).map(str::to_owned),
            name: name.to_owned(),
            wanted,
            arrived: values.to_vec(),
            more,
        }
    }

    fn in_words(&self) -> String {
        let Self {
            name,
            wanted,
            arrived,
            more,
            nearest,
        } = self;
        let more = if *more { " and others" } else { "" };
        let arrived = match &**arrived {
            [] => "does not arrive".to_owned(),
            arrived => format!("arrives as {}{more}", arrived.join(", ")),
        };
        let meant = nearest.as_ref();
        let meant = meant.map_or(String::new(), |name| format!(" (did you mean {name}?)"));
        format!("it asks for {name} {wanted}, which {arrived}{meant}")
    }
}
