//! Random numbers for jitter and names: not for secrets.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Random bits, from the seeds that the standard library draws for its hash maps.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// A random number, 0 to less than 1.
pub(crate) fn unit() -> f64 {
    // As many bits as a float has exactly.
    (bits() >> 11) as f64 / (1_u64 << 53) as f64
}

/// `time`, more or less by up to `share` of it: what begins together does not end together.
pub(crate) fn jittered(time: Duration, share: f64) -> Duration {
    time.mul_f64(1.0 - share + 2.0 * share * unit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jittered_times_are_within_their_share_and_differ() {
        let ages: Vec<_> = (0..200)
            .map(|_| jittered(Duration::from_secs(100), 0.1).as_secs_f64())
            .collect();
        assert!(ages.iter().all(|age| (90.0..=110.0).contains(age)));
        let least = ages.iter().copied().fold(200.0, f64::min);
        let most = ages.iter().copied().fold(0.0, f64::max);
        assert!(least < 95.0 && most > 105.0, "{least} to {most}");
    }

    #[test]
    fn numbers_are_between_zero_and_one_and_differ() {
        let numbers: Vec<_> = (0..1000).map(|_| unit()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
