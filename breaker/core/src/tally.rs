//! What requests of a trial, or since one, came to.

use crate::ratio::Ratio;

/// Requests that succeeded and that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Counts `requests` that all ended well, or all badly.
    pub(crate) const fn count(&mut self, good: bool, requests: u32) {
        let counter = if good {
            &mut self.succeeded
        } else {
            &mut self.failed
        };
        *counter = counter.saturating_add(requests as u64);
    }

    /// A request that was counted as good has failed.
    pub(crate) const fn take_back(&mut self) {
        self.succeeded = self.succeeded.saturating_sub(1);
        self.count(false, 1);
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.failed = self.failed.saturating_add(other.failed);
    }

    pub(crate) const fn samples(self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// The share that succeeded; all, of none.
    pub(crate) fn success(self) -> Ratio {
        match self.samples() {
            0 => Ratio::ONE,
            samples => Ratio::of(self.succeeded, samples),
        }
    }
}
