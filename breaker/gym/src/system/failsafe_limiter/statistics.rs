//! The smoothing and the correlations of failsafe-go's adaptive limiter, as its sources have them.

use std::collections::VecDeque;

/// The median of the last five values; until there are so many, the last value.
#[derive(Debug, Default)]
pub(super) struct Median {
    values: VecDeque<f64>,
}

impl Median {
    pub(super) fn add(&mut self, value: f64) -> f64 {
        if self.values.len() == SMOOTHED {
            self.values.pop_front();
        }
        self.values.push_back(value);
        if self.values.len() < SMOOTHED {
            return value;
        }
        let mut sorted: Vec<_> = self.values.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted[SMOOTHED / 2]
    }
}

/// A moving average: of all values while it warms up, then exponentially weighted.
#[derive(Debug)]
pub(super) struct Average {
    factor: f64,
    count: u32,
    value: f64,
}

impl Average {
    pub(super) fn new(age: u32) -> Self {
        Self {
            factor: 2.0 / (f64::from(age) + 1.0),
            count: 0,
            value: 0.0,
        }
    }

    pub(super) fn add(&mut self, value: f64) -> f64 {
        let factor = if self.count < WARM_UP {
            self.count += 1;
            1.0 / f64::from(self.count)
        } else {
            self.factor
        };
        self.value += factor * (value - self.value);
        self.value
    }
}

/// The correlation of the last 50 pairs.
#[derive(Debug, Default)]
pub(super) struct Correlations {
    pairs: VecDeque<(f64, f64)>,
}

impl Correlations {
    /// Adds a pair. Says the coefficient of correlation, and the coefficient of variation of `y`;
    /// zero while they mean nothing.
    pub(super) fn add(&mut self, x: f64, y: f64) -> (f64, f64) {
        if self.pairs.len() == PAIRS {
            self.pairs.pop_front();
        }
        self.pairs.push_back((x, y));
        let n = self.pairs.len() as f64;
        if self.pairs.len() < WARM_UP as usize {
            return (0.0, 0.0);
        }
        let mean = |of: fn(&(f64, f64)) -> f64| self.pairs.iter().map(of).sum::<f64>() / n;
        let (mean_x, mean_y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let variance_x = (mean(|pair| pair.0 * pair.0) - mean_x * mean_x).max(0.0);
        let variance_y = (mean(|pair| pair.1 * pair.1) - mean_y * mean_y).max(0.0);
        let variation_x = variance_x.sqrt() / mean_x;
        let variation_y = variance_y.sqrt() / mean_y;
        if variation_x < MIN_VARIATION || variation_y < MIN_VARIATION {
            return (0.0, variation_y);
        }
        let covariance = mean(|pair| pair.0 * pair.1) - mean_x * mean_y;
        (
            covariance / (variance_x.sqrt() * variance_y.sqrt()),
            variation_y,
        )
    }
}

const SMOOTHED: usize = 5;
const WARM_UP: u32 = 10;
const PAIRS: usize = 50;
/// What varies less does not vary.
const MIN_VARIATION: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_ignores_one_outlier_and_an_average_follows_slowly() {
        let mut median = Median::default();
        let medians: Vec<_> = [1.0, 1.0, 9.0, 1.0, 1.0]
            .map(|value| median.add(value))
            .into();
        assert_eq!(medians, [1.0, 1.0, 9.0, 1.0, 1.0]);
        assert_eq!(median.add(9.0), 1.0);

        let mut average = Average::new(9);
        for _ in 0..10 {
            average.add(1.0);
        }
        assert!((average.add(2.0) - 1.2).abs() < 1e-12);
    }

    #[test]
    fn correlation_has_the_sign_of_the_trend() {
        let mut rising = Correlations::default();
        let mut falling = Correlations::default();
        let mut last = ((0.0, 0.0), (0.0, 0.0));
        for index in 1..=20 {
            let x = f64::from(index);
            last = (rising.add(x, 2.0 * x), falling.add(x, 100.0 - x));
        }
        assert!((last.0.0 - 1.0).abs() < 1e-9);
        assert!((last.1.0 + 1.0).abs() < 1e-9);
        assert_eq!(Correlations::default().add(1.0, 1.0), (0.0, 0.0));
    }
}
