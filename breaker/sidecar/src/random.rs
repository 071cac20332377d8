//! Random numbers for jitter and names: not for secrets.

use std::hash::{BuildHasher, RandomState};

/// Random bits, from the seeds that the standard library draws for its hash maps.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// A random number, 0 to less than 1.
pub(crate) fn unit() -> f64 {
    // As many bits as a float has exactly.
    (bits() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_between_zero_and_one_and_differ() {
        let numbers: Vec<_> = (0..1000).map(|_| unit()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
