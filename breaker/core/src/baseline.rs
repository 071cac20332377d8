//! What the anomaly detectors of a breaker have learned to be usual, as plain numbers: for a file
//! that outlives the process.
//!
//! A baseline is what [`Breaker::baseline`](crate::Breaker::baseline) tells, or is made of numbers
//! that keep the rules; so that what is restored can't harm, wherever the numbers come from.

use std::sync::Arc;
use std::time::Duration;

use crate::field::InvalidField;
use crate::policy::{LatencyMeasure, Signal};

/// The learned baselines of a breaker's detectors: one part for each source that has any.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Baseline {
    /// The sources; the proxy's comes first.
    pub sources: Vec<SourceBaseline>,
}

/// The learned baselines of one source's detectors.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceBaseline {
    name: Arc<str>,
    bounds: LatencyBounds,
    signals: Vec<SignalBaseline>,
    p95s: Vec<u8>,
}

/// The thresholds with which latencies were compared, and where latencies ended. A latency baseline
/// is valid only for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written as a literal by who restores a baseline"
)]
pub struct LatencyBounds {
    /// The policy's deadline.
    pub deadline: Duration,
    /// Where latencies end.
    pub measure: LatencyMeasure,
}

/// The baseline of a signal: how many observations there were, and how many of them were hits. Both
/// decay with a half-life of 30 minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalBaseline {
    signal: Signal,
    observations: f64,
    hits: f64,
}

impl Baseline {
    /// A baseline of these sources.
    pub fn new(sources: impl Into<Vec<SourceBaseline>>) -> Self {
        Self {
            sources: sources.into(),
        }
    }
}

impl SourceBaseline {
    /// The most entries that [`Self::p95s`] has: the minutes of a day.
    pub const MINUTES: usize = 24 * 60;
    /// An entry of [`Self::p95s`] is less than this, or [`Self::NO_P95`].
    pub const BUCKETS: u8 = 208;
    /// The entry of a minute that had too few requests.
    pub const NO_P95: u8 = u8::MAX;

    /// A baseline of the source `name`.
    ///
    /// # Errors
    /// If a signal occurs twice, if `p95s` has too many entries, or if an entry is not a bucket.
    pub fn new(
        name: impl Into<Arc<str>>,
        bounds: LatencyBounds,
        signals: impl Into<Vec<SignalBaseline>>,
        p95s: impl Into<Vec<u8>>,
    ) -> Result<Self, InvalidField> {
        let (signals, p95s) = (signals.into(), p95s.into());
        let twice = |(index, one): (usize, &SignalBaseline)| {
            let before = &signals[..index];
            before.iter().any(|other| other.signal == one.signal)
        };
        if signals.iter().enumerate().any(twice) {
            return Err(InvalidField::new("signals", "must have each signal once"));
        }
        if p95s.len() > Self::MINUTES {
            return Err(InvalidField::new("p95s", "must have 1440 entries at most"));
        }
        let is_entry = |entry: &u8| *entry < Self::BUCKETS || *entry == Self::NO_P95;
        if !p95s.iter().all(is_entry) {
            return Err(InvalidField::new(
                "p95s",
                "must have entries less than 208, or 255",
            ));
        }
        Ok(Self {
            name: name.into(),
            bounds,
            signals,
            p95s,
        })
    }

    /// The source: `proxy`, or the feed's name.
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The thresholds with which the latencies were compared.
    pub const fn bounds(&self) -> LatencyBounds {
        self.bounds
    }

    /// The signals, each once.
    pub fn signals(&self) -> &[SignalBaseline] {
        &self.signals
    }

    /// The bucket of the latency P95 for each minute of the last day, oldest first. Buckets are
    /// sixteenths of octaves of 64 µs. Empty if latency isn't watched.
    pub fn p95s(&self) -> &[u8] {
        &self.p95s
    }
}

impl SignalBaseline {
    /// A baseline of `signal`.
    ///
    /// # Errors
    /// If a number is negative or not finite, or if there are more hits than observations.
    pub fn new(signal: Signal, observations: f64, hits: f64) -> Result<Self, InvalidField> {
        if !observations.is_finite() || observations < 0.0 {
            return Err(InvalidField::new("observations", "must be 0 or more"));
        }
        if !(0.0..=observations).contains(&hits) {
            return Err(InvalidField::new("hits", "must be 0 to observations"));
        }
        Ok(Self {
            signal,
            observations,
            hits,
        })
    }

    /// The signal.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// The number of observations, decayed.
    pub const fn observations(&self) -> f64 {
        self.observations
    }

    /// The number of hits among them, decayed.
    pub const fn hits(&self) -> f64 {
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: LatencyBounds = LatencyBounds {
        deadline: Duration::from_secs(1),
        measure: LatencyMeasure::Head,
    };

    #[test]
    fn numbers_that_keep_no_rule_are_refused() {
        let signal = |observations, hits| SignalBaseline::new(Signal::Errors, observations, hits);
        for (observations, hits, field) in [
            (f64::NAN, 0.0, "observations"),
            (f64::INFINITY, 0.0, "observations"),
            (-1.0, 0.0, "observations"),
            (1.0, f64::NAN, "hits"),
            (1.0, 1.1, "hits"),
            (1.0, -0.1, "hits"),
        ] {
            let refused = signal(observations, hits).unwrap_err();
            assert_eq!(refused.field, field, "{observations} {hits}");
        }
        assert!(signal(0.0, 0.0).is_ok());
    }

    #[test]
    fn minutes_and_signals_that_keep_no_rule_are_refused() {
        let source = |signals: Vec<_>, p95s: Vec<u8>| {
            SourceBaseline::new("proxy", BOUNDS, signals, p95s).map_err(|error| error.to_string())
        };
        let errors = SignalBaseline::new(Signal::Errors, 1.0, 0.0).unwrap();
        for (signals, p95s, refused) in [
            (
                vec![errors, errors],
                vec![],
                "signals: must have each signal once",
            ),
            (
                vec![],
                vec![0; 1441],
                "p95s: must have 1440 entries at most",
            ),
            (
                vec![],
                vec![208],
                "p95s: must have entries less than 208, or 255",
            ),
        ] {
            assert_eq!(source(signals, p95s).unwrap_err(), refused);
        }
        assert!(source(vec![errors], vec![255; 1440]).is_ok());
        assert!(source(vec![], vec![207]).is_ok());
    }
}
