//! Counts since the breaker was made.

use crate::outcome::{Attribution, Classification, Outcome};
use crate::snapshot::Totals;

/// [`Totals`] as a breaker keeps them: 8 bytes for ignored requests, until there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    success: u64,
    failure: u64,
    /// By who caused the ending, in the order of [`Attribution::ALL`].
    ignored: Option<Box<[u64; Attribution::ALL.len()]>>,
    pub(super) rejected: u64,
    pub(super) would_reject: u64,
    pub(super) alerts: u64,
}

impl Counters {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome.classification {
            Classification::Success => self.success += 1,
            Classification::Failure => self.failure += 1,
            Classification::Ignored => self.ignore(outcome.attribution),
        }
    }

    pub(super) fn ignore(&mut self, by: Attribution) {
        self.ignored.get_or_insert_default()[by as usize] += 1;
    }

    pub(super) fn totals(&self) -> Totals {
        let ignored_by = self.ignored.as_deref().copied().unwrap_or_default();
        Totals {
            success: self.success,
            failure: self.failure,
            ignored: ignored_by.iter().sum(),
            ignored_by,
            rejected: self.rejected,
            would_reject: self.would_reject,
            alerts: self.alerts,
        }
    }
}
