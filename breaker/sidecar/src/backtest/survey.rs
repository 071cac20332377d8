//! Surveys healthy traffic by windows. Thresholds must be above the worst window.

use std::time::Duration;

use breaker_tower::Policy;
use breaker_tower::breaker_core::{Classification, Timestamp};
use hdrhistogram::Histogram;

use super::findings::Findings;

/// The worst windows of all routes. The windows are consecutive. As for a breaker, windows with too
/// few requests do not count.
#[derive(Debug)]
pub(super) struct Survey {
    window: Duration,
    min_requests: u64,
    routes: Vec<Option<Window>>,
    pub(super) worst: Worst,
}

/// The highest values of any window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Worst {
    /// The share of requests that failed, 0..=1.
    pub(super) errors: f64,
    pub(super) median: Duration,
    pub(super) p99: Duration,
    /// Failures of one route in a row.
    pub(super) run: u64,
    /// Windows that counted.
    pub(super) windows: u64,
}

#[derive(Debug)]
struct Window {
    ends: Timestamp,
    requests: u64,
    failed: u64,
    run: u64,
    /// Microseconds.
    latencies: Histogram<u32>,
}

impl Survey {
    pub(super) const fn new(policy: &Policy) -> Self {
        Self {
            window: policy.window(),
            min_requests: policy.min_requests(),
            routes: Vec::new(),
            worst: Worst {
                errors: 0.0,
                median: Duration::ZERO,
                p99: Duration::ZERO,
                run: 0,
                windows: 0,
            },
        }
    }

    /// Counts a request. Ignores all routes after the first [`MOST_ROUTES`].
    pub(super) fn count(
        &mut self,
        route: u32,
        at: Timestamp,
        latency: Option<Duration>,
        classification: Classification,
    ) {
        let index = route as usize;
        if index >= MOST_ROUTES || classification == Classification::Ignored {
            return;
        }
        if index >= self.routes.len() {
            self.routes.resize_with(index + 1, || None);
        }
        let ends = at + self.window;
        let window = self.routes[index].get_or_insert_with(|| Window::new(ends));
        if at >= window.ends {
            self.worst.take(window, self.min_requests);
            window.restart(ends);
        }
        window.requests += 1;
        let is_failure = classification == Classification::Failure || latency.is_none();
        window.failed += u64::from(is_failure);
        window.run = if is_failure { window.run + 1 } else { 0 };
        self.worst.run = self.worst.run.max(window.run);
        if let Some(latency) = latency {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            // The histogram grows, so this can't fail.
            let _ = window.latencies.record(micros.clamp(1, MOST_MICROS));
        }
    }

    /// Ends the last windows: no more requests will come.
    pub(super) fn finish(&mut self) {
        for window in self.routes.iter_mut().flatten() {
            self.worst.take(window, self.min_requests);
        }
    }
}

impl Window {
    fn new(ends: Timestamp) -> Self {
        let mut latencies = Histogram::new(2).expect("two digits are few enough");
        latencies.auto(true);
        Self {
            ends,
            requests: 0,
            failed: 0,
            run: 0,
            latencies,
        }
    }

    fn restart(&mut self, ends: Timestamp) {
        (self.ends, self.requests, self.failed) = (ends, 0, 0);
        self.latencies.reset();
    }
}

impl Worst {
    fn take(&mut self, window: &Window, min_requests: u64) {
        if window.requests < min_requests {
            return;
        }
        let quantile = |of| Duration::from_micros(window.latencies.value_at_quantile(of));
        self.windows += 1;
        self.errors = self
            .errors
            .max(window.failed as f64 / window.requests as f64);
        self.median = self.median.max(quantile(0.5));
        self.p99 = self.p99.max(quantile(0.99));
    }
}

impl Findings {
    /// How long the trace is, in days.
    pub(super) fn days(&self) -> f64 {
        let span = self.span.map(|(from, to)| to.saturating_since(from));
        span.unwrap_or_default().as_secs_f64() / 86_400.0
    }
}

const MOST_ROUTES: usize = 1000;
/// An hour.
const MOST_MICROS: u64 = 3_600_000_000;
