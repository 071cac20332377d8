//! A share of a whole.

use std::fmt;

/// A number from 0 to 1: a share of requests. Shown in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing of it.
    pub const ZERO: Self = Self(0.0);
    /// All of it.
    pub const ONE: Self = Self(1.0);

    /// A ratio, or `None` when `value` lies outside 0..=1 or is not a number.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The share that `part` is of `whole`; zero of nothing is zero.
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
