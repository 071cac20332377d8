//! Confidence intervals of a share after few observations.

/// The Wilson score interval at 95 % of a share, if there were `hits` among `observations`. It is
/// 0..=1 if there were no observations. Wilson, J. Am. Stat. Assoc. 22 (1927) 209: unlike the
/// normal interval, it is also good for shares near 0 and 1.
pub(crate) fn interval(hits: f64, observations: f64) -> (f64, f64) {
    interval_at(Z, hits, observations)
}

/// The same interval with bounds that are `z` standard deviations away.
pub(super) fn interval_at(z: f64, hits: f64, observations: f64) -> (f64, f64) {
    if observations <= 0.0 {
        return (0.0, 1.0);
    }
    let n = observations;
    let share = hits / n;
    let centre = share + z * z / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    let low = (centre - spread) / scale;
    let high = (centre + spread) / scale;
    (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0))
}

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_964;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_textbook() {
        // 10 of 10: 72.2 % to 100 %; 5 of 50: 4.3 % to 21.4 %.
        let rounded = |hits: f64, of: f64| {
            let (low, high) = interval(hits, of);
            ((low * 1000.0).round(), (high * 1000.0).round())
        };
        assert_eq!(rounded(10.0, 10.0), (722.0, 1000.0));
        assert_eq!(rounded(5.0, 50.0), (43.0, 214.0));
        assert_eq!(interval(0.0, 0.0), (0.0, 1.0));
    }
}
