//! Recovery: the open time with its back-off, the probes, the ramp.

use std::time::Duration;

use crate::ratio::Ratio;
use crate::rng::Rng;

/// How long the breaker stays open: `period × factor^n`, capped at `max`, ± `jitter`; `n` counts
/// failed recoveries.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by users of the builder"
)]
pub struct Open {
    /// `open.for`: the first open time, 10 ms..=1 h. Default 10 s.
    pub period: Duration,
    /// Each failed recovery multiplies the open time by this, 1..=10. Default 2.
    pub factor: f64,
    /// The longest open time, before jitter, `period`..=24 h. Default 5 min.
    pub max: Duration,
    /// The open time is made longer or shorter at random by up to this share. Default 20 %.
    pub jitter: Ratio,
}

/// How the half-open state and the ramp are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recovery {
    /// By counts: a share of the probes must succeed, then the ramp takes a fixed time.
    #[default]
    Counted,
    /// By a sequential test: probes until the evidence suffices, then a ramp that follows the
    /// outcomes of its requests. The open time follows the traffic: as long as 40 requests take to
    /// arrive, but at least 5 s, at most `open.max`, and less after a first trip.
    Sequential,
}

/// The half-open state after the open time: a few probes decide whether more requests are admitted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by users of the builder"
)]
pub struct HalfOpen {
    /// How many probe outcomes decide, 1..=1000. Default 5.
    pub probes: u32,
    /// How many probes may be in flight at once, 1..=`probes`. Default 3.
    pub concurrent: u32,
    /// The share of probes that must succeed. Default 80 %.
    pub success: Ratio,
    /// A probe without an answer after this time has failed, and frees its slot; 10 ms..=1 h.
    /// Default 5 s.
    pub probe_timeout: Duration,
}

/// How traffic returns after good probes: the admitted share grows linearly from `start` to 100 %.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by users of the builder"
)]
pub struct Ramp {
    /// The share admitted at the start, 1 %..=100 %. Default 10 %.
    pub start: Ratio,
    /// `ramp.for`: the duration of the ramp, 0..=1 h; zero closes at once. Default 10 s.
    pub period: Duration,
}

impl Open {
    /// The open time after `failed_recoveries`, before jitter.
    pub fn backed_off(&self, failed_recoveries: u32) -> Duration {
        let exponent = i32::try_from(failed_recoveries).unwrap_or(i32::MAX);
        let seconds = self.period.as_secs_f64() * self.factor.powi(exponent);
        Duration::from_secs_f64(seconds.min(self.max.as_secs_f64()))
    }

    /// The open time of [`Recovery::Sequential`] before jitter, at `rate` arrivals a second.
    pub(crate) fn for_traffic(&self, rate: f64, failed_recoveries: u32) -> Duration {
        let most = self.max.as_secs_f64();
        // At no traffic the quotient is infinite, which the bound takes in.
        let traffic = (ARRIVALS / rate).max(LEAST_OPEN).min(most);
        self.backed_off(failed_recoveries)
            .min(Duration::from_secs_f64(traffic))
    }

    /// The longest that jitter makes of an open time.
    pub(crate) fn longest(&self, open_time: Duration) -> Duration {
        open_time.mul_f64(1.0 + self.jitter.get())
    }

    pub(crate) fn jittered(&self, open_time: Duration, rng: &mut Rng) -> Duration {
        open_time.mul_f64(1.0 + self.jitter.get() * rng.symmetric())
    }
}

impl HalfOpen {
    /// How many of the probes must succeed.
    pub fn needed(&self) -> u32 {
        // 80 % of 5 is 4 and not 5, whatever binary fractions make of it.
        ((f64::from(self.probes) * self.success.get() - 1e-9).ceil() as u32).max(1)
    }
}

impl Ramp {
    /// The share to admit `elapsed` after the start of the ramp.
    pub(crate) fn share(&self, elapsed: Duration) -> Ratio {
        if elapsed >= self.period {
            return Ratio::ONE;
        }
        let done = elapsed.as_secs_f64() / self.period.as_secs_f64();
        let start = self.start.get();
        Ratio::new(start + (1.0 - start) * done).unwrap_or(Ratio::ONE)
    }
}

impl Default for Open {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(10),
            factor: 2.0,
            max: Duration::from_secs(300),
            jitter: Ratio::of(20, 100),
        }
    }
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self {
            probes: 5,
            concurrent: 3,
            success: Ratio::of(80, 100),
            probe_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            start: Ratio::of(10, 100),
            period: Duration::from_secs(10),
        }
    }
}

/// How many requests a sequential recovery lets pass before it tries again, and for how many
/// seconds it waits at least.
const ARRIVALS: f64 = 40.0;
const LEAST_OPEN: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_time_grows_by_the_factor_up_to_the_cap() {
        let open = Open::default();
        let times: Vec<_> = (0..7).map(|n| open.backed_off(n).as_secs()).collect();
        assert_eq!(times, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(open.backed_off(u32::MAX), open.max);
    }

    #[test]
    fn a_sequential_recovery_waits_for_forty_requests() {
        let open = Open {
            period: Duration::from_secs(1),
            max: Duration::from_secs(60),
            ..Open::default()
        };
        let after = |rate, failed| open.for_traffic(rate, failed).as_secs_f64();
        assert_eq!(
            [after(100.0, 0), after(100.0, 2), after(100.0, 9)],
            [1.0, 4.0, 5.0]
        );
        assert_eq!(
            [after(2.0, 9), after(0.1, 9), after(0.0, 9)],
            [20.0, 60.0, 60.0]
        );
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let open = Open::default();
        let mut rng = Rng::new(7);
        let times: Vec<f64> = (0..1000)
            .map(|_| open.jittered(open.period, &mut rng).as_secs_f64())
            .collect();
        assert!(times.iter().all(|time| (8.0..=12.0).contains(time)));
        assert!(times.iter().any(|time| *time < 8.5) && times.iter().any(|time| *time > 11.5));
    }

    #[test]
    fn four_of_five_probes_are_eighty_per_cent() {
        assert_eq!(HalfOpen::default().needed(), 4);
    }

    #[test]
    fn the_ramp_grows_evenly_from_start_to_all() {
        let ramp = Ramp::default();
        let share = |seconds| ramp.share(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [share(0), share(5), share(10), share(60)],
            ["10%", "55%", "100%", "100%"]
        );
    }
}
