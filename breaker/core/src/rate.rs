//! How many requests arrive, as an average that forgets.

use std::time::Duration;

use crate::time::Timestamp;

/// Arrivals a second, faded with a time constant of 30 s. Folded in once a second, because an
/// exponential at each arrival would be a good part of what an admission costs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ArrivalRate {
    rate: f64,
    second: u32,
    second_began: Timestamp,
    /// The most requests in flight in the live second, and that on average over the seconds that
    /// had any. In silence it stays.
    live_peak: u32,
    usual_peak: f32,
    /// Seconds that were folded in: a young average is divided by the weight it has.
    weight: f32,
}

impl ArrivalRate {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            second_began: now,
            ..Self::default()
        }
    }

    /// A rate that is known from elsewhere, in arrivals a second.
    pub(crate) fn of(rate: f64, now: Timestamp) -> Self {
        Self {
            rate,
            weight: 1.0,
            ..Self::new(now)
        }
    }

    pub(crate) fn arrive(&mut self, now: Timestamp) {
        self.fold(now);
        self.second = self.second.saturating_add(1);
    }

    /// So many are in flight, in a time in which nothing is wrong.
    pub(crate) fn in_flight(&mut self, requests: u64) {
        self.live_peak = self
            .live_peak
            .max(u32::try_from(requests).unwrap_or(u32::MAX));
    }

    /// How many requests are usually in flight at once, at most, in a second that has any.
    pub(crate) const fn usual_in_flight(&self) -> f64 {
        self.usual_peak as f64
    }

    /// Arrivals a second.
    pub(crate) fn get(&mut self, now: Timestamp) -> f64 {
        self.fold(now);
        if self.weight > 0.0 {
            self.rate / f64::from(self.weight)
        } else {
            f64::from(self.second)
        }
    }

    #[inline]
    fn fold(&mut self, now: Timestamp) {
        if now.as_nanos().saturating_sub(self.second_began.as_nanos()) >= SECOND {
            self.end_second(now);
        }
    }

    #[cold]
    fn end_second(&mut self, now: Timestamp) {
        let passed = now.saturating_since(self.second_began).as_secs();
        // The second that was live, then those without arrivals.
        let fading = FADING.powf(passed as f64);
        let first = FADING.powf((passed - 1) as f64);
        self.rate = self.rate * fading + (1.0 - FADING) * first * f64::from(self.second);
        if self.live_peak > 0 {
            let peak = self.live_peak as f32;
            self.usual_peak +=
                (peak - self.usual_peak) * if self.usual_peak > 0.0 { PEAKS } else { 1.0 };
            self.live_peak = 0;
        }
        self.weight = 1.0 - (1.0 - self.weight) * fading as f32;
        self.second = 0;
        self.second_began = self.second_began + Duration::from_secs(passed);
    }
}

/// The weight of a second in the usual peak: what an incident adds before it is noticed is little.
const PEAKS: f32 = 1.0 / 128.0;
const SECOND: u64 = 1_000_000_000;
/// Of a second: e^(−1/30).
const FADING: f64 = 0.967_216_100_5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_known_after_seconds_and_follows_within_a_minute_or_two() {
        let mut rate = ArrivalRate::new(Timestamp::ZERO);
        for millis in 0..5000 {
            rate.arrive(Timestamp::from_millis(millis));
        }
        assert!((rate.get(Timestamp::from_millis(5000)) - 1000.0).abs() < 1.0);
        let later = rate.get(Timestamp::from_millis(125_000));
        let expected = 1000.0 * (1.0 - (-5.0_f64 / 30.0).exp()) * (-4.0_f64).exp();
        assert!(
            (later / expected - 1.0).abs() < 0.05,
            "{later} of {expected}"
        );
        assert!(rate.get(Timestamp::from_nanos(u64::MAX)).abs() < 1e-9);
    }
}
