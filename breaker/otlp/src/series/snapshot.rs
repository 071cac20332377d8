//! The counts of a point, and what one point has that an earlier one had not.

use std::time::Duration;

use super::identity::Identity;
use super::latency::{Unit, middle};
use crate::{Buckets, HistogramPoint};

/// The counts of one point.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    layout: Layout,
    counts: Vec<u64>,
    count: u64,
    sum: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    /// The hash of the bounds: the point that is compared brings the bounds themselves.
    Explicit(u128),
    Exponential {
        scale: i32,
        offset: i64,
        zero_count: u64,
        zero_threshold: f64,
    },
}

impl Default for Layout {
    fn default() -> Self {
        Self::Explicit(0)
    }
}

/// Why one point can't be taken from another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mismatch {
    /// A count is lower than it was: the counting has begun again.
    Lower,
    /// The buckets are others.
    Layout,
}

impl Snapshot {
    /// Reads a point over what was here, if it has at most `limit` buckets.
    pub(super) fn load(
        &mut self,
        point: &HistogramPoint<'_>,
        identity: &Identity,
        limit: usize,
    ) -> bool {
        self.counts.clear();
        (self.count, self.sum) = (point.count, point.sum);
        let counts = match point.buckets {
            Buckets::Explicit { bounds, counts } => {
                self.layout = Layout::Explicit(identity.bounds(bounds.iter()));
                counts
            }
            Buckets::Exponential {
                scale,
                zero_count,
                zero_threshold,
                positive,
            } => {
                self.layout = Layout::Exponential {
                    scale,
                    offset: positive.offset.into(),
                    zero_count,
                    zero_threshold,
                };
                positive.counts
            }
        };
        self.counts.extend(counts.iter().take(limit + 1));
        // One bucket that holds everything need not be sent.
        if self.counts.is_empty() && matches!(self.layout, Layout::Explicit(_)) {
            self.counts.push(point.count);
        }
        self.counts.len() <= limit
    }

    pub(super) const fn buckets(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.counts.clone_from(&other.counts);
        (self.layout, self.count, self.sum) = (other.layout, other.count, other.sum);
    }

    /// Takes away what was there before. Of two exponential points the finer one is made as coarse
    /// as the other. After an error nothing in here has a meaning.
    pub(super) fn subtract(&mut self, before: &mut Self) -> Result<(), Mismatch> {
        self.count = self
            .count
            .checked_sub(before.count)
            .ok_or(Mismatch::Lower)?;
        self.sum = self.sum.zip(before.sum).map(|(now, then)| now - then);
        let shift = match (self.layout, before.layout) {
            (Layout::Explicit(now), Layout::Explicit(then)) if now == then => 0,
            (Layout::Exponential { .. }, Layout::Exponential { .. }) => {
                self.coarsen_to(before);
                before.coarsen_to(self);
                self.subtract_zeros(before)?;
                before.offset() - self.offset()
            }
            _ => return Err(Mismatch::Layout),
        };
        for (at, &samples) in before.counts.iter().enumerate() {
            if samples > 0 {
                let count = usize::try_from(at as i64 + shift)
                    .ok()
                    .and_then(|at| self.counts.get_mut(at))
                    .ok_or(Mismatch::Lower)?;
                *count = count.checked_sub(samples).ok_or(Mismatch::Lower)?;
            }
        }
        Ok(())
    }

    const fn offset(&self) -> i64 {
        match self.layout {
            Layout::Explicit(_) => 0,
            Layout::Exponential { offset, .. } => offset,
        }
    }

    fn subtract_zeros(&mut self, before: &Self) -> Result<(), Mismatch> {
        if let (
            Layout::Exponential { zero_count, .. },
            Layout::Exponential {
                zero_count: then, ..
            },
        ) = (&mut self.layout, before.layout)
        {
            *zero_count = zero_count.checked_sub(then).ok_or(Mismatch::Lower)?;
        }
        Ok(())
    }

    /// Merges buckets until the scale is no finer and the zero bucket no narrower than the other's.
    fn coarsen_to(&mut self, other: &Self) {
        let Layout::Exponential {
            scale: coarse,
            zero_threshold: wide,
            ..
        } = other.layout
        else {
            return;
        };
        let Layout::Exponential {
            scale,
            offset,
            zero_count,
            zero_threshold,
        } = &mut self.layout
        else {
            return;
        };
        if *scale > coarse {
            let shift = *scale - coarse;
            let first = *offset >> shift;
            for at in 0..self.counts.len() {
                let samples = std::mem::take(&mut self.counts[at]);
                // Never behind `at`, and never before the first.
                let merged = ((*offset + at as i64) >> shift) - first;
                self.counts[merged as usize] += samples;
            }
            let last = (*offset + self.counts.len() as i64 - 1) >> shift;
            self.counts.truncate((last - first + 1) as usize);
            (*scale, *offset) = (coarse, first);
        }
        if *zero_threshold < wide {
            // Thresholds lie on bounds; comparing the middles does not depend on how those were
            // rounded.
            for (index, samples) in (*offset..).zip(&mut self.counts) {
                if middle(*scale, index) < wide {
                    *zero_count += std::mem::take(samples);
                }
            }
            *zero_threshold = wide;
        }
    }

    /// Writes each latency and how often it is in here; false if nothing tells what the latencies
    /// are. `point` is the one that was loaded.
    pub(super) fn latencies(
        &self,
        point: &HistogramPoint<'_>,
        unit: Unit,
        latencies: &mut Vec<(Duration, u64)>,
    ) -> bool {
        latencies.clear();
        match (self.layout, point.buckets) {
            (Layout::Explicit(_), Buckets::Explicit { bounds, .. }) => {
                let mut bounds = bounds.iter();
                let mut lower = None;
                for &samples in &self.counts {
                    let upper = bounds.next();
                    if samples > 0 {
                        let Some(latency) =
                            unit.of_bucket(lower, upper).or_else(|| self.mean(unit))
                        else {
                            return false;
                        };
                        latencies.push((latency, samples));
                    }
                    lower = upper;
                }
            }
            (
                Layout::Exponential {
                    scale,
                    offset,
                    zero_count,
                    zero_threshold,
                },
                _,
            ) => {
                if zero_count > 0 {
                    latencies.push((unit.duration(zero_threshold / 2.0), zero_count));
                }
                for (index, &samples) in (offset..).zip(&self.counts) {
                    if samples > 0 {
                        latencies.push((unit.of_index(scale, index), samples));
                    }
                }
            }
            (Layout::Explicit(_), Buckets::Exponential { .. }) => return false,
        }
        true
    }

    /// All that is known of samples in one bucket without bounds.
    fn mean(&self, unit: Unit) -> Option<Duration> {
        let sum = self.sum.filter(|&sum| sum >= 0.0)?;
        Some(unit.duration(sum / self.count as f64))
    }
}
