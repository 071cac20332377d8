//! Spans that were told before: an exporter that saw no answer sends its batch again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::mem;

/// The spans of the last while, within a bound.
///
/// Two generations: when the younger is full, the older is forgotten. So a span is known until at
/// least [`GENERATION`] others came after it, which is many times what an exporter holds while it
/// retries. It is known by a hash of 64 bits with a key of its own, which takes a quarter of the
/// memory: one span in 10^14 is taken for another one.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    key: RandomState,
    younger: HashSet<u64>,
    older: HashSet<u64>,
}

impl Duplicates {
    /// Whether a span is told to a feed for the first time, as far as is remembered.
    pub(super) fn is_new(&mut self, (trace, span): (u128, u64), feed: u32) -> bool {
        let hash = self.key.hash_one((trace, span, feed));
        if self.older.contains(&hash) || !self.younger.insert(hash) {
            return false;
        }
        if self.younger.len() >= GENERATION {
            self.older = mem::replace(&mut self.younger, HashSet::with_capacity(GENERATION));
        }
        true
    }
}

/// 65,536 spans, 1.2 MB a generation.
const GENERATION: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_known_until_a_generation_has_come_after_it_and_memory_is_bounded() {
        let mut duplicates = Duplicates::default();
        assert!(duplicates.is_new((1, 1), 0));
        assert!(!duplicates.is_new((1, 1), 0));
        assert!(duplicates.is_new((1, 1), 1), "another feed");
        for span in 0..GENERATION as u64 {
            duplicates.is_new((2, span), 0);
        }
        assert!(!duplicates.is_new((1, 1), 0));
        for span in 0..2 * GENERATION as u64 {
            duplicates.is_new((3, span), 0);
        }
        assert!(duplicates.is_new((1, 1), 0));
        assert!(duplicates.younger.len() + duplicates.older.len() <= 2 * GENERATION);
    }
}
