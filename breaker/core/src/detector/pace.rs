//! How fast evidence decays. This depends on how often requests arrive.
//!
//! Evidence must outlast the usual gap between two requests. Otherwise a route with one request
//! every five minutes could never gather any. But evidence must not outlast a silence. So its
//! half-life is a minute or ten usual gaps, whichever is longer, and at most an hour. The usual gap
//! is the median of the last gaps before the one over which the evidence decays. So one long
//! silence among them changes nothing, and the median follows a change of the request rate within a
//! few requests.

use std::time::Duration;

use crate::time::Timestamp;

/// The last gaps between arrivals. Requests within a second of each other are one arrival.
///
/// A silence of any length does not change it. The silence is one gap, which counts only from the
/// next observation on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    last: Timestamp,
    /// An observation from this time on is another arrival.
    due: Timestamp,
    /// In seconds. A known gap is at least one second. The next gap is written at `next`.
    gaps: [u32; GAPS],
    next: usize,
}

impl Pace {
    /// The time of the last arrival.
    pub(crate) const fn last(&self) -> Timestamp {
        self.last
    }

    /// Whether an observation at `at` is another arrival.
    pub(crate) fn turns(&self, at: Timestamp) -> bool {
        at >= self.due
    }

    /// Notes an arrival at `at`; call it if [`Self::turns`].
    #[cold]
    pub(crate) fn turn(&mut self, at: Timestamp) {
        if self.due > Timestamp::ZERO {
            let gap = at.saturating_since(self.last).as_secs();
            self.gaps[self.next] = u32::try_from(gap).unwrap_or(u32::MAX);
            self.next = (self.next + 1) % GAPS;
        }
        self.last = at;
        self.due = at + ARRIVAL;
    }

    /// The part of the evidence that is left after this many nanoseconds.
    pub(crate) fn fading(&self, nanos: u64) -> f64 {
        (-(nanos as f64) / 1e9 / self.half_life()).exp2()
    }

    /// In seconds.
    fn half_life(&self) -> f64 {
        let mut gaps = self.gaps;
        let (_, median, _) = gaps.select_nth_unstable((GAPS - 1) / 2);
        (GAPS_OF_HALF_LIFE * f64::from(*median)).clamp(LEAST, MOST)
    }
}

const GAPS: usize = 8;
const ARRIVAL: Duration = Duration::from_secs(1);
const GAPS_OF_HALF_LIFE: f64 = 10.0;
/// In seconds.
const LEAST: f64 = 60.0;
/// In seconds. After a day, no evidence is left.
const MOST: f64 = 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(gaps: &[u64]) -> Pace {
        let mut pace = Pace::default();
        let mut now = 1;
        pace.turn(Timestamp::from_millis(1000));
        for gap in gaps {
            now += gap;
            pace.turn(Timestamp::from_millis(now * 1000));
        }
        pace
    }

    #[test]
    fn the_half_life_is_ten_usual_gaps_of_a_minute_to_an_hour() {
        assert_eq!(pace(&[]).half_life(), 60.0);
        assert_eq!(pace(&[1; 20]).half_life(), 60.0);
        assert_eq!(pace(&[70; 8]).half_life(), 700.0);
        assert_eq!(pace(&[300; 8]).half_life(), 3000.0);
        assert_eq!(pace(&[86_400; 8]).half_life(), 3600.0);
    }

    #[test]
    fn a_silence_or_two_stretch_nothing() {
        assert_eq!(pace(&[1, 1, 1, 1, 1, 1, 259_200]).half_life(), 60.0);
        assert_eq!(
            pace(&[70, 70, 70, 70, 70, 70, 70, 259_200]).half_life(),
            700.0
        );
        assert_eq!(pace(&[57_600; 3]).half_life(), 60.0);
    }
}
