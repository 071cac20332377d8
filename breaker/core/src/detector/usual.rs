//! The usual share of hits, which may be above the normal share.
//!
//! The normal share is bounded, so that a share above the bound never counts as health
//! ([`super::baseline`]). The usual share may be higher, up to [`MOST`]. If a fifth of a service's
//! requests has failed for an hour while the breaker was closed, a recovery leads back to a fifth.
//! The usual share combines the baseline with what was observed during alarms.

use super::baseline::{Baseline, Bounds, Bucket};
use crate::time::Timestamp;

/// What was observed during alarms while the breaker was closed. It decays with a half-life of 30
/// minutes, also in silence. Made in the first alarm, so that a breaker without one is small.
#[derive(Clone, Debug)]
pub(super) struct Alarmed(Option<Box<Baseline>>);

impl Alarmed {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Learns `count` hits or misses at `at`. Returns whether the usual share may have changed.
    pub(super) fn learn(&mut self, hit: bool, count: u32, at: Timestamp) -> bool {
        let all = Bounds {
            floor: 0.0,
            cap: 1.0,
        };
        let made = || Box::new(Baseline::new(all));
        self.0.get_or_insert_with(made).learn(hit, count, at)
    }

    pub(super) fn pass(&mut self, at: Timestamp) {
        if let Some(learned) = &mut self.0 {
            learned.pass(at);
        }
    }

    /// What was observed since the last call.
    pub(super) fn take_passed(&mut self) -> Bucket {
        let learned = self.0.as_mut();
        learned.map_or_else(Bucket::default, |learned| learned.take_passed())
    }

    /// The breaker opened: the waiting observations were part of the reason.
    pub(super) fn drop_waiting(&mut self) {
        if let Some(learned) = &mut self.0 {
            learned.drop_waiting();
        }
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |learned| size_of_val(&**learned))
    }

    /// The usual share, from these observations and from those learned as `normal`.
    pub(super) fn usual(&self, normal: &Baseline) -> f64 {
        let learned = self.0.as_ref();
        let (observations, hits) = learned.map_or((0.0, 0.0), |learned| learned.learned());
        let (more, more_hits) = normal.learned();
        let all = observations + more;
        // The count of observations is raised as if there had been more misses. So on a route with
        // a request every few minutes, an outage does not become usual before it is detected.
        ((hits + more_hits) / (all + UNSURE)).min(MOST)
    }
}

/// The share midway between two shares on the logit scale.
pub(crate) fn midway(one: f64, other: f64) -> f64 {
    let odds = (one / (1.0 - one) * (other / (1.0 - other))).sqrt();
    odds / (1.0 + odds)
}

/// The share midway between `usual` and near-total failure.
pub(crate) fn midway_to_total(usual: f64) -> f64 {
    if usual <= 0.0 {
        0.0
    } else {
        midway(usual, NEAR_TOTAL)
    }
}

/// A share that counts as near-total failure.
pub(crate) const NEAR_TOTAL: f64 = 0.95;
const UNSURE: f64 = 200.0;
/// Total failure is never usual, even if it was observed while the breaker was forced closed.
pub(super) const MOST: f64 = 0.5;
