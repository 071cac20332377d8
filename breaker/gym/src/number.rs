//! How numbers stand in tables.

use crate::summary::Range;

/// Seconds with as many digits as mean something.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value < 0.995 => format!("{value:.2}"),
        Some(value) if value < 9.95 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// A median in seconds, and in brackets the least and the greatest where a seed is off it by more
/// than a tenth: one number would hide that a system has two ways to go.
pub(crate) fn timed(median: Option<f64>, (least, most): Range) -> String {
    let infinite = |time: Option<f64>| time.unwrap_or(f64::INFINITY);
    let (middle, low, high) = (infinite(median), infinite(least), infinite(most));
    let is_narrow = low == high || (low >= 0.9 * middle && high <= 1.1 * middle);
    match is_narrow {
        true => number(median),
        false => format!("{} ({}…{})", number(median), number(least), number(most)),
    }
}

/// A share in per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

/// A share in per cent of which a tenth matters.
pub(crate) fn fine_percent(share: f64) -> String {
    if share == 0.0 {
        "0".to_owned()
    } else {
        number(Some(share * 100.0))
    }
}

/// How often a day.
pub(crate) fn per_day(count: f64) -> String {
    if count == 0.0 {
        "0".to_owned()
    } else {
        number(Some(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let some = |time| (Some(time), Some(time));
        assert_eq!(timed(Some(3.0), some(3.0)), "3.0");
        assert_eq!(timed(Some(3.0), (Some(2.8), Some(3.2))), "3.0");
        assert_eq!(timed(Some(3.0), (Some(2.9), Some(5.14))), "3.0 (2.9…5.1)");
        assert_eq!(timed(Some(3.0), (Some(2.9), None)), "3.0 (2.9…–)");
        assert_eq!(timed(None, (Some(2.9), None)), "– (2.9…–)");
        assert_eq!(timed(None, (None, None)), "–");
        let numbers = [0.074, 1.53, 9.96, 236.4].map(|value| number(Some(value)));
        assert_eq!(numbers, ["0.07", "1.5", "10", "236"]);
        assert_eq!(number(None), "–");
        assert_eq!((per_day(0.0), per_day(0.3)), ("0".into(), "0.30".into()));
    }
}
