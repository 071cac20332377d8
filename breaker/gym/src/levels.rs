//! What a service was like for some minutes, as a metrics store keeps it: a rate, the share of
//! failures, and quantiles of the latency.

/// The levels of one row of metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Levels {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The share of requests that fail.
    pub(crate) errors: f64,
    /// The latencies in seconds that half of the requests, nine in ten, … do not exceed. An unknown
    /// one is between its neighbours.
    pub(crate) p50: f64,
    /// See `p50`.
    pub(crate) p90: Option<f64>,
    /// See `p50`.
    pub(crate) p95: f64,
    /// See `p50`.
    pub(crate) p99: f64,
}

impl Levels {
    /// The latency in seconds that the share `luck` of the requests does not exceed: between the
    /// quantiles the logarithm is linear. The fastest take a tenth of the median, the slowest a
    /// half more than the highest quantile.
    pub(crate) fn latency(&self, luck: f64) -> f64 {
        let known = [
            Some((0.0, 0.1 * self.p50)),
            Some((0.5, self.p50)),
            self.p90.map(|latency| (0.9, latency)),
            Some((0.95, self.p95)),
            Some((0.99, self.p99)),
            Some((1.0, 1.5 * self.p99)),
        ];
        let mut below = (0.0, 0.1 * self.p50);
        for above in known.into_iter().flatten() {
            if luck < above.0 {
                let part = (luck - below.0) / (above.0 - below.0);
                return below.1 * (above.1 / below.1).powf(part);
            }
            below = above;
        }
        below.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_pass_through_the_quantiles_and_rise() {
        let levels = Levels {
            rate: 2.0,
            errors: 0.0,
            p50: 0.05,
            p90: Some(0.25),
            p95: 0.3,
            p99: 0.4,
        };
        let near = |luck, wanted: f64| (levels.latency(luck) - wanted).abs() < 1e-9;
        assert!(near(0.5, 0.05) && near(0.9, 0.25) && near(0.95, 0.3) && near(0.99, 0.4));
        assert!(near(0.0, 0.005) && near(1.0, 0.6));
        let steps: Vec<_> = (0..=1000)
            .map(|step| levels.latency(f64::from(step) / 1000.0))
            .collect();
        assert!(steps.is_sorted(), "{steps:?}");

        let without = Levels {
            p90: None,
            ..levels
        };
        assert!((0.05..0.3).contains(&without.latency(0.9)));
    }
}
