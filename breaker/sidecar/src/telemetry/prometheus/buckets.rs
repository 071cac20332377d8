//! Classic buckets of an exponential histogram, exactly.
//!
//! A boundary of an exponential histogram of scale `s` is `2^(i / 2^s)`: every power of two is one
//! at every scale from 0 on, however the histogram rescaled itself. So the classic bounds are
//! powers of two, and no count is guessed. Durations that a clock in nanoseconds can tell span
//! fewer than 64 doublings, and 160 buckets hold those at scale 1.

use std::ops::RangeInclusive;

use opentelemetry_sdk::metrics::data::ExponentialHistogramDataPoint;

/// For each bound but the infinite one: how many values are at most as large.
pub(super) fn cumulative<T>(
    point: &ExponentialHistogramDataPoint<T>,
) -> impl Iterator<Item = (f64, u64)> {
    let scale = point.scale();
    let positive = point.positive_bucket();
    let mut counts = (i64::from(positive.offset())..)
        .zip(positive.counts())
        .peekable();
    // No duration is negative, and one of zero is below every bound.
    let mut total = point.zero_count();
    EXPONENTS.map(move |exponent| {
        let end = scaled(exponent, scale);
        while let Some((_, count)) = counts.next_if(|(index, _)| *index < end) {
            total += count;
        }
        (f64::from(exponent).exp2(), total)
    })
}

/// The bounds themselves, but for the infinite one.
pub(super) fn bounds() -> impl Iterator<Item = f64> {
    EXPONENTS.map(|exponent| f64::from(exponent).exp2())
}

/// The first index whose bucket lies above `2^exponent`. (Bucket `i` ends at boundary `i + 1`, and
/// includes it.)
fn scaled(exponent: i32, scale: i8) -> i64 {
    let exponent = i64::from(exponent);
    if scale >= 0 {
        exponent << scale
    } else {
        exponent >> -scale
    }
}

/// 122 µs to 64 s.
const EXPONENTS: RangeInclusive<i32> = -13..=6;
