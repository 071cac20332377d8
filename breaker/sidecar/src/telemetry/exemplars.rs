//! Exemplars: of each bucket of a latency histogram the trace that fell into it last.
//!
//! The SDK keeps none. Series are known by their labels, as the text of Prometheus writes them;
//! only traces that are recorded are kept, since others can't be looked up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use breaker_tower::breaker_core::TraceId;

use crate::clock::since_epoch;

/// Of all series of a histogram.
#[derive(Debug)]
pub(super) struct Exemplars {
    /// The upper bounds of the buckets, but for the infinite one.
    bounds: Vec<f64>,
    series: Mutex<HashMap<String, Arc<Series>>>,
}

/// Of one series.
#[derive(Debug)]
pub(super) struct Series {
    bounds: Vec<f64>,
    /// One for each bucket, the infinite one last.
    latest: Mutex<Vec<Option<Exemplar>>>,
}

/// A request that fell into a bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    /// Seconds.
    pub(super) value: f64,
    /// Since 1970.
    pub(super) at: Duration,
}

impl Exemplars {
    pub(super) fn new(bounds: Vec<f64>) -> Self {
        Self {
            bounds,
            series: Mutex::default(),
        }
    }

    /// Of the series with these labels; `None` if there are too many.
    pub(super) fn series(&self, labels: String) -> Option<Arc<Series>> {
        let mut all = lock(&self.series);
        if all.len() >= MAX_SERIES && !all.contains_key(&labels) {
            return None;
        }
        let new = || {
            Arc::new(Series {
                bounds: self.bounds.clone(),
                latest: Mutex::new(vec![None; self.bounds.len() + 1]),
            })
        };
        Some(all.entry(labels).or_insert_with(new).clone())
    }

    /// Those of a series, one for each bucket; empty if there are none.
    pub(super) fn of(&self, labels: &str) -> Vec<Option<Exemplar>> {
        let series = lock(&self.series).get(labels).cloned();
        series.map_or(Vec::new(), |series| lock(&series.latest).clone())
    }
}

impl Series {
    /// A request of `trace` took `value` seconds.
    pub(super) fn saw(&self, trace: TraceId, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        // Where another worker tells one just now, that one will do.
        let Ok(mut latest) = self.latest.try_lock() else {
            return;
        };
        if let Some(latest) = latest.get_mut(bucket) {
            *latest = Some(Exemplar {
                trace,
                value,
                at: since_epoch(),
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 2 KB each.
const MAX_SERIES: usize = 500;
