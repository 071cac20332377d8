//! Which latency stands for the samples of a bucket.

use std::time::Duration;

/// The unit of a duration metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unit {
    /// `s`
    Seconds,
    /// `ms`
    Milliseconds,
    /// `us`
    Microseconds,
    /// `ns`
    Nanoseconds,
}

impl Unit {
    /// The metric's unit, or else the unit that its name implies. Durations of the old HTTP and RPC
    /// conventions are in milliseconds, those of the stable ones in seconds, and Prometheus appends
    /// the unit to the name. `None` if it is not a unit of time, or unknown.
    pub fn of(unit: &str, name: &str) -> Option<Self> {
        Some(match unit {
            "s" | "seconds" => Self::Seconds,
            "ms" | "milliseconds" => Self::Milliseconds,
            "us" | "µs" | "microseconds" => Self::Microseconds,
            "ns" | "nanoseconds" => Self::Nanoseconds,
            "" | "1" => return Self::of_name(name),
            _ => return None,
        })
    }

    fn of_name(name: &str) -> Option<Self> {
        match name {
            "http.server.duration"
            | "http.client.duration"
            | "rpc.server.duration"
            | "rpc.client.duration" => Some(Self::Milliseconds),
            "http.server.request.duration"
            | "http.client.request.duration"
            | "rpc.server.call.duration"
            | "rpc.client.call.duration"
            | "db.client.operation.duration" => Some(Self::Seconds),
            _ if name.ends_with("_milliseconds") => Some(Self::Milliseconds),
            _ if name.ends_with("_seconds") => Some(Self::Seconds),
            _ => None,
        }
    }

    /// `amount` in this unit as a duration; 0 if it is negative or not a number, and at most a day.
    pub fn duration(self, amount: f64) -> Duration {
        let nanos = match self {
            Self::Seconds => 1e9,
            Self::Milliseconds => 1e6,
            Self::Microseconds => 1e3,
            Self::Nanoseconds => 1.0,
        };
        // The conversion saturates, and makes 0 of what is no number.
        Duration::from_nanos((amount * nanos).round() as u64).min(LONGEST)
    }

    /// What stands for the samples above `lower` and at most `upper`, the bounds of an explicit
    /// bucket.
    ///
    /// Just above the lower bound, so that the share at or above a threshold on a bound is exact;
    /// half of the upper one where there is no lower, and nothing where there is neither.
    pub(super) fn of_bucket(self, lower: Option<f64>, upper: Option<f64>) -> Option<Duration> {
        match (lower, upper) {
            (Some(lower), None) => Some(self.duration(lower) + JUST),
            (Some(lower), Some(upper)) => {
                let (lower, upper) = (self.duration(lower), self.duration(upper));
                Some(lower + JUST.min(upper.saturating_sub(lower) / 2))
            }
            (None, Some(upper)) => Some(self.duration(upper / 2.0)),
            (None, None) => None,
        }
    }

    /// The geometric middle of an exponential bucket.
    pub(super) fn of_index(self, scale: i32, index: i64) -> Duration {
        self.duration(middle(scale, index))
    }
}

/// The geometric middle of (baseⁱ, baseⁱ⁺¹], the base being 2^(2^-scale).
pub(super) fn middle(scale: i32, index: i64) -> f64 {
    ((index as f64 + 0.5) * f64::from(-scale).exp2()).exp2()
}

const JUST: Duration = Duration::from_micros(1);
/// No window looks so far, and nothing that is added to it comes near an overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_what_is_said_or_what_the_conventions_say() {
        let cases = [
            ("s", "x", Some(Unit::Seconds)),
            (
                "ms",
                "http.server.request.duration",
                Some(Unit::Milliseconds),
            ),
            ("us", "x", Some(Unit::Microseconds)),
            ("ns", "x", Some(Unit::Nanoseconds)),
            ("", "http.server.duration", Some(Unit::Milliseconds)),
            ("", "http.client.duration", Some(Unit::Milliseconds)),
            ("", "rpc.server.duration", Some(Unit::Milliseconds)),
            ("", "http.server.request.duration", Some(Unit::Seconds)),
            (
                "",
                "http_server_request_duration_seconds",
                Some(Unit::Seconds),
            ),
            (
                "",
                "request_duration_milliseconds",
                Some(Unit::Milliseconds),
            ),
            ("", "queue.length", None),
            ("By", "http.server.duration", None),
        ];
        for (unit, name, expected) in cases {
            assert_eq!(Unit::of(unit, name), expected, "{unit} {name}");
        }
    }

    #[test]
    fn a_bucket_counts_at_or_above_a_threshold_on_its_lower_bound_and_below_one_on_its_upper() {
        for (unit, bounds) in [
            (Unit::Seconds, [0.005, 0.01, 0.025, 1.0, 2.5, 7.5]),
            (
                Unit::Milliseconds,
                [5.0, 10.0, 25.0, 1000.0, 2500.0, 7500.0],
            ),
        ] {
            let thresholds = [5, 10, 25, 1000, 2500, 7500].map(Duration::from_millis);
            for at in 0..5 {
                let latency = unit
                    .of_bucket(Some(bounds[at]), Some(bounds[at + 1]))
                    .unwrap();
                assert!(latency >= thresholds[at], "{unit:?} {at}");
                assert!(latency < thresholds[at + 1], "{unit:?} {at}");
            }
            assert!(unit.of_bucket(Some(bounds[5]), None).unwrap() >= thresholds[5]);
            assert_eq!(
                unit.of_bucket(None, Some(bounds[0])),
                Some(Duration::from_micros(2500))
            );
        }
    }

    #[test]
    fn a_bucket_narrower_than_a_microsecond_keeps_its_latency_inside() {
        let latency = Unit::Nanoseconds
            .of_bucket(Some(100.0), Some(200.0))
            .unwrap();
        assert_eq!(latency, Duration::from_nanos(150));
    }

    #[test]
    fn no_amount_is_too_big_or_too_odd() {
        for amount in [-1.0, f64::NEG_INFINITY, f64::NAN, 0.0] {
            assert_eq!(Unit::Seconds.duration(amount), Duration::ZERO);
        }
        for amount in [f64::INFINITY, f64::MAX, 1e300] {
            assert_eq!(Unit::Nanoseconds.duration(amount), LONGEST);
        }
        assert_eq!(Unit::Seconds.of_index(-10, i64::from(i32::MAX)), LONGEST);
        assert_eq!(
            Unit::Seconds.of_index(-10, i64::from(i32::MIN)),
            Duration::ZERO
        );
    }

    #[test]
    fn the_middle_of_an_exponential_bucket_is_geometric() {
        assert!((middle(0, 0) - 2_f64.sqrt()).abs() < 1e-12);
        assert!((middle(1, 2) - 2_f64.powf(1.25)).abs() < 1e-12);
        assert!((middle(-1, 0) - 2.0).abs() < 1e-12);
    }
}
