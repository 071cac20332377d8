//! One point of a histogram, and what is checked of it before anybody sees it.

use super::numbers::{Bounds, BucketCounts};
use crate::attributes::{Attributes, Extent};
use crate::wire::{Fields, Malformed};

/// A histogram point with validated buckets.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HistogramPoint<'a> {
    /// The name of the metric; empty if it is not UTF-8.
    pub name: &'a str,
    /// The unit of its bounds and its sum, as a UCUM symbol.
    pub unit: &'a str,
    /// The reference point of the counts.
    pub temporality: Temporality,
    /// The attributes that distinguish this series from others of the metric.
    pub attributes: Attributes<'a>,
    /// The start of counting, in nanoseconds since 1970; 0 if unknown. Never after `time`.
    pub start: u64,
    /// The end of counting, in nanoseconds since 1970; never 0.
    pub time: u64,
    /// The number of samples; the sum of all buckets.
    pub count: u64,
    /// The sum of all samples, if it was sent and is finite.
    pub sum: Option<f64>,
    /// Whether this point only says that there is no value, because the series has ended.
    pub no_recorded_value: bool,
    /// The distribution of the samples.
    pub buckets: Buckets<'a>,
}

/// The reference point of a point's counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the specification is closed here")]
pub enum Temporality {
    /// Not specified.
    Unspecified,
    /// The previous point.
    Delta,
    /// A fixed start.
    Cumulative,
}

/// The distribution of a point's samples.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Buckets<'a> {
    /// Buckets between bounds.
    #[non_exhaustive]
    Explicit {
        /// Finite and strictly ascending. A bucket ends with its upper bound: (-∞, b₀], (b₀, b₁], …
        /// (bₙ, ∞).
        bounds: Bounds<'a>,
        /// One more than there are bounds; or none at all and no bounds, for one bucket that holds
        /// everything.
        counts: BucketCounts<'a>,
    },
    /// Buckets between powers of a base.
    #[non_exhaustive]
    Exponential {
        /// The base is 2^(2^-scale); -10 to 20.
        scale: i32,
        /// How many samples are at most `zero_threshold`.
        zero_count: u64,
        /// Not negative, finite.
        zero_threshold: f64,
        /// The buckets above the threshold. Those of negative values have been found empty.
        positive: Range<'a>,
    },
}

/// A range of exponential buckets.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Range<'a> {
    /// The index of the first; bucket `i` is (baseⁱ, baseⁱ⁺¹].
    pub offset: i32,
    /// The counts from the first bucket on.
    pub counts: BucketCounts<'a>,
}

/// Why a point is left out.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A bound is not finite, or not greater than the one before it.
    #[error("bucket bounds are not finite and ascending")]
    Bounds,
    /// The number of buckets is not the number of bounds plus one, or the buckets do not add up to
    /// the count.
    #[error("bucket counts do not fit the bounds or the count")]
    BucketCounts,
    /// There are negative samples, which are impossible for durations.
    #[error("negative samples")]
    Negative,
    /// The specification does not allow the scale of the exponential buckets, or the zero threshold
    /// is negative or not a number.
    #[error("impossible scale or zero threshold of exponential buckets")]
    Scale,
    /// The time is missing, or before the start.
    #[error("no time, or a time before the start")]
    Time,
}

/// What the points of a metric have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) temporality: Temporality,
}

/// What explicit and exponential points have in common.
#[derive(Clone, Copy, Default)]
struct Common {
    start: u64,
    time: u64,
    count: u64,
    sum: Option<f64>,
    flags: u64,
}

impl Common {
    fn point<'a>(
        self,
        metric: Metric<'a>,
        attributes: Attributes<'a>,
        buckets: Buckets<'a>,
    ) -> Result<HistogramPoint<'a>, Rejection> {
        if self.time == 0 || self.start > self.time {
            return Err(Rejection::Time);
        }
        let sum = self.sum.filter(|sum| sum.is_finite());
        if sum.is_some_and(|sum| sum < 0.0) {
            return Err(Rejection::Negative);
        }
        Ok(HistogramPoint {
            name: metric.name,
            unit: metric.unit,
            temporality: metric.temporality,
            attributes,
            start: self.start,
            time: self.time,
            count: self.count,
            sum,
            no_recorded_value: self.flags & NO_RECORDED_VALUE != 0,
            buckets,
        })
    }
}

/// Reads a `HistogramDataPoint`.
pub(super) fn read_explicit<'a>(
    message: &'a [u8],
    metric: Metric<'a>,
) -> Result<Result<HistogramPoint<'a>, Rejection>, Malformed> {
    let mut common = Common::default();
    let (mut attributes, mut counts, mut bounds) = <(Extent, Extent, Extent)>::default();
    let mut fields = Fields::new(message);
    let mut before = 0;
    while let Some(field) = fields.next() {
        let after = message.len() - fields.left();
        match field? {
            (2, payload) => common.start = payload.fixed64()?,
            (3, payload) => common.time = payload.fixed64()?,
            (4, payload) => common.count = payload.fixed64()?,
            (5, payload) => common.sum = Some(payload.double()?),
            (6, _) => counts.add(before, after),
            (7, _) => bounds.add(before, after),
            (8, payload) => drop(payload.bytes()?),
            (9, payload) => {
                payload.bytes()?;
                attributes.add(before, after);
            }
            (10, payload) => common.flags = payload.varint()?,
            (11 | 12, payload) => drop(payload.double()?),
            _ => {}
        }
        before = after;
    }
    let counts = BucketCounts::fixed(counts.of(message), 6);
    let bounds = Bounds::new(bounds.of(message), 7);
    let checked = check_explicit(&bounds, &counts, common.count)?;
    let attributes = Attributes::new(attributes.of(message), 9);
    Ok(checked
        .and_then(|()| common.point(metric, attributes, Buckets::Explicit { bounds, counts })))
}

fn check_explicit(
    bounds: &Bounds<'_>,
    counts: &BucketCounts<'_>,
    count: u64,
) -> Result<Result<(), Rejection>, Malformed> {
    let (mut ascending, mut negative) = (true, false);
    let (mut bounded, mut last) = (0, f64::NEG_INFINITY);
    let mut tally = Tally::default();
    let mut counts = counts.try_iter();
    for bound in bounds.try_iter() {
        let bound = bound?;
        ascending &= bound.is_finite() && bound > last;
        (bounded, last) = (bounded + 1, bound);
        if let Some(samples) = counts.next().transpose()? {
            tally.add(samples);
            // Zero is no negative number; what is at most a negative bound is one.
            negative |= samples > 0 && bound < 0.0;
        }
    }
    for samples in counts {
        tally.add(samples?);
    }
    let unknown = bounded == 0 && tally.buckets == 0;
    let fits = tally.buckets == bounded + 1 && tally.total == Some(count);
    Ok(if !ascending {
        Err(Rejection::Bounds)
    } else if !unknown && !fits {
        Err(Rejection::BucketCounts)
    } else if negative {
        Err(Rejection::Negative)
    } else {
        Ok(())
    })
}

/// Reads an `ExponentialHistogramDataPoint`.
pub(super) fn read_exponential<'a>(
    message: &'a [u8],
    metric: Metric<'a>,
) -> Result<Result<HistogramPoint<'a>, Rejection>, Malformed> {
    let mut common = Common::default();
    let (mut scale, mut zero_count, mut zero_threshold) = (0, 0, 0.0);
    let (mut positive, mut negative) = (&[][..], &[][..]);
    let mut attributes = Extent::default();
    let mut fields = Fields::new(message);
    let mut before = 0;
    while let Some(field) = fields.next() {
        let after = message.len() - fields.left();
        match field? {
            (1, payload) => {
                payload.bytes()?;
                attributes.add(before, after);
            }
            (2, payload) => common.start = payload.fixed64()?,
            (3, payload) => common.time = payload.fixed64()?,
            (4, payload) => common.count = payload.fixed64()?,
            (5, payload) => common.sum = Some(payload.double()?),
            (6, payload) => scale = payload.sint32()?,
            (7, payload) => zero_count = payload.fixed64()?,
            (8, payload) => positive = payload.bytes()?,
            (9, payload) => negative = payload.bytes()?,
            (10, payload) => common.flags = payload.varint()?,
            (11, payload) => drop(payload.bytes()?),
            (12 | 13, payload) => drop(payload.double()?),
            (14, payload) => zero_threshold = payload.double()?,
            _ => {}
        }
        before = after;
    }
    let (positive, above) = read_range(positive)?;
    let (_, below) = read_range(negative)?;
    let positive_and_zero = above.and_then(|above| above.checked_add(zero_count));
    let buckets = Buckets::Exponential {
        scale,
        zero_count,
        zero_threshold,
        positive,
    };
    Ok(
        if !SCALES.contains(&scale) || !zero_threshold.is_finite() || zero_threshold < 0.0 {
            Err(Rejection::Scale)
        } else if below != Some(0) {
            Err(Rejection::Negative)
        } else if positive_and_zero != Some(common.count) {
            Err(Rejection::BucketCounts)
        } else {
            common.point(metric, Attributes::new(attributes.of(message), 1), buckets)
        },
    )
}

/// Reads `Buckets`, and how many samples are in them if that fits into 64 bits.
fn read_range(message: &[u8]) -> Result<(Range<'_>, Option<u64>), Malformed> {
    let mut offset = 0;
    for field in Fields::new(message) {
        if let (1, payload) = field? {
            offset = payload.sint32()?;
        }
    }
    let counts = BucketCounts::varint(message, 2);
    let mut tally = Tally::default();
    for samples in counts.try_iter() {
        tally.add(samples?);
    }
    Ok((Range { offset, counts }, tally.total))
}

/// What buckets add up to.
struct Tally {
    buckets: usize,
    /// Nothing where it does not fit into 64 bits.
    total: Option<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            buckets: 0,
            total: Some(0),
        }
    }
}

impl Tally {
    fn add(&mut self, samples: u64) {
        self.buckets += 1;
        self.total = self.total.and_then(|total| total.checked_add(samples));
    }
}

/// The bit of `flags` that says so.
const NO_RECORDED_VALUE: u64 = 1;
/// What the specification lets an exponential histogram's scale be.
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;
