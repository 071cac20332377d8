//! When to try again to reach the engine.

use std::time::Duration;

/// Growing pauses, spread so that a fleet does not come back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { most: FIRST }
    }
}

impl Backoff {
    /// The next pause; `chance` is 0 to 1.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        self.most = (self.most * 2).min(LONGEST);
        FIRST + (self.most - FIRST).mul_f64(chance)
    }
}

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_fifth_of_a_second_to_half_a_minute() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(0.0), FIRST);
        assert_eq!(backoff.pause(1.0), Duration::from_millis(800));
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause(1.0)).collect();
        assert_eq!(pauses.last(), Some(&LONGEST));
        assert_eq!(backoff.pause(0.0), FIRST);
    }
}
