//! Virtual time: nanoseconds since the run began.

/// A point in virtual time or a span of it, in nanoseconds.
pub(crate) type Nanos = u64;

/// A millisecond.
pub(crate) const MILLI: Nanos = 1_000_000;
/// A second.
pub(crate) const SECOND: Nanos = 1_000_000_000;
/// A day.
pub(crate) const DAY: Nanos = 86_400 * SECOND;
/// Later than any run ends.
pub(crate) const NEVER: Nanos = Nanos::MAX;

/// Seconds as virtual time; negative ones are zero.
pub(crate) fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

/// Virtual time in seconds.
pub(crate) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// From when until when, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first moment.
    pub(crate) from: Nanos,
    /// The first moment after it.
    pub(crate) until: Nanos,
}

impl Span {
    /// A span between two times in seconds.
    pub(crate) fn of(from: f64, until: f64) -> Self {
        Self {
            from: nanos(from),
            until: nanos(until),
        }
    }

    /// Whether `at` lies in it.
    pub(crate) const fn contains(&self, at: Nanos) -> bool {
        self.from <= at && at < self.until
    }

    /// Its length.
    pub(crate) const fn length(&self) -> Nanos {
        self.until - self.from
    }
}
