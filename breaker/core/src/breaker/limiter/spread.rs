//! How a handful of latencies are spread, as far as a limit needs to know: what two thirds of them
//! exceed, in parts of the target.

/// Counts of latencies in quarters of octaves, from an eighth of the target to 64 times it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    counts: [u32; BUCKETS],
    /// Of the latencies in a bucket, so that of many that are equal it is that.
    sums: [f32; BUCKETS],
}

impl Spread {
    /// What is longer counts as this many targets.
    pub(super) const MOST: f64 = 64.0;

    pub(super) const fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            sums: [0.0; BUCKETS],
        }
    }

    /// Adds a latency, in parts of the target.
    pub(super) fn add(&mut self, latency: f64) {
        let latency = latency.min(Self::MOST);
        let bucket = (quarter(latency) - quarter(LEAST) + 1).clamp(0, BUCKETS as i64 - 1);
        let bucket = bucket as usize;
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.sums[bucket] += latency as f32;
    }

    /// What two thirds of `all` exceed, of which those that were not added are the longest.
    pub(super) fn third(&self, all: u32) -> f64 {
        let rank = all.div_ceil(3);
        let mut below = 0_u32;
        for (count, sum) in self.counts.into_iter().zip(self.sums) {
            below = below.saturating_add(count);
            if below >= rank && count > 0 {
                return (sum / count as f32).into();
            }
        }
        Self::MOST
    }
}

/// Which quarter of an octave it is in: the exponent of the number, and the first two digits of its
/// fraction.
const fn quarter(latency: f64) -> i64 {
    (latency.to_bits() >> 50) as i64
}

const LEAST: f64 = 0.125;
/// Nine octaves, and what is below and above them.
const BUCKETS: usize = 38;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_within_a_quarter_of_an_octave() {
        for middle in [0.13, 0.3, 0.5, 0.99, 1.0, 1.9, 3.3, 7.9, 40.0] {
            let mut spread = Spread::new();
            for part in 0..101 {
                spread.add(middle * (0.5 + f64::from(part) / 100.0));
            }
            // A third of the way from a half to one and a half.
            let third = spread.third(101) / (middle * 5.0 / 6.0);
            assert!((third - 1.0).abs() < 0.125, "{third} of {middle}");
        }
    }

    #[test]
    fn those_that_have_not_ended_are_the_longest() {
        let mut spread = Spread::new();
        for _ in 0..10 {
            spread.add(1.1);
        }
        assert!((spread.third(30) - 1.1).abs() < 1e-6);
        assert_eq!(spread.third(31), Spread::MOST);
        assert_eq!(Spread::new().third(3), Spread::MOST);
    }

    #[test]
    fn what_is_far_out_is_counted() {
        let mut spread = Spread::new();
        for latency in [0.0, 1e-9, 1e9, f64::INFINITY] {
            spread.add(latency);
        }
        assert!((spread.third(6) - 5e-10).abs() < 1e-12);
        assert_eq!(spread.third(9), Spread::MOST);
    }
}
