//! How often each latency occurred since the breaker was made, coarsely: what a heat map is drawn
//! from.

use std::fmt;
use std::time::Duration;

use crate::time::micros;

/// Latencies counted in bins whose bounds grow alternately by a half and by a third (… 1.02 ms,
/// 1.54 ms, 2.05 ms …), from 64 µs to 67 s. The first and the last bin include everything beyond.
/// The difference of two readings is what happened between them, as long as that is less than 2³²
/// requests in each bin.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyCounts(
    /// Allocated for the first latency, so that an idle breaker is small.
    Option<Box<[u32; BINS]>>,
);

impl LatencyCounts {
    /// Nothing counted.
    pub const EMPTY: Self = Self(None);

    pub(crate) fn record(&mut self, latency: Duration, count: u32) {
        let bins = self.0.get_or_insert_with(|| Box::new([0; BINS]));
        let bin = &mut bins[bin(latency)];
        // Readings are only subtracted, so an overflow does no harm.
        *bin = bin.wrapping_add(count);
    }

    /// The bins that have grown since `earlier`, ascending: the exclusive upper bound, and the
    /// increase.
    pub fn since(&self, earlier: &Self) -> impl Iterator<Item = (Duration, u32)> {
        let [now, earlier] = [self, earlier].map(|counts| counts.0.as_deref().copied());
        let [now, earlier] = [now, earlier].map(|bins| bins.unwrap_or([0; BINS]));
        let pairs = now.into_iter().zip(earlier);
        let grown = pairs.map(|(now, earlier)| now.wrapping_sub(earlier));
        let bounded = grown.enumerate().map(|(bin, grown)| (bound(bin), grown));
        bounded.filter(|(_, grown)| *grown > 0)
    }
}

impl fmt::Debug for LatencyCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.since(&Self::EMPTY)).finish()
    }
}

/// The two highest bits of the microseconds name a bin: no division, no logarithm.
fn bin(latency: Duration) -> usize {
    let micros = micros(latency).clamp(1 << FIRST_OCTAVE, (1 << LAST_OCTAVE) - 1);
    let octave = micros.ilog2();
    let half = (micros >> (octave - 1)) & 1;
    (2 * (octave - FIRST_OCTAVE)) as usize + half as usize
}

const fn bound(bin: usize) -> Duration {
    let half = 1 << (FIRST_OCTAVE - 1 + bin as u32 / 2);
    let halves = if bin.is_multiple_of(2) { 3 } else { 4 };
    Duration::from_micros(half * halves)
}

/// From 2⁶ to 2²⁶ µs.
const FIRST_OCTAVE: u32 = 6;
const LAST_OCTAVE: u32 = 26;
const BINS: usize = 2 * (LAST_OCTAVE - FIRST_OCTAVE) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_below_the_bound_of_its_bin_and_not_below_the_one_before() {
        for micros in [64, 95, 96, 127, 128, 1_000, 1_536, 10_000, 67_108_863] {
            let latency = Duration::from_micros(micros);
            let bin = bin(latency);
            assert!(latency < bound(bin), "{latency:?} in {bin}");
            assert!(
                bin == 0 || latency >= bound(bin - 1),
                "{latency:?} in {bin}"
            );
        }
    }

    #[test]
    fn the_ends_have_what_is_beyond() {
        assert_eq!(bin(Duration::ZERO), 0);
        assert_eq!(bin(Duration::MAX), BINS - 1);
        assert_eq!(bound(BINS - 1), Duration::from_micros(1 << LAST_OCTAVE));
    }

    #[test]
    fn two_readings_differ_by_what_happened_between_them() {
        let mut counts = LatencyCounts::EMPTY;
        counts.record(Duration::from_millis(1), u32::MAX);
        let earlier = counts.clone();
        counts.record(Duration::from_millis(1), 70_000);
        counts.record(Duration::from_secs(2), 1);
        let grown: Vec<_> = counts.since(&earlier).collect();
        let bounds = [1_024, 2_097_152].map(Duration::from_micros);
        assert_eq!(grown, [(bounds[0], 70_000), (bounds[1], 1)]);
    }
}
