//! Counts of what the detectors have observed, for reports to a fleet.

use super::Detectors;
use crate::policy::Signal;

/// Observations and hits by signal; `None` until the first request for them.
pub(super) type Counted = Option<Box<[(u64, u64); Signal::ALL.len()]>>;

impl Detectors {
    /// The number of observations of `signal`, and how many of them were hits, since the first
    /// call.
    pub(crate) fn counted(&mut self, signal: Signal) -> (u64, u64) {
        self.counted.get_or_insert_default()[signal as usize]
    }

    /// The upper bound of the normal share of hits of `signal`; `None` if the signal is not
    /// watched.
    pub(crate) fn normal(&self, signal: Signal) -> Option<f64> {
        self.detector(signal).map(|detector| detector.normal())
    }

    /// From how many observations of `signal` the normal share was learned, and how many hits these
    /// had; none if it was declared or accepted, and so is not to be lowered.
    pub(crate) fn learned_for_fleet(&self, signal: Signal) -> (f64, f64) {
        let detector = self.detector(signal);
        detector.map_or((0.0, 0.0), |detector| detector.learned_for_fleet())
    }

    pub(super) fn count_for_fleet(&mut self, signal: Signal, hit: bool, count: u32) {
        if let Some(counted) = &mut self.counted {
            let (observations, hits) = &mut counted[signal as usize];
            *observations += u64::from(count);
            *hits += if hit { u64::from(count) } else { 0 };
        }
    }
}
