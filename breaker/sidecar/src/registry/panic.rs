//! Panic: breakers do harm, or might, and every route admits everything until somebody has looked.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// All routes are forced closed at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Panic {
    /// Since when, in seconds since 1970.
    pub since: f64,
    /// How many seconds it will last, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<f64>,
    /// What the operator said why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A panic under way.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    since: f64,
    until: Option<Instant>,
    reason: Option<String>,
}

impl Declared {
    pub(super) fn new(since: f64, period: Option<Duration>, reason: Option<String>) -> Self {
        Self {
            since,
            until: period.map(|period| Instant::now() + period),
            reason,
        }
    }

    /// The same, declared while `before` may be under way.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) => Self {
                since: before.since,
                until: self.until,
                reason: self.reason.or(before.reason),
            },
            None => self,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    pub(super) fn told(&self) -> Panic {
        let remaining = |until: Instant| until.saturating_duration_since(Instant::now());
        Panic {
            since: self.since,
            remaining: self.until.map(|until| remaining(until).as_secs_f64()),
            reason: self.reason.clone(),
        }
    }
}
