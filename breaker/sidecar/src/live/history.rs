//! The last minutes of a breaker, a point a second.

use std::collections::VecDeque;
use std::sync::Arc;

use breaker_tower::breaker_core::{Snapshot, SourceSnapshot, SourceTotals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Event;
use crate::report::State;

/// The last minutes of a breaker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// A point a second for five minutes at most, oldest first.
    pub points: Vec<Point>,
    /// The last 100 events at most, oldest first; those of the configuration are in the history of
    /// each breaker.
    pub events: Vec<Event>,
}

/// What a breaker saw in a second, by the source that was asked for; else by the one that explains
/// it: the one that tripped it or alerts, else the proxy, or the busiest feed where the proxy has
/// no traffic.
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

/// When the readings of the last minutes were, shared by all breakers.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    times: VecDeque<f64>,
    /// The number of the first of them.
    first: u64,
}

/// The points of a breaker: of the source that explains it, and of each of several.
#[derive(Debug, Default)]
pub(super) struct OfBreaker {
    pub(super) deciding: Recent,
    /// Empty if there is one source.
    each: Vec<(Arc<str>, Recent)>,
}

/// The points of a source, and its counts at the last. Equal seconds are kept once, so a breaker
/// without traffic needs little memory.
#[derive(Debug, Default)]
pub(super) struct Recent {
    runs: VecDeque<Run>,
    /// The number of the reading after the last.
    end: u64,
    last: Option<Last>,
}

/// Seconds that differ only in their time.
#[derive(Debug)]
struct Run {
    point: Point,
    seconds: u32,
}

#[derive(Debug)]
struct Last {
    source: Arc<str>,
    totals: SourceTotals,
    rejected: u64,
}

// === impl Ticks ===

impl Ticks {
    /// Begins the reading at `t`.
    pub(super) fn add(&mut self, t: f64) {
        if self.times.len() == MAX_POINTS {
            self.times.pop_front();
            self.first += 1;
        }
        self.times.push_back(t);
    }

    /// The number of the reading under way, or of the last.
    fn now(&self) -> u64 {
        self.first + self.times.len().saturating_sub(1) as u64
    }

    fn time(&self, number: u64) -> Option<f64> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.times.get(index).copied()
    }
}

// === impl Recent ===

impl OfBreaker {
    /// Adds the points of the second that ended with the reading under way. Returns that of the
    /// source that explains the breaker.
    pub(super) fn add(&mut self, ticks: &Ticks, snapshot: &Snapshot) -> Point {
        let sources = &snapshot.sources;
        let is_one = |(name, _): &(Arc<str>, Recent)| {
            sources.len() > 1 && sources.iter().any(|source| source.name == *name)
        };
        self.each.retain(is_one);
        if sources.len() > 1 {
            for source in sources {
                let known = self.each.iter().position(|(name, _)| *name == source.name);
                let at = known.unwrap_or_else(|| {
                    self.each.push((source.name.clone(), Recent::default()));
                    self.each.len() - 1
                });
                self.each[at].1.add(ticks, snapshot, source);
            }
        }
        self.deciding.add(ticks, snapshot, snapshot.deciding())
    }

    /// The points of this source.
    pub(super) fn of(&self, source: &str) -> &Recent {
        let mut each = self.each.iter();
        let known = each.find(|(name, _)| **name == *source);
        known.map_or(&self.deciding, |(_, recent)| recent)
    }
}

impl Recent {
    fn add(&mut self, ticks: &Ticks, snapshot: &Snapshot, source: &SourceSnapshot) -> Point {
        let now = Last {
            source: source.name.clone(),
            totals: source.totals.clone(),
            rejected: snapshot.totals.rejected,
        };
        let t = ticks.time(ticks.now()).unwrap_or_default();
        let point = point(t, snapshot, source, self.last.as_ref(), &now);
        self.last = Some(now);
        self.end = ticks.now() + 1;
        match self.runs.back_mut() {
            Some(run) if run.point.is_like(&point) => run.seconds += 1,
            _ => self.runs.push_back(Run {
                point: point.clone(),
                seconds: 1,
            }),
        }
        self.forget(ticks);
        point
    }

    /// Drops what was before the oldest reading that is kept.
    fn forget(&mut self, ticks: &Ticks) {
        let kept: u64 = self.runs.iter().map(|run| u64::from(run.seconds)).sum();
        // One second goes with each that comes.
        if kept > ticks.times.len() as u64
            && let Some(oldest) = self.runs.front_mut()
        {
            oldest.seconds -= 1;
            if oldest.seconds == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// Whether it is of a breaker that the last reading had.
    pub(super) fn is_current(&self, ticks: &Ticks) -> bool {
        self.end == ticks.now() + 1
    }

    pub(super) fn points(&self, ticks: &Ticks) -> Vec<Point> {
        let seconds: u64 = self.runs.iter().map(|run| u64::from(run.seconds)).sum();
        let runs = self.runs.iter();
        let points = runs.flat_map(|run| std::iter::repeat_n(&run.point, run.seconds as usize));
        let numbers = self.end.saturating_sub(seconds)..self.end;
        let points = numbers.zip(points);
        let points = points.filter_map(|(number, point)| {
            let t = ticks.time(number)?;
            Some(Point { t, ..point.clone() })
        });
        points.collect()
    }
}

impl Point {
    /// Whether it differs from `other` only in its time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let Self {
            t: _,
            requests,
            failures,
            rejected,
            error_rate,
            p50,
            p99,
            in_flight,
            limit,
            score,
            state,
            latency,
        } = self;
        let counts = (requests, failures, rejected, in_flight, limit, state);
        let shares = (error_rate, p50, p99, score, latency);
        counts
            == (
                &other.requests,
                &other.failures,
                &other.rejected,
                &other.in_flight,
                &other.limit,
                &other.state,
            )
            && shares
                == (
                    &other.error_rate,
                    &other.p50,
                    &other.p99,
                    &other.score,
                    &other.latency,
                )
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
