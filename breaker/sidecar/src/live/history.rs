//! The last minutes of a breaker, a point a second.

use std::collections::VecDeque;
use std::sync::Arc;

use breaker_tower::core::{Snapshot, SourceSnapshot, SourceTotals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Event;
use crate::report::State;

/// The last minutes of a breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// A point a second for five minutes at most, oldest first.
    pub points: Vec<Point>,
    /// The last 100 events at most, oldest first; those of the configuration are in the history of
    /// each breaker.
    pub events: Vec<Event>,
}

/// What a breaker saw in a second, by the source that explains it: the one that tripped it or
/// alerts, else the proxy, or the busiest feed where the proxy has no traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When the second ended, since 1970.
    pub t: f64,
    /// Successes and failures of this second.
    pub requests: u32,
    /// Failures of this second.
    pub failures: u32,
    /// Requests that were rejected in this second.
    pub rejected: u32,
    /// The share of failures in the window, 0 to 1; none in an empty one.
    pub error_rate: Option<f32>,
    /// The median of the window's latencies.
    pub p50: Option<f32>,
    /// Their 99th percentile.
    pub p99: Option<f32>,
    /// Requests in flight at the end of the second.
    pub in_flight: u32,
    /// How many there may be, while there is a limit.
    pub limit: Option<u32>,
    /// The largest evidence of the window's detectors, as a share of its alarm line.
    pub score: Option<f32>,
    /// The state at the end of the second.
    pub state: State,
    /// Latencies of this second: upper bounds, and how many latencies are below that and not below
    /// half to two thirds of it.
    pub latency: Box<[(f32, u32)]>,
}

/// The points of a breaker, and what its counts were at the last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    points: VecDeque<Point>,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    source: Arc<str>,
    totals: SourceTotals,
    rejected: u64,
}

impl Recent {
    /// Adds the point of the second that ended at `t`.
    pub(super) fn add(&mut self, t: f64, snapshot: &Snapshot) -> &Point {
        let source = snapshot.deciding();
        let now = Last {
            source: source.name.clone(),
            totals: source.totals.clone(),
            rejected: snapshot.totals.rejected,
        };
        let point = point(t, snapshot, source, self.last.as_ref(), &now);
        self.last = Some(now);
        if self.points.len() == MAX_POINTS {
            self.points.pop_front();
        } else if self.points.len() == self.points.capacity() {
            self.points.reserve_exact(MAX_POINTS / 5);
        }
        self.points.push_back(point);
        self.points.back().expect("it was just pushed")
    }

    pub(super) fn read_at(&self, t: f64) -> bool {
        self.points.back().is_some_and(|last| last.t == t)
    }

    pub(super) fn points(&self) -> Vec<Point> {
        self.points.iter().cloned().collect()
    }
}

fn point(
    t: f64,
    snapshot: &Snapshot,
    source: &SourceSnapshot,
    last: Option<&Last>,
    now: &Last,
) -> Point {
    // What was before the first reading, or of another breaker of this name, is not of this second.
    let last = last.filter(|last| last.source == now.source && !last.is_after(now));
    let last = last.unwrap_or(now);
    let (was, is) = (&last.totals, &now.totals);
    let failures = is.failure - was.failure;
    let latency = source.latency.as_ref();
    let scores = source
        .anomalies
        .iter()
        .map(|anomaly| anomaly.score() as f32);
    Point {
        t,
        requests: narrow(is.success - was.success + failures),
        failures: narrow(failures),
        rejected: narrow(now.rejected - last.rejected),
        error_rate: (source.requests() > 0).then(|| source.error_rate.get() as f32),
        p50: latency.map(|latency| latency.p50.as_secs_f32()),
        p99: latency.map(|latency| latency.p99.as_secs_f32()),
        in_flight: narrow(snapshot.in_flight),
        limit: snapshot
            .shedding
            .as_ref()
            .map(|shedding| narrow(shedding.limit)),
        score: scores.reduce(f32::max),
        state: snapshot.state.into(),
        latency: is
            .latency
            .since(&was.latency)
            .map(|(bound, count)| (bound.as_secs_f32(), count))
            .collect(),
    }
}

impl Last {
    fn is_after(&self, other: &Self) -> bool {
        let (own, others) = (&self.totals, &other.totals);
        own.success > others.success
            || own.failure > others.failure
            || self.rejected > other.rejected
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Five minutes.
pub(super) const MAX_POINTS: usize = 300;
