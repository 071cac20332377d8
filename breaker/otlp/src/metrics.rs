//! Histogram points, read in an `ExportMetricsServiceRequest` in place.

mod numbers;
mod point;

pub use self::numbers::{Bounds, BucketCounts};
pub use self::point::{Buckets, HistogramPoint, Range, Rejection, Temporality};

use self::point::{Metric, read_explicit, read_exponential};
use super::attributes::Attributes;
use super::envelope::{self, Signal, embedded, text};
use super::wire::{Fields, Malformed};

/// Receives the contents of a request while it is read: a resource, its scopes, and after each
/// scope the points of its histograms.
pub trait MetricVisitor {
    /// Whether metrics of this resource are wanted.
    fn resource(&mut self, resource: Attributes<'_>) -> bool;
    /// Whether metrics of this scope are wanted; it belongs to the resource before it.
    fn scope(&mut self, name: &str, version: &str) -> bool;
    /// Whether the points of this histogram are wanted; it belongs to the scope before it. By
    /// default they are.
    fn metric(&mut self, _name: &str, _unit: &str) -> bool {
        true
    }
    /// A point of an explicit or exponential histogram, in the last resource and scope.
    fn histogram(&mut self, point: &HistogramPoint<'_>);
    /// A point that is left out because it is invalid. Does nothing by default.
    fn rejected_point(&mut self, _metric: &str, _reason: Rejection) {}
}

/// Reads an encoded `ExportMetricsServiceRequest` and passes the points of its histograms to
/// `visitor`. Gauges, sums and summaries are skipped.
///
/// Fields may come in any order. If a message that must not be repeated is repeated, the last one
/// counts. For unwanted parts, only the length is checked. The same holds for the contents of
/// single attributes and exemplars.
///
/// # Errors
///
/// [`Malformed`] if the bytes are not such a message. The visitor has received everything before
/// that point.
pub fn read_metrics(message: &[u8], visitor: &mut impl MetricVisitor) -> Result<(), Malformed> {
    envelope::read(message, &mut Histograms(visitor))
}

struct Histograms<'v, V>(&'v mut V);

impl<V: MetricVisitor> Signal for Histograms<'_, V> {
    fn resource(&mut self, resource: Attributes<'_>) -> bool {
        self.0.resource(resource)
    }

    fn scope(&mut self, name: &str, version: &str) -> bool {
        self.0.scope(name, version)
    }

    fn item(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let (mut name, mut unit) = ("", "");
        let mut data = None;
        for field in Fields::new(message) {
            match field? {
                (1, payload) => name = text(payload.bytes()?),
                (3, payload) => unit = text(payload.bytes()?),
                (number @ (5 | 7 | 9 | 10 | 11), payload) => {
                    data = Some((number, payload.bytes()?))
                }
                (2 | 12, payload) => drop(payload.bytes()?),
                _ => {}
            }
        }
        let (read, points): (Reader, _) = match data {
            Some((9, points)) => (read_explicit, points),
            Some((10, points)) => (read_exponential, points),
            _ => return Ok(()),
        };
        let temporality = read_temporality(points)?;
        if !self.0.metric(name, unit) {
            return Ok(());
        }
        let metric = Metric {
            name,
            unit,
            temporality,
        };
        for point in embedded(points, 1) {
            match read(point?, metric)? {
                Ok(point) => self.0.histogram(&point),
                Err(reason) => self.0.rejected_point(name, reason),
            }
        }
        Ok(())
    }
}

type Reader =
    for<'a> fn(&'a [u8], Metric<'a>) -> Result<Result<HistogramPoint<'a>, Rejection>, Malformed>;

/// The temporality of a `Histogram` or `ExponentialHistogram`: it may be sent after the points.
/// Checks the whole message on its way.
fn read_temporality(message: &[u8]) -> Result<Temporality, Malformed> {
    let mut temporality = 0;
    for field in Fields::new(message) {
        match field? {
            (1, payload) => drop(payload.bytes()?),
            (2, payload) => temporality = payload.int32()?,
            _ => {}
        }
    }
    Ok(match temporality {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    })
}

#[cfg(test)]
mod tests;
