//! A share of a whole.

use std::fmt;

/// A number from 0 to 1: a share of requests. Displayed in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// The ratio 0.
    pub const ZERO: Self = Self(0.0);
    /// The ratio 1.
    pub const ONE: Self = Self(1.0);

    /// A ratio, or `None` if `value` is outside 0..=1 or not a number.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The share of `part` in `whole`; zero if `whole` is zero.
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            Self::ZERO
        } else {
            Self((part as f64 / whole as f64).min(1.0))
        }
    }

    /// The value, 0..=1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two decimals, without trailing zeros: 8 %, 12.5 %, 0.25 %.
        let hundredths = (self.0 * 10_000.0).round() / 100.0;
        write!(f, "{hundredths}%")
    }
}
