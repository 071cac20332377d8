//! A route as `top` knows it: what its breaker says, and its last minutes.

use std::collections::VecDeque;
use std::time::Duration;

use breaker_sidecar::live::{History, Point};
use breaker_sidecar::report::Breaker;

use super::order::Key;

/// A route.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) breaker: Breaker,
    /// Oldest first.
    pub(super) recent: VecDeque<Second>,
    /// When the breaker was read.
    read: Duration,
}

/// What a route saw in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    /// Requests that ended, per second.
    pub(super) rate: f64,
    /// Requests that were rejected, per second.
    pub(super) rejected: f64,
    /// The share of failures in the window.
    pub(super) error_rate: Option<f64>,
    /// Quantiles of the window's latencies, in seconds.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) in_flight: f64,
}

impl Route {
    pub(super) const fn new(breaker: Breaker, now: Duration) -> Self {
        Self {
            breaker,
            recent: VecDeque::new(),
            read: now,
        }
    }

    /// Takes a reading that tells the second before it.
    pub(super) fn update(&mut self, breaker: Breaker, point: &Point, now: Duration) {
        self.push(Second::from(point));
        (self.breaker, self.read) = (breaker, now);
    }

    /// Takes a reading that was asked for: the counts since the last tell the rates.
    pub(super) fn poll(&mut self, breaker: Breaker, now: Duration) {
        let elapsed = now.saturating_sub(self.read).as_secs_f64();
        if elapsed > 0.0 {
            let per_second = |of: fn(&Breaker) -> u64| {
                of(&breaker).saturating_sub(of(&self.breaker)) as f64 / elapsed
            };
            let own = breaker.window();
            let latency = own.and_then(|own| own.latency);
            self.push(Second {
                rate: per_second(|breaker| breaker.totals.success + breaker.totals.failure),
                rejected: per_second(|breaker| breaker.totals.rejected),
                error_rate: own.filter(|own| own.requests > 0).map(|own| own.error_rate),
                p50: latency.map(|latency| latency.p50),
                p99: latency.map(|latency| latency.p99),
                in_flight: breaker.in_flight as f64,
            });
        }
        (self.breaker, self.read) = (breaker, now);
    }

    /// Takes what was before it was watched.
    pub(super) fn remember(&mut self, history: &History) {
        self.recent = history.points.iter().map(Second::from).collect();
    }

    /// What it saw last, its rates smoothed over a few seconds.
    pub(super) fn now(&self) -> Second {
        Second::smoothed(&self.recent)
    }

    /// How long its breaker stays open from now on, in seconds.
    pub(super) fn open_remaining(&self, now: Duration) -> Option<f64> {
        let since = now.saturating_sub(self.read).as_secs_f64();
        Some((self.breaker.open_remaining? - since).max(0.0))
    }

    pub(super) fn key(&self) -> Key<'_> {
        let now = self.now();
        Key {
            breaker: &self.breaker,
            rate: now.rate,
            error_rate: now.error_rate.unwrap_or(0.0),
            p99: now.p99.unwrap_or(0.0),
        }
    }

    fn push(&mut self, second: Second) {
        if self.recent.len() == MAX_SECONDS {
            self.recent.pop_front();
        }
        self.recent.push_back(second);
    }
}

impl Second {
    /// The last of `recent`, its rates smoothed over a few seconds.
    pub(super) fn smoothed(recent: &VecDeque<Self>) -> Self {
        let last = recent.len().min(SMOOTHED);
        let lately = recent.iter().rev().take(last);
        let mean = |of: fn(&Self) -> f64| lately.clone().map(of).sum::<f64>() / last.max(1) as f64;
        Self {
            rate: mean(|second| second.rate),
            rejected: mean(|second| second.rejected),
            ..recent.back().copied().unwrap_or_default()
        }
    }
}

impl From<&Point> for Second {
    fn from(point: &Point) -> Self {
        Self {
            rate: point.requests.into(),
            rejected: point.rejected.into(),
            error_rate: point.error_rate.map(f64::from),
            p50: point.p50.map(f64::from),
            p99: point.p99.map(f64::from),
            in_flight: point.in_flight.into(),
        }
    }
}

/// Over how many seconds a rate is smoothed.
const SMOOTHED: usize = 5;
/// Five minutes, as the sidecar keeps.
const MAX_SECONDS: usize = 300;
