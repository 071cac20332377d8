//! A source: where outcomes are observed. The proxy is one, every telemetry feed another; they are never added together.

use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Verdict;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::window::Window;

/// Names a source of one breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub(crate) usize);

impl SourceId {
    /// The proxy or layer that asks for permits.
    pub const PROXY: Self = Self(0);
}

/// An observation of a source that has no permits: of a telemetry feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The verdict.
    pub verdict: Verdict,
    /// The latency, where the telemetry has it.
    pub latency: Option<Duration>,
}

impl Sample {
    /// A sample.
    pub const fn new(verdict: Verdict, latency: Option<Duration>) -> Self {
        Self { verdict, latency }
    }
}

/// What a breaker keeps of a source.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) window: Window,
    pub(crate) consecutive_failures: u32,
    /// For each trip entry: when its alert was given last, while it holds.
    pub(crate) alerts: Vec<Option<Timestamp>>,
    /// When histograms may be walked again, and whether a latency was recorded since they were.
    next_histogram_turn: Timestamp,
    latencies_changed: bool,
}

impl Source {
    pub(crate) fn new(name: impl Into<Arc<str>>, policy: &Policy) -> Self {
        Self {
            name: name.into(),
            window: Window::new(policy),
            consecutive_failures: 0,
            alerts: vec![None; policy.trip().len()],
            next_histogram_turn: Timestamp::ZERO,
            latencies_changed: false,
        }
    }

    /// Forgets all observations.
    pub(crate) fn clear(&mut self) {
        self.window.clear();
        self.consecutive_failures = 0;
        self.latencies_changed = false;
    }

    pub(crate) fn record_latency(&mut self, latency: Duration, now: Timestamp) {
        self.window.record_latency(latency, now);
        self.latencies_changed = true;
    }

    /// When conditions on histograms must next be tried.
    pub(crate) fn histograms_due(&self) -> Option<Timestamp> {
        self.latencies_changed.then_some(self.next_histogram_turn)
    }

    /// Whether conditions on histograms may be tried now; if so, not again for a while.
    pub(crate) fn take_histogram_turn(&mut self, now: Timestamp) -> bool {
        if now < self.next_histogram_turn {
            return false;
        }
        self.next_histogram_turn = now + HISTOGRAM_INTERVAL;
        self.latencies_changed = false;
        true
    }

    pub(crate) fn record_verdict(&mut self, verdict: Verdict, now: Timestamp) {
        match verdict {
            Verdict::Success => self.consecutive_failures = 0,
            Verdict::Failure => {
                self.consecutive_failures = self.consecutive_failures.saturating_add(1)
            }
            Verdict::Ignored => {}
        }
        self.window.record_verdict(verdict, now);
    }

    /// Takes over `policy`; what was observed stays where it is still of use.
    pub(crate) fn set_policy(&mut self, policy: &Policy) {
        if !self.window.fits(policy) {
            self.window = Window::new(policy);
        }
        self.alerts = vec![None; policy.trip().len()];
    }
}

/// Conditions on quantiles are tried at most this often.
const HISTOGRAM_INTERVAL: Duration = Duration::from_millis(100);
