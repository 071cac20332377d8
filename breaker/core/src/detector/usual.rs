//! What share of hits is usual, whether it is normal or not.
//!
//! What is normal is bounded, so that nothing above the bound ever passes for health
//! ([`super::baseline`]). What is usual is not: of a service of which a fifth of the requests has
//! failed for an hour while its breaker was closed, a fifth is what a recovery leads back to. It is
//! what was learned as normal, together with the same of the time in which there was an alarm.

use super::baseline::{Baseline, Bounds, Bucket};
use crate::time::Timestamp;

/// What was observed during alarms, closed. It fades with a half-life of 30 minutes, in silence
/// too.
#[derive(Clone, Debug)]
pub(super) struct Alarmed(Baseline);

impl Alarmed {
    pub(super) fn new() -> Self {
        let all = Bounds {
            floor: 0.0,
            cap: 1.0,
        };
        Self(Baseline::new(all))
    }

    /// Learns of `count` hits or misses at `at`. Returns whether what is usual may be another than
    /// before.
    pub(super) fn learn(&mut self, hit: bool, count: u32, at: Timestamp) -> bool {
        self.0.learn(hit, count, at)
    }

    pub(super) fn pass(&mut self, at: Timestamp) {
        self.0.pass(at);
    }

    /// What has passed since the last call.
    pub(super) fn take_passed(&mut self) -> Bucket {
        self.0.take_passed()
    }

    /// The breaker opened: what waits was part of what it opened for.
    pub(super) fn drop_waiting(&mut self) {
        self.0.drop_waiting();
    }

    /// The usual share, of this and of what was learned as `normal`.
    pub(super) fn usual(&self, normal: &Baseline) -> f64 {
        let (observations, hits) = self.0.learned();
        let (more, more_hits) = normal.learned();
        let all = observations + more;
        // As if some had been observed without a hit: on a route with a request each few minutes an
        // outage is not usual before it is noticed.
        ((hits + more_hits) / (all + UNSURE)).min(MOST)
    }
}

/// The share midway between two in logit.
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

/// What is as good as all.
pub(crate) const NEAR_TOTAL: f64 = 0.95;
const UNSURE: f64 = 200.0;
/// Whatever was seen while nobody could open (forced closed), total failure is never usual.
pub(super) const MOST: f64 = 0.5;
