//! Trip entries: any entry that holds acts; inside an entry all conditions must hold.

use std::fmt;

use super::anomaly::Signal;
use super::condition::Condition;

/// The conditions, which must all hold, and the action of the entry.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by users of the builder"
)]
pub struct TripEntry {
    /// The conditions, which must all hold.
    pub conditions: Vec<Condition>,
    /// The action when they do.
    pub action: Action,
}

/// What a trip entry does when its conditions hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Opens the breaker.
    #[default]
    Open,
    /// Reports an [`Alert`](crate::Event::Alert), and rejects nothing.
    Alert,
    /// Admits no more concurrent requests than the upstream answers in time; the breaker stays
    /// closed. Needs a condition on latency.
    Shed,
}

impl TripEntry {
    /// An entry that opens the breaker when all `conditions` hold.
    pub fn open(conditions: impl Into<Vec<Condition>>) -> Self {
        Self {
            conditions: conditions.into(),
            action: Action::Open,
        }
    }

    /// An entry that alerts when all `conditions` hold.
    pub fn alert(conditions: impl Into<Vec<Condition>>) -> Self {
        Self {
            conditions: conditions.into(),
            action: Action::Alert,
        }
    }

    /// An entry that sheds while all `conditions` hold.
    pub fn shed(conditions: impl Into<Vec<Condition>>) -> Self {
        Self {
            conditions: conditions.into(),
            action: Action::Shed,
        }
    }

    /// Whether it is on how slow the requests are.
    pub(crate) fn is_on_latency(&self) -> bool {
        self.conditions.iter().any(Condition::is_on_latency)
    }

    /// Whether it is on requests slower than usual.
    pub(crate) fn watches_latency(&self) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.any(|condition| {
            matches!(
                condition,
                Condition::Anomaly {
                    signal: Signal::Latency,
                    ..
                }
            )
        })
    }
}

impl fmt::Display for TripEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, condition) in self.conditions.iter().enumerate() {
            let and = if index == 0 { "" } else { " and " };
            write!(f, "{and}{condition}")?;
        }
        Ok(())
    }
}
