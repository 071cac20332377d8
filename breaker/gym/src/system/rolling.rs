//! Counts of the last so many buckets of time, which most systems keep in one form or another.

use crate::time::Nanos;

/// How many requests, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) total: u64,
    pub(super) failed: u64,
}

/// Counts in a ring of buckets that are aligned to multiples of their width.
#[derive(Debug)]
pub(super) struct Rolling {
    width: Nanos,
    buckets: Vec<Failures>,
    /// The number of the newest bucket, counted from the origin of time.
    newest: u64,
    sum: Failures,
}

impl Rolling {
    /// So many buckets of `width` each.
    pub(super) fn new(buckets: usize, width: Nanos) -> Self {
        Self {
            width,
            buckets: vec![Failures::default(); buckets],
            newest: 0,
            sum: Failures::default(),
        }
    }

    /// Counts a request.
    pub(super) fn add(&mut self, failed: bool, now: Nanos) {
        self.expire(now);
        let index = self.newest as usize % self.buckets.len();
        for counts in [&mut self.buckets[index], &mut self.sum] {
            counts.total += 1;
            counts.failed += u64::from(failed);
        }
    }

    /// The counts, of nothing older than the ring.
    pub(super) fn counts(&mut self, now: Nanos) -> Failures {
        self.expire(now);
        self.sum
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.buckets.fill(Failures::default());
        self.sum = Failures::default();
    }

    fn expire(&mut self, now: Nanos) {
        let bucket = now / self.width;
        let len = self.buckets.len() as u64;
        if bucket >= self.newest + len {
            self.clear();
            self.newest = bucket;
        }
        while self.newest < bucket {
            self.newest += 1;
            let index = (self.newest % len) as usize;
            let old = std::mem::take(&mut self.buckets[index]);
            self.sum.total -= old.total;
            self.sum.failed -= old.failed;
        }
    }
}

impl Failures {
    /// The share that failed; 0 of nothing.
    pub(super) fn failure_rate(self) -> f64 {
        self.failed as f64 / self.total.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    #[test]
    fn a_bucket_is_forgotten_when_the_ring_has_gone_round() {
        let mut rolling = Rolling::new(10, SECOND);
        rolling.add(true, SECOND / 2);
        rolling.add(false, 5 * SECOND);
        assert_eq!(
            rolling.counts(9 * SECOND),
            Failures {
                total: 2,
                failed: 1
            }
        );
        assert_eq!(
            rolling.counts(10 * SECOND),
            Failures {
                total: 1,
                failed: 0
            }
        );
        assert_eq!(rolling.counts(100 * SECOND), Failures::default());
    }
}
