//! What the detectors have observed, for reports to a fleet.

use super::Detectors;
use crate::policy::Stream;

/// Observations and hits by stream, once somebody has asked for them.
pub(super) type Counted = Option<Box<[(u64, u64); Stream::ALL.len()]>>;

impl Detectors {
    /// Observations of `stream` and how many of them were hits, since the first call.
    pub(crate) fn counted(&mut self, stream: Stream) -> (u64, u64) {
        self.counted.get_or_insert_default()[stream as usize]
    }

    /// The share of hits of `stream` that is normal, where it is watched.
    pub(crate) fn normal(&self, stream: Stream) -> Option<f64> {
        self.detector(stream).map(|detector| detector.normal())
    }

    pub(super) fn count_for_fleet(&mut self, stream: Stream, hit: bool, count: u32) {
        if let Some(counted) = &mut self.counted {
            let (observations, hits) = &mut counted[stream as usize];
            *observations += u64::from(count);
            *hits += if hit { u64::from(count) } else { 0 };
        }
    }
}
