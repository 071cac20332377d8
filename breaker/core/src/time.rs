//! Time as a plain number, so that a test, a replay and a live proxy are the same thing to the
//! breaker.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A point in monotonic time: nanoseconds since an origin of the caller's choosing.
///
/// The breaker compares timestamps and never asks where they come from. A driver maps its clock
/// once (see `breaker-tower`); a backtest builds them from recorded data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The caller's origin.
    pub const ZERO: Self = Self(0);

    /// A timestamp `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A timestamp `millis` milliseconds after the origin; saturates.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A timestamp `seconds` after the origin. Negative and not-a-number become the origin;
    /// saturates above.
    pub fn from_secs_f64(seconds: f64) -> Self {
        // A float-to-integer cast saturates, and takes NaN to zero.
        Self((seconds * 1e9) as u64)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the origin.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to `self`, or zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of representable time (584 years).
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// A duration in nanoseconds; saturates. Without 128 bits, as each request is measured several
/// times.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(duration.subsec_nanos() as u64)
}

/// Whole microseconds, rounded down, so that a latency below a bound does not reach it by rounding;
/// saturates.
pub(crate) const fn micros(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole.saturating_add(duration.subsec_micros() as u64)
}

/// The earlier of two times that there may be.
pub(crate) fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// After all times.
pub(crate) const NEVER: Timestamp = Timestamp(u64::MAX);

/// [`NEVER`] for no time, of which the least is found without a branch.
pub(crate) const fn or_never(time: Option<Timestamp>) -> Timestamp {
    match time {
        Some(time) => time,
        None => NEVER,
    }
}

/// A duration to the millisecond, for people.
pub(crate) struct ToMillis(pub(crate) Duration);

impl fmt::Display for ToMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_millis(self.0.as_millis() as u64))
    }
}
