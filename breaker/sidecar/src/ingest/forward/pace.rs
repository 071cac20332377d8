//! When to try again.

use std::time::Duration;

use crate::ingest::settings::Retry;

/// Growing pauses.
#[derive(Debug)]
pub(super) struct Pace {
    retry: Retry,
    next: Duration,
}

impl Pace {
    pub(super) fn new(retry: &Retry) -> Self {
        Self {
            next: retry.first.min(retry.max),
            retry: retry.clone(),
        }
    }

    /// The next pause: grown, spread by `chance` (0 to 1), and not shorter than what the target
    /// `asked` for within reason.
    pub(super) fn pause(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let pause = self.next.mul_f64(0.5 + chance);
        self.next = self.next.mul_f64(GROWTH).min(self.retry.max);
        let asked = asked.unwrap_or_default().min(self.retry.give_up);
        pause.max(asked)
    }
}

const GROWTH: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(&Retry {
            first: Duration::from_secs(8),
            max: Duration::from_secs(15),
            give_up: Duration::from_secs(100),
        })
    }

    fn pauses(chance: f64) -> [f64; 4] {
        let mut pace = pace();
        [(); 4].map(|()| pace.pause(None, chance).as_secs_f64())
    }

    #[test]
    fn pauses_grow_by_half_up_to_their_bound_and_are_spread() {
        assert_eq!(pauses(0.5), [8.0, 12.0, 15.0, 15.0]);
        assert_eq!(pauses(0.0), [4.0, 6.0, 7.5, 7.5]);
        assert_eq!(pauses(1.0), [12.0, 18.0, 22.5, 22.5]);
    }

    #[test]
    fn a_target_can_ask_for_a_longer_pause_within_reason() {
        let asked = |seconds| {
            pace()
                .pause(Some(Duration::from_secs(seconds)), 0.5)
                .as_secs()
        };
        assert_eq!([asked(1), asked(40), asked(3600)], [8, 40, 100]);
    }
}
