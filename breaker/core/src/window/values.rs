//! Values of some time: as they came while they are few, then in a histogram.
//!
//! A histogram of HDR takes 1.5 KB for its first value. A breaker of a key that few requests have
//! would consist of little else.

use hdrhistogram::Histogram;

/// Values with how often each was recorded, to 2 significant digits.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// Each different value that 32 bits can hold once, at most [`FEW`].
    Few(Vec<(u32, u32)>),
    Many(Box<Histogram<u32>>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Values {
    /// Records `count` times `value`; a counter that is full stays so.
    #[inline]
    pub(super) fn record(&mut self, value: u64, count: u32) {
        match self {
            Self::Many(histogram) => histogram.record_n(value, count).expect(GROWS),
            Self::Few(_) => self.record_one_of_few(value, count),
        }
    }

    fn record_one_of_few(&mut self, value: u64, count: u32) {
        let Self::Few(few) = self else {
            return;
        };
        let small = u32::try_from(value).ok();
        let known = few.iter_mut().find(|(known, _)| Some(*known) == small);
        if let Some((_, known)) = known {
            *known = known.saturating_add(count);
        } else if let Some(small) = small.filter(|_| few.len() < FEW) {
            few.push((small, count));
        } else {
            let mut histogram = empty();
            self.add_to(&mut histogram);
            histogram.record_n(value, count).expect(GROWS);
            *self = Self::Many(Box::new(histogram));
        }
    }

    /// Forgets all values. A histogram keeps its memory: where there were many, many come.
    pub(super) fn reset(&mut self) {
        match self {
            Self::Few(few) => few.clear(),
            Self::Many(histogram) => histogram.reset(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(histogram) => histogram.is_empty(),
        }
    }

    /// The largest value, or one that its bucket also has; 0 of none.
    pub(super) fn max(&self) -> u64 {
        match self {
            Self::Few(few) => {
                let largest = few.iter().map(|(value, _)| *value).max();
                largest.map_or(0, |largest| highest_equivalent(largest.into()))
            }
            Self::Many(histogram) => histogram.max(),
        }
    }

    pub(super) fn add_to(&self, histogram: &mut Histogram<u32>) {
        match self {
            Self::Few(few) => {
                for (value, count) in few {
                    histogram.record_n((*value).into(), *count).expect(GROWS);
                }
            }
            Self::Many(many) => histogram.add(&**many).expect(GROWS),
        }
    }

    /// Tells the highest value of each bucket that has any, ascending, and how many it has.
    pub(super) fn for_each_bucket(&self, mut tell: impl FnMut(u64, u64)) {
        match self {
            Self::Few(few) => {
                let mut few = few.clone();
                few.sort_unstable();
                let bucket_of = |(value, _): &(u32, u32)| highest_equivalent((*value).into());
                for bucket in few.chunk_by(|one, other| bucket_of(one) == bucket_of(other)) {
                    let count = bucket.iter().map(|(_, count)| u64::from(*count)).sum();
                    tell(bucket_of(&bucket[0]), count);
                }
            }
            Self::Many(histogram) => {
                for bucket in histogram.iter_recorded() {
                    let count = bucket.count_since_last_iteration();
                    tell(bucket.value_iterated_to(), count);
                }
            }
        }
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Few(few) => few.capacity() * size_of::<(u32, u32)>(),
            Self::Many(histogram) => {
                size_of_val(&**histogram) + histogram.distinct_values() * size_of::<u32>()
            }
        }
    }
}

/// The largest value of the bucket that `value` is in, as a histogram of 2 significant digits has
/// them: 256 buckets of 1, then 128 of each power of two.
const fn highest_equivalent(value: u64) -> u64 {
    let width = match value.checked_ilog2() {
        Some(log) if log >= PRECISE => 1 << (log + 1 - PRECISE),
        _ => 1,
    };
    value | (width - 1)
}

/// The logarithm of the first value that shares its bucket with another.
const PRECISE: u32 = 8;
/// With so many a scan costs no more than a histogram does, and they take 256 bytes.
const FEW: usize = 32;

pub(super) const GROWS: &str = "a histogram that resizes itself takes any value";

/// A histogram that starts small and grows with the values it sees.
pub(super) fn empty() -> Histogram<u32> {
    Histogram::new(2).expect("2 is a number of significant digits that histograms have")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(values: &Values) -> Vec<(u64, u64)> {
        let mut buckets = Vec::new();
        values.for_each_bucket(|value, count| buckets.push((value, count)));
        buckets
    }

    proptest! {
        #[test]
        fn few_values_say_what_a_histogram_of_them_says(
            values in proptest::collection::vec((1_u64..3_600_000_000, 1_u32..5), 0..FEW),
            small in proptest::collection::vec((1_u64..600, 1_u32..5), 0..FEW),
        ) {
            for values in [values, small] {
                let (mut few, mut histogram) = (Values::default(), empty());
                for (value, count) in values {
                    few.record(value, count);
                    histogram.record_n(value, count).unwrap();
                }
                prop_assert!(matches!(few, Values::Few(_)));
                let many = Values::Many(Box::new(histogram));
                prop_assert_eq!(buckets(&few), buckets(&many));
                prop_assert_eq!((few.max(), few.is_empty()), (many.max(), many.is_empty()));
            }
        }
    }

    #[test]
    fn one_more_than_few_are_a_histogram_and_stay_one() {
        let mut values = Values::default();
        for value in 1..=FEW as u64 {
            values.record(value, 1);
            values.record(value, u32::MAX);
        }
        assert!(matches!(&values, Values::Few(few) if few.len() == FEW));
        values.record(1000, 1);
        assert!(matches!(values, Values::Many(_)));
        assert_eq!(buckets(&values).len(), FEW + 1);
        assert_eq!(buckets(&values)[0], (1, u64::from(u32::MAX)));
        values.reset();
        assert!(values.is_empty() && matches!(values, Values::Many(_)));
    }

    #[test]
    fn a_value_of_more_than_32_bits_is_not_lost() {
        let mut values = Values::default();
        for value in [1, 1 << 40] {
            values.record(value, 1);
        }
        assert_eq!(buckets(&values).len(), 2);
        assert!(values.max() >= 1 << 40);
    }
}
