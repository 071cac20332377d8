//! What each point of a histogram adds to the one before it.
//!
//! A cumulative point repeats all samples since its start. So the new samples are a difference, and
//! the last point of each series must be known. [`SeriesTable`] stores these points in bounded
//! memory, and turns points into latencies. Times are arguments, in nanoseconds since 1970.

mod identity;
mod latency;
mod snapshot;

use std::time::Duration;

use lru::LruCache;

use self::identity::Identity;
pub use self::identity::ScopeId;
pub use self::latency::Unit;
use self::snapshot::{Mismatch, Snapshot};
use crate::{Attributes, HistogramPoint, Temporality};

/// Limits of the table's memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum of series; 10,000 by default. At the limit, a series that was silent for `stale`
    /// is replaced by a new one. If there is none, the new one is refused, so that a flood of new
    /// series does not displace the old ones.
    pub series: usize,
    /// The maximum of buckets in a point; 1,024 by default.
    pub buckets: usize,
    /// The maximum of buckets of all cumulative series together, of 8 bytes each; 2,097,152 (16
    /// MiB) by default.
    pub total_buckets: usize,
    /// A series is removed after this time without a point; an hour by default.
    pub idle: Duration,
    /// A series may be replaced by a new one after this time without a point; 5 minutes by default.
    pub stale: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series: 10_000,
            buckets: 1_024,
            total_buckets: 1 << 21,
            idle: Duration::from_secs(60 * 60),
            stale: Duration::from_secs(5 * 60),
        }
    }
}

/// The last point of each series.
#[derive(Debug)]
pub struct SeriesTable {
    limits: Limits,
    identity: Identity,
    series: LruCache<u128, Series>,
    /// The buckets of all cumulative series.
    buckets: usize,
    /// No series that was forgotten has counted anything later than this, nor anything that was
    /// sent before we began: what starts later is new to us, and counts whole.
    horizon: u64,
    evicted: u64,
    refused: u64,
    // Kept for their memory only.
    loaded: Snapshot,
    added: Snapshot,
    latencies: Vec<(Duration, u64)>,
}

#[derive(Debug)]
struct Series {
    /// When a point came, by our clock.
    seen: u64,
    /// The time of the last point, by the sender's clock.
    time: u64,
    last: Last,
}

#[derive(Debug)]
enum Last {
    Cumulative(Snapshot),
    /// Start and time of the last points.
    Delta([(u64, u64); DELTAS]),
}

/// What a point adds.
#[derive(Clone, Copy, Debug)]
pub struct Increase<'a> {
    since: u64,
    until: u64,
    latencies: &'a [(Duration, u64)],
}

/// Why a point adds nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[non_exhaustive]
pub enum Skipped {
    /// Its time is more than five minutes in the future.
    #[error("a time in the future")]
    Ahead,
    /// It is the first point of a series that began before it was watched, or the first with
    /// different buckets. Nothing shows which of its samples are new. This is normal.
    #[error("the first point of a series that has begun earlier")]
    Baseline,
    /// It has neither buckets nor a sum, so it has no latencies.
    #[error("neither buckets nor a sum")]
    NoBuckets,
    /// It says that there is no value.
    #[error("no recorded value")]
    NoValue,
    /// It is a duplicate of an earlier point, or older than the last one.
    #[error("a duplicate or out of order")]
    NotNewer,
    /// Its series is new, and the maximum of series is reached.
    #[error("too many series")]
    Refused,
    /// It is neither delta nor cumulative.
    #[error("unknown temporality")]
    Temporality,
    /// It has too many buckets.
    #[error("too many buckets")]
    TooManyBuckets,
    /// Its unit is not a unit of time, or unknown.
    #[error("unknown unit")]
    Unit,
}

// === impl SeriesTable ===

impl SeriesTable {
    /// An empty table, created at `now`.
    pub fn new(limits: Limits, now: u64) -> Self {
        Self {
            limits,
            identity: Identity::random(),
            series: LruCache::unbounded(),
            buckets: 0,
            horizon: now,
            evicted: 0,
            refused: 0,
            loaded: Snapshot::default(),
            added: Snapshot::default(),
            latencies: Vec::new(),
        }
    }

    /// The identity that the points of one resource share.
    pub fn resource(&self, resource: Attributes<'_>) -> ScopeId {
        self.identity.resource(resource)
    }

    /// The identity that the points of one scope of a resource share.
    pub fn scope(&self, resource: ScopeId, name: &str, version: &str) -> ScopeId {
        self.identity.scope(resource, name, version)
    }

    /// What a point adds to its series. The point is stored as the last one.
    ///
    /// * delta: all samples, but not twice.
    /// * cumulative: the samples since the last point. All samples count if a count went down,
    ///   because then counting has restarted; and if it is the first point of a series that started
    ///   after this table. A point with a different start belongs to a different series.
    ///
    /// # Errors
    ///
    /// [`Skipped`] gives the reason if it adds nothing.
    pub fn apply(
        &mut self,
        origin: ScopeId,
        point: &HistogramPoint<'_>,
        now: u64,
    ) -> Result<Increase<'_>, Skipped> {
        self.expire(now);
        if point.no_recorded_value {
            return Err(Skipped::NoValue);
        }
        if point.time > now.saturating_add(AHEAD) {
            return Err(Skipped::Ahead);
        }
        let unit = Unit::of(point.unit, point.name).ok_or(Skipped::Unit)?;
        let loaded = self.loaded.load(point, &self.identity, self.limits.buckets);
        if !loaded {
            return Err(Skipped::TooManyBuckets);
        }
        let key = self.identity.series(origin, point);
        self.added.copy_from(&self.loaded);
        let since = match point.temporality {
            Temporality::Delta => self.add_delta(key, point, now)?,
            Temporality::Cumulative => self.add_cumulative(key, point, now)?,
            Temporality::Unspecified => return Err(Skipped::Temporality),
        };
        if !self.added.latencies(point, unit, &mut self.latencies) {
            return Err(Skipped::NoBuckets);
        }
        Ok(Increase {
            since,
            until: point.time,
            latencies: &self.latencies,
        })
    }

    /// Removes the series that have been silent for [`Limits::idle`]. Each point does the same.
    pub fn expire(&mut self, now: u64) {
        while self.oldest_is_silent_for(self.limits.idle, now) {
            self.evict(now);
        }
    }

    /// The number of known series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether no series is known.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// How many series have been removed.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many points have been refused because the maximum of series was reached.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn add_delta(
        &mut self,
        key: u128,
        point: &HistogramPoint<'_>,
        now: u64,
    ) -> Result<u64, Skipped> {
        let this = (point.start, point.time);
        if let Some(series) = self.series.get_mut(&key)
            && let Last::Delta(last) = &mut series.last
        {
            series.seen = now;
            if last.contains(&this) {
                return Err(Skipped::NotNewer);
            }
            last.rotate_right(1);
            last[0] = this;
            series.time = series.time.max(point.time);
        } else {
            self.make_room(0, point, now)?;
            // No point has the time 0.
            let mut last = [(0, 0); DELTAS];
            last[0] = this;
            self.insert(key, point.time, Last::Delta(last), now);
        }
        Ok(point.start)
    }

    fn add_cumulative(
        &mut self,
        key: u128,
        point: &HistogramPoint<'_>,
        now: u64,
    ) -> Result<u64, Skipped> {
        let buckets = self.loaded.buckets();
        if let Some(series) = self.series.get_mut(&key)
            && let Last::Cumulative(last) = &mut series.last
        {
            series.seen = now;
            if point.time <= series.time {
                return Err(Skipped::NotNewer);
            }
            let before = last.buckets();
            let rest = self.buckets - before;
            if rest + buckets > self.limits.total_buckets {
                self.series.pop(&key);
                self.buckets = rest;
                return Err(self.refuse(point, now));
            }
            let since = series.time;
            let subtracted = self.added.subtract(last);
            last.copy_from(&self.loaded);
            series.time = point.time;
            self.buckets = rest + buckets;
            return match subtracted {
                Ok(()) => Ok(since),
                Err(Mismatch::Lower) => {
                    self.added.copy_from(&self.loaded);
                    Ok(since)
                }
                // The counts have not gone down, so most of these samples have been seen in the old
                // buckets.
                Err(Mismatch::Layout) => Err(Skipped::Baseline),
            };
        }
        let whole = point.start > self.horizon;
        self.make_room(buckets, point, now)?;
        let mut last = Snapshot::default();
        last.copy_from(&self.loaded);
        self.insert(key, point.time, Last::Cumulative(last), now);
        if whole {
            Ok(point.start)
        } else {
            Err(Skipped::Baseline)
        }
    }

    fn insert(&mut self, key: u128, time: u64, last: Last, now: u64) {
        self.buckets += last.buckets();
        let series = Series {
            seen: now,
            time,
            last,
        };
        if let Some(replaced) = self.series.put(key, series) {
            self.buckets -= replaced.last.buckets();
        }
    }

    /// Makes room for one more series with so many buckets.
    fn make_room(
        &mut self,
        buckets: usize,
        point: &HistogramPoint<'_>,
        now: u64,
    ) -> Result<(), Skipped> {
        while self.series.len() >= self.limits.series
            || self.buckets + buckets > self.limits.total_buckets
        {
            if !self.oldest_is_silent_for(self.limits.stale, now) {
                return Err(self.refuse(point, now));
            }
            self.evict(now);
        }
        Ok(())
    }

    fn oldest_is_silent_for(&self, time: Duration, now: u64) -> bool {
        self.series.peek_lru().is_some_and(|(_, series)| {
            u128::from(now.saturating_sub(series.seen)) >= time.as_nanos()
        })
    }

    fn evict(&mut self, now: u64) {
        if let Some((_, series)) = self.series.pop_lru() {
            self.buckets -= series.last.buckets();
            self.evicted += 1;
            if matches!(series.last, Last::Cumulative(_)) {
                // A sender's clock that is wrong must not make all that is new look old.
                self.horizon = self.horizon.max(series.time.min(now));
            }
        }
    }

    fn refuse(&mut self, point: &HistogramPoint<'_>, now: u64) -> Skipped {
        self.refused += 1;
        self.horizon = self.horizon.max(point.time.min(now));
        Skipped::Refused
    }
}

// === impl Last ===

impl Last {
    const fn buckets(&self) -> usize {
        match self {
            Self::Cumulative(last) => last.buckets(),
            Self::Delta(_) => 0,
        }
    }
}

// === impl Increase ===

impl<'a> Increase<'a> {
    /// Each latency, with its number of samples.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, u64)> + use<'a> {
        self.latencies.iter().copied()
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.iter().map(|(_, samples)| samples).sum()
    }

    /// The earliest possible time of a sample, in nanoseconds since 1970; 0 if unknown.
    pub const fn since(&self) -> u64 {
        self.since
    }

    /// The latest possible time of a sample, in nanoseconds since 1970.
    pub const fn until(&self) -> u64 {
        self.until
    }
}

/// How many delta points of a series are remembered to know a duplicate: exporters retry the last
/// one, and a few processes may say that they are one.
const DELTAS: usize = 4;
/// How far a sender's clock may be ahead, in nanoseconds: a point from far in the future would make
/// all that follow late.
const AHEAD: u64 = 5 * 60 * 1_000_000_000;

#[cfg(test)]
mod tests;
