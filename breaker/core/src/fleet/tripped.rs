//! The numbers that tripped a breaker, for those that follow it.

use std::time::Duration;

use super::verdict::Numbers;
use crate::detector::interval;
use crate::event::Reason;
use crate::policy::{Condition, Signal};
use crate::ratio::Ratio;

/// What tripped a breaker, if that was a share of its requests.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TripNumbers {
    /// What is counted as a hit.
    pub signal: Signal,
    /// How long ago the share of hits changed.
    pub since: Duration,
    /// What was observed since then.
    pub numbers: Numbers,
}

impl TripNumbers {
    /// Those of the trip entry that has held: only entries of a single condition on a share can be
    /// followed.
    pub(crate) fn of(reason: &Reason) -> Option<Self> {
        let Reason::Tripped { evidence, .. } = reason else {
            return None;
        };
        let [evidence] = evidence[..] else {
            return None;
        };
        let (signal, numbers) = match (evidence.condition, evidence.anomaly) {
            (Condition::Anomaly { .. }, Some(anomaly)) => {
                let hits = anomaly.share.get() * anomaly.observations as f64;
                let numbers = Numbers {
                    observations: anomaly.observations,
                    hits: hits.round() as u64,
                    low: anomaly.low,
                    high: anomaly.high,
                    normal: anomaly.normal,
                    evidence: anomaly.evidence,
                    line: anomaly.line,
                };
                (anomaly.signal, numbers)
            }
            (Condition::ErrorRate(_), _) => {
                let observations = evidence.samples;
                let hits = (evidence.observed * observations as f64).round();
                let (low, high) = interval(hits, observations as f64);
                let ratio = |share| Ratio::new(share).unwrap_or_default();
                let numbers = Numbers {
                    observations,
                    hits: hits as u64,
                    low: ratio(low),
                    high: ratio(high),
                    ..Numbers::default()
                };
                (Signal::Errors, numbers)
            }
            _ => return None,
        };
        Some(Self {
            signal,
            since: evidence.window,
            numbers,
        })
    }

    /// The same, so much later.
    pub(crate) fn after(self, passed: Duration) -> Self {
        Self {
            since: self.since + passed,
            ..self
        }
    }
}
