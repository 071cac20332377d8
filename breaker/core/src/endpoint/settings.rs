//! What an operator may set about endpoints.

use std::time::Duration;

use crate::field::InvalidField;
use crate::policy::{self, FalseAlarmBudget, Open, Ramp};
use crate::ratio::Ratio;

/// How endpoints are chosen and judged. Change the fields of the default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointSettings {
    /// How an endpoint is chosen. Default [`Balance::P2c`].
    pub balance: Balance,
    /// Whether an endpoint that is worse than the others is ejected. Default true.
    pub eject: bool,
    /// At most this share of the endpoints is out at once, rounded down; but one may be if there
    /// are two or more, and one always stays in. Default 50 %.
    pub max_ejected: Ratio,
    /// How rarely an endpoint is ejected that is no worse than the others. Default
    /// [`FalseAlarmBudget::ThirtyDays`].
    pub budget: FalseAlarmBudget,
    /// The latency from which on an attempt misses the deadline, 10 ms..=1 h. Default 1 s.
    pub deadline: Duration,
    /// How long an endpoint is out, and how long a panic lasts. Default 5 s, doubled up to 5 min,
    /// ± 20 %.
    pub open: Open,
    /// How many probes must succeed, one after the other, before the endpoint is in again,
    /// 1..=1000. Default 2.
    pub probes: u32,
    /// A probe without an answer after this time has failed, 10 ms..=1 h. Default 5 s.
    pub probe_timeout: Duration,
    /// How the share of an endpoint grows that is in again, or is new beside three others or more.
    /// Default 10 % to 100 % in 10 s.
    pub ramp: Ramp,
    /// Failed health checks in a row that take an endpoint out, 1..=1000. Default 3.
    pub unhealthy: u32,
    /// Good health checks in a row that let it in again, 1..=1000. Default 2.
    pub healthy: u32,
    /// The latency of an endpoint while nothing is known of any, 1 µs..=1 h. Default 30 ms.
    pub default_latency: Duration,
    /// After this time e⁻¹ is left of an endpoint's latency and of its penalties, 1 ms..=1 h.
    /// Default 10 s.
    pub decay: Duration,
}

/// How an endpoint is chosen among those that are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Balance {
    /// The one with less load of two that are drawn by weight ("power of two choices", Mitzenmacher
    /// 2001).
    #[default]
    P2c,
    /// In turn, by weight.
    RoundRobin,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            eject: true,
            max_ejected: Ratio::of(50, 100),
            budget: FalseAlarmBudget::default(),
            deadline: Duration::from_secs(1),
            open: Open {
                period: Duration::from_secs(5),
                ..Open::default()
            },
            probes: 2,
            probe_timeout: Duration::from_secs(5),
            ramp: Ramp::default(),
            unhealthy: 3,
            healthy: 2,
            default_latency: Duration::from_millis(30),
            decay: Duration::from_secs(10),
        }
    }
}

impl EndpointSettings {
    /// # Errors
    /// The first field that is out of its range, with the rule.
    pub fn validate(&self) -> Result<(), InvalidField> {
        policy::check_open(self.open)?;
        policy::check_ramp(self.ramp)?;
        let millis = Duration::from_millis;
        let hour = Duration::from_secs(3600);
        within(self.deadline, millis(10), hour, "deadline", "10ms to 1h")?;
        within(
            self.probe_timeout,
            millis(10),
            hour,
            "probe_timeout",
            "10ms to 1h",
        )?;
        let micro = Duration::from_micros(1);
        within(
            self.default_latency,
            micro,
            hour,
            "default_latency",
            "1us to 1h",
        )?;
        within(self.decay, millis(1), hour, "decay", "1ms to 1h")?;
        within(self.probes, 1, 1000, "probes", "1 to 1000")?;
        within(self.unhealthy, 1, 1000, "unhealthy", "1 to 1000")?;
        within(self.healthy, 1, 1000, "healthy", "1 to 1000")
    }

    /// How many of so many endpoints may be out.
    pub(super) fn most_out(&self, endpoints: usize) -> usize {
        // 30 % of 10 is 3, whatever binary fractions make of it.
        let share = (endpoints as f64 * self.max_ejected.get() + 1e-9) as usize;
        share.max(1).min(endpoints.saturating_sub(1))
    }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    least: T,
    most: T,
    field: &str,
    range: &str,
) -> Result<(), InvalidField> {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err(InvalidField::new(field, format!("must be {range}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_the_rules_and_each_rule_is_told() {
        let default = EndpointSettings::default();
        assert_eq!(default.validate(), Ok(()));
        type Broken = (&'static str, fn(&mut EndpointSettings));
        let broken: [Broken; 9] = [
            ("open.factor", |s| s.open.factor = 0.5),
            ("ramp.for", |s| s.ramp.period = Duration::from_secs(7200)),
            ("deadline", |s| s.deadline = Duration::ZERO),
            ("probe_timeout", |s| s.probe_timeout = Duration::MAX),
            ("default_latency", |s| s.default_latency = Duration::ZERO),
            ("decay", |s| s.decay = Duration::ZERO),
            ("probes", |s| s.probes = 0),
            ("unhealthy", |s| s.unhealthy = 1001),
            ("healthy", |s| s.healthy = 0),
        ];
        for (field, breaks) in broken {
            let mut settings = default.clone();
            breaks(&mut settings);
            assert_eq!(settings.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn half_may_be_out_but_one_of_two_and_never_the_last() {
        let most = |share, endpoints| {
            let settings = EndpointSettings {
                max_ejected: Ratio::of(share, 100),
                ..EndpointSettings::default()
            };
            settings.most_out(endpoints)
        };
        let half: Vec<_> = (0..=6).map(|endpoints| most(50, endpoints)).collect();
        assert_eq!(half, [0, 0, 1, 1, 2, 2, 3]);
        assert_eq!([most(100, 1), most(100, 2), most(100, 10)], [0, 1, 9]);
        assert_eq!([most(0, 2), most(30, 10), most(10, 19)], [1, 3, 1]);
    }
}
