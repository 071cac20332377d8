//! An HDR histogram over the slices of a window: one live slice, the rest packed, and their sum.

use std::mem;

use hdrhistogram::Histogram;

use super::SLICES;
use super::packed::Packed;
use super::values::{GROWS, Values, empty};

/// Values of the last [`SLICES`] slices, to 2 significant digits.
#[derive(Clone, Debug, Default)]
pub(super) struct SlicedHistogram {
    live: Values,
    /// `None` until there is a value in one of them.
    sealed: Option<Box<Sealed>>,
}

/// The slices that have ended.
#[derive(Clone, Debug, Default)]
struct Sealed {
    slices: [Packed; SLICES - 1],
    /// The sum of `slices`, so that reading a quantile unpacks nothing.
    sum: Values,
    /// Where in `slices` the live slice goes next.
    next: usize,
    /// The slice that was written to last, unpacked: telemetry comes late, and in the order of its
    /// times.
    reopened: Option<(usize, Values)>,
}

// === impl SlicedHistogram ===

impl SlicedHistogram {
    /// Records `count` times `value`, `slices_ago` slices before the live one: less than
    /// [`SLICES`].
    #[inline]
    pub(super) fn record(&mut self, value: u64, count: u32, slices_ago: usize) {
        match slices_ago {
            0 => self.live.record(value, count),
            _ => {
                let sealed = self.sealed.get_or_insert_default();
                sealed.record(value, count, slices_ago);
            }
        }
    }

    /// Seals the live slice, and forgets the slices that are `slices` or more steps too old.
    /// `slices` is less than [`SLICES`].
    pub(super) fn advance(&mut self, slices: usize) {
        if self.sealed.is_none() && self.live.is_empty() {
            return;
        }
        let sealed = self.sealed.get_or_insert_default();
        sealed.advance(&self.live, slices);
        self.live.reset();
    }

    /// All that the window holds.
    pub(super) fn sum(&self) -> Histogram<u32> {
        let mut sum = empty();
        self.live.add_to(&mut sum);
        if let Some(sealed) = &self.sealed {
            sealed.sum.add_to(&mut sum);
        }
        sum
    }

    /// The largest value, or one that its bucket also has.
    pub(super) fn max(&self) -> u64 {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.sum.max());
        self.live.max().max(sealed)
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.live.bytes() + self.sealed.as_ref().map_or(0, |sealed| sealed.bytes())
    }
}

// === impl Sealed ===

impl Sealed {
    fn record(&mut self, value: u64, count: u32, slices_ago: usize) {
        let slices = self.slices.len();
        let index = (self.next + slices - slices_ago.min(slices)) % slices;
        self.sum.record(value, count);
        self.reopen(index).record(value, count);
    }

    fn reopen(&mut self, index: usize) -> &mut Values {
        if self
            .reopened
            .as_ref()
            .is_some_and(|(open, _)| *open != index)
        {
            self.seal();
        }
        let sealed = &self.slices[index];
        let (_, values) = self.reopened.get_or_insert_with(|| {
            let mut values = Values::default();
            sealed.for_each_bucket(|value, count| values.record(value, count));
            (index, values)
        });
        values
    }

    /// Packs the slice that was reopened.
    fn seal(&mut self) {
        if let Some((index, values)) = self.reopened.take() {
            self.slices[index] = Packed::of(&values);
        }
    }

    /// As [`SlicedHistogram::advance`], of what is `live`.
    fn advance(&mut self, live: &Values, slices: usize) {
        self.seal();
        let mut expired: [Packed; SLICES] = Default::default();
        for (step, expired) in expired.iter_mut().enumerate().take(slices) {
            let sealed = match step {
                0 => Packed::of(live),
                _ => Packed::default(),
            };
            *expired = mem::replace(&mut self.slices[self.next], sealed);
            self.next = (self.next + 1) % self.slices.len();
        }
        if !self.forget(&expired, live) {
            self.sum.reset();
            for packed in &self.slices {
                packed.for_each_bucket(|value, count| self.sum.record(value, count));
            }
        }
    }

    /// Has the sum without `expired` and with the `live` slice, where that is less work than to
    /// unpack all that stays. Returns whether it is done.
    fn forget(&mut self, expired: &[Packed], live: &Values) -> bool {
        let Values::Many(sum) = &mut self.sum else {
            return false;
        };
        let sealed: usize = self.slices.iter().map(Packed::bytes).sum();
        if sealed * BUCKETS_A_BYTE < sum.distinct_values() {
            return false;
        }
        let mut gone = empty();
        for packed in expired {
            packed.for_each_bucket(|value, count| gone.record_n(value, count).expect(GROWS));
        }
        // Not where there was so much that counters were full.
        let is_done = sum.subtract(&gone).is_ok();
        if is_done {
            live.add_to(sum);
        }
        is_done
    }

    fn bytes(&self) -> usize {
        let packed: usize = self.slices.iter().map(Packed::bytes).sum();
        let reopened = self
            .reopened
            .as_ref()
            .map_or(0, |(_, values)| values.bytes());
        size_of::<Self>() + packed + self.sum.bytes() + reopened
    }
}

/// So many buckets of a histogram are passed over in the time that it takes to unpack a byte.
const BUCKETS_A_BYTE: usize = 8;

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
            let mut sliced = SlicedHistogram::default();
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
            let mut sliced = SlicedHistogram::default();
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
