//! An HDR histogram over the slices of a window: one live slice, the rest packed, and their sum.

use std::mem;

use hdrhistogram::Histogram;

use super::SLICES;
use super::packed::Packed;

/// Values of the last [`SLICES`] slices, to 2 significant digits.
#[derive(Clone, Debug)]
pub(super) struct SlicedHistogram {
    live: Histogram<u32>,
    sealed: [Packed; SLICES - 1],
    /// The sum of `sealed`, so that reading a quantile unpacks nothing.
    sealed_sum: Histogram<u32>,
    /// Where in `sealed` the live slice goes next.
    next: usize,
    /// The sealed slice that was written to last, unpacked: telemetry comes late, and in the order
    /// of its times.
    reopened: Option<(usize, Histogram<u32>)>,
}

impl SlicedHistogram {
    pub(super) fn new() -> Self {
        Self {
            live: empty(),
            sealed: Default::default(),
            sealed_sum: empty(),
            next: 0,
            reopened: None,
        }
    }

    /// Records `count` times `value`, `slices_ago` slices before the live one: less than
    /// [`SLICES`].
    pub(super) fn record(&mut self, value: u64, count: u32, slices_ago: usize) {
        if slices_ago == 0 {
            self.live.record_n(value, count).expect(GROWS);
            return;
        }
        let slices = self.sealed.len();
        let index = (self.next + slices - slices_ago.min(slices)) % slices;
        self.sealed_sum.record_n(value, count).expect(GROWS);
        self.reopen(index).record_n(value, count).expect(GROWS);
    }

    fn reopen(&mut self, index: usize) -> &mut Histogram<u32> {
        if self
            .reopened
            .as_ref()
            .is_some_and(|(open, _)| *open != index)
        {
            self.seal();
        }
        let sealed = &self.sealed[index];
        let (_, histogram) = self.reopened.get_or_insert_with(|| {
            let mut histogram = empty();
            sealed.add_to(&mut histogram);
            (index, histogram)
        });
        histogram
    }

    /// Packs the slice that was reopened.
    fn seal(&mut self) {
        if let Some((index, histogram)) = self.reopened.take() {
            self.sealed[index] = Packed::of(&histogram);
        }
    }

    /// Seals the live slice, and forgets the slices that are `slices` or more steps too old.
    /// `slices` is less than [`SLICES`].
    pub(super) fn advance(&mut self, slices: usize) {
        self.seal();
        let mut expired: [Packed; SLICES] = Default::default();
        for (step, expired) in expired.iter_mut().enumerate().take(slices) {
            let sealed = match step {
                0 => Packed::of(&self.live),
                _ => Packed::default(),
            };
            *expired = mem::replace(&mut self.sealed[self.next], sealed);
            self.next = (self.next + 1) % self.sealed.len();
        }
        if !self.forget(&expired) {
            self.sealed_sum.reset();
            for packed in &self.sealed {
                packed.add_to(&mut self.sealed_sum);
            }
        }
        self.live.reset();
    }

    /// Has the sum without `expired` and with the live slice, where that is less work than to
    /// unpack all that stays. Returns whether it is done.
    fn forget(&mut self, expired: &[Packed]) -> bool {
        let sealed: usize = self.sealed.iter().map(Packed::bytes).sum();
        if sealed * BUCKETS_A_BYTE < self.sealed_sum.distinct_values() {
            return false;
        }
        let mut sum = empty();
        for packed in expired {
            packed.add_to(&mut sum);
        }
        // Not where there was so much that counters were full.
        let is_done = self.sealed_sum.subtract(&sum).is_ok();
        if is_done {
            self.sealed_sum.add(&self.live).expect(GROWS);
        }
        is_done
    }

    /// All that the window holds.
    pub(super) fn sum(&self) -> Histogram<u32> {
        let mut sum = self.sealed_sum.clone();
        sum.add(&self.live).expect(GROWS);
        sum
    }

    /// The largest value, or one that its bucket also has.
    pub(super) fn max(&self) -> u64 {
        self.live.max().max(self.sealed_sum.max())
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let packed: usize = self.sealed.iter().map(Packed::bytes).sum();
        let reopened = self.reopened.iter().map(|(_, histogram)| histogram);
        let unpacked: usize = reopened
            .chain([&self.live, &self.sealed_sum])
            .map(Histogram::distinct_values)
            .sum();
        packed + unpacked * size_of::<u32>()
    }
}

/// So many buckets of a histogram are passed over in the time that it takes to unpack a byte.
const BUCKETS_A_BYTE: usize = 8;

pub(super) const GROWS: &str = "a histogram that resizes itself takes any value";

/// A histogram that starts small and grows with the values it sees.
fn empty() -> Histogram<u32> {
    Histogram::new(2).expect("2 is a number of significant digits that histograms have")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// The values of a slice, then how many slices on the next one is.
    fn slice() -> impl Strategy<Value = (Vec<u64>, usize)> {
        // Few values are unpacked again, many are subtracted.
        let values = prop_oneof![
            proptest::collection::vec(1_u64..3_600_000_000, 0..4),
            proptest::collection::vec(1_u64..100_000, 200..400),
        ];
        (values, 1..SLICES)
    }

    proptest! {
        #[test]
        fn the_sum_is_of_what_the_slices_have(
            slices in proptest::collection::vec(slice(), 1..30),
            late in 0..SLICES,
        ) {
            let mut sliced = SlicedHistogram::new();
            let mut model = VecDeque::from(vec![Vec::new(); SLICES]);
            for (values, steps) in slices {
                for value in values {
                    let ago = if value % 7 == 0 { late } else { 0 };
                    sliced.record(value, 1, ago);
                    model[ago].push(value);
                }
                let mut expected = empty();
                for value in model.iter().flatten() {
                    expected.record(*value).expect(GROWS);
                }
                let sum = sliced.sum();
                let counts = |histogram: &Histogram<u32>| {
                    let buckets = histogram.iter_recorded();
                    let counts = buckets.map(|bucket| {
                        (bucket.value_iterated_to(), bucket.count_at_value())
                    });
                    counts.collect::<Vec<_>>()
                };
                prop_assert_eq!(counts(&sum), counts(&expected));
                prop_assert_eq!((sum.len(), sliced.max()), (expected.len(), expected.max()));
                sliced.advance(steps);
                model.rotate_right(steps);
                model.iter_mut().take(steps).for_each(Vec::clear);
            }
        }

        #[test]
        fn full_counters_are_no_error(value in 1_u64..1_000, steps in 1..SLICES) {
            let mut sliced = SlicedHistogram::new();
            for _ in 0..2 * SLICES {
                for other in 1..2_000 {
                    sliced.record(other, 1, 0);
                }
                sliced.record(value, u32::MAX, 0);
                sliced.advance(steps);
            }
            prop_assert!(sliced.max() >= value);
        }
    }
}
