//! The latencies of a minute, as counts by bucket: those buckets that occur, while they are few, so
//! that a key with few requests is small.

use super::{BUCKETS, nth};

/// Counts by bucket.
#[derive(Clone, Debug)]
pub(super) enum Minute {
    /// At most [`FEW`], in no order.
    Few(Vec<(u8, u32)>),
    Many(Box<[u32; BUCKETS]>),
}

impl Default for Minute {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Minute {
    pub(super) fn add(&mut self, bucket: usize, count: u32) {
        let known = match self {
            Self::Many(counts) => &mut counts[bucket],
            Self::Few(few) => {
                let place = few
                    .iter()
                    .position(|(known, _)| usize::from(*known) == bucket);
                match place {
                    Some(place) => &mut few[place].1,
                    None if few.len() < FEW => {
                        few.push((bucket as u8, count));
                        return;
                    }
                    None => {
                        let mut counts = Box::new([0; BUCKETS]);
                        for (bucket, count) in few {
                            counts[usize::from(*bucket)] = *count;
                        }
                        *self = Self::Many(counts);
                        return self.add(bucket, count);
                    }
                }
            }
        };
        *known = known.saturating_add(count);
    }

    /// The memory stays: the next minute is mostly like this one.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Few(few) => few.clear(),
            Self::Many(counts) => **counts = [0; BUCKETS],
        }
    }

    /// How many are in buckets above this one.
    pub(super) fn above(&self, bucket: usize) -> u64 {
        match self {
            Self::Few(few) => {
                let above = few.iter().filter(|(known, _)| usize::from(*known) > bucket);
                above.map(|(_, count)| u64::from(*count)).sum()
            }
            Self::Many(counts) => {
                let above = counts.iter().skip(bucket + 1);
                above.map(|count| u64::from(*count)).sum()
            }
        }
    }

    /// The bucket of the item of `rank`, counted from 1.
    pub(super) fn nth(&self, rank: u64) -> Option<u8> {
        match self {
            Self::Few(few) => {
                let mut few = few.clone();
                few.sort_unstable();
                let mut seen = 0;
                let mut reaches = |(_, count): &(u8, u32)| {
                    seen += u64::from(*count);
                    seen >= rank
                };
                few.iter().find(|of| reaches(of)).map(|(bucket, _)| *bucket)
            }
            Self::Many(counts) => nth(counts.iter().map(|count| u64::from(*count)), rank),
        }
    }

    /// Heap memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Few(few) => few.capacity() * size_of::<(u8, u32)>(),
            Self::Many(counts) => size_of_val(&**counts),
        }
    }
}

/// A minute has so many different latencies before it has room for all.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_buckets_count_as_many_do(
            latencies in proptest::collection::vec((0_usize..30, 1_u32..5), 0..20),
            above in 0_usize..30,
        ) {
            let mut few = Minute::default();
            let mut many = Minute::Many(Box::new([0; BUCKETS]));
            for _ in 0..2 {
                for (bucket, count) in &latencies {
                    few.add(*bucket, *count);
                    many.add(*bucket, *count);
                }
                let all: u32 = latencies.iter().map(|(_, count)| count).sum();
                for rank in 1..=u64::from(all) + 1 {
                    prop_assert_eq!(few.nth(rank), many.nth(rank));
                }
                prop_assert_eq!(few.above(above), many.above(above));
                few.clear();
                many.clear();
            }
        }
    }
}
